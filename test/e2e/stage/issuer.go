package stage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
)

// The names of an issuer's objects.
const (
	issuerName  = "tokens"
	issuedKey   = "issued-tokens"
	sessionName = "site-session"
	clientID    = "load"
)

// Issuer is a TokenIssuer in the agent's namespace, with a key of its own. The
// agent takes its tokens beside those of the back end.
type Issuer struct {
	*Agent
	URL           string // of its Service, for pods
	Address       string // IP and port of it, for the node
	SessionSecret []byte // by which the site signs its sessions, HS256

	secret string // of the OAuth client
}

// Names are what clients know the parts by.
type Names struct {
	Issuer string // host in iss
	Agent  string // host in aud
	Page   string // origin whose pages may call both

	Lifetime time.Duration // of a token; at least 10 seconds
}

// DeployIssuer makes a TokenIssuer and waits until the agent takes its tokens. A page
// calls it with the site's session, a JWT in the cookie `session`.
func (a *Agent) DeployIssuer(ctx context.Context, names Names) (*Issuer, error) {
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	i := &Issuer{Agent: a, SessionSecret: []byte(rand.Text() + rand.Text()), secret: key.Reveal()}
	session := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: sessionName},
		Data:       map[string][]byte{"current": i.SessionSecret},
	}
	if err := a.Create(ctx, session); err != nil {
		return nil, err
	}
	if err := a.ApplyText(ctx, a.Namespace, fmt.Sprintf(issuerManifests,
		issuedKey, names.Lifetime, names.Lifetime+5*time.Second, clientID, clientID, key.Hash(), issuerName, names.Issuer, issuedKey, names.Lifetime, names.Agent, sessionName, names.Page)); err != nil {
		return nil, fmt.Errorf("applying the issuer: %w", err)
	}
	if err := a.admit(ctx, names); err != nil {
		return nil, err
	}
	if _, err := a.Kubectl(ctx, "-n", a.Namespace, "wait", "--for=condition=Ready", "tokenissuer/"+issuerName, "--timeout=2m"); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the issuer: %w", err), a.whatIsWrong(ctx), i.said(ctx))
	}
	if err := i.find(ctx); err != nil {
		return nil, err
	}
	return i, Eventually(ctx, time.Minute, i.accepted)
}

// issuerManifests lack what is each run's own.
const issuerManifests = `
apiVersion: gatepost.dev/v1alpha1
kind: SigningKey
metadata: {name: %s}
spec:
  algorithm: ES256
  signer: Issuer
  maxTokenLifetime: %s
  rotation: {prePublish: 1s, retireAfter: %s, waitForVerifiers: true}
---
apiVersion: gatepost.dev/v1alpha1
kind: APIKey
metadata: {name: %s, labels: {stage: clients}}
spec:
  clientID: %s
  values: [{name: v1, keyHash: "%s"}]
---
apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: %s}
spec:
  issuer: https://%s
  signingKeyRef: {name: %s}
  tokenLifetime: %s
  audiences: [https://%s]
  grants: [Session, ClientCredentials]
  session:
    providers:
    - name: site
      algorithms: [HS256]
      secretRef: {name: %s, keys: [current]}
      requiredClaims: [sub]
      extractFrom: {cookie: session}
  clients:
    credentialSelector: {matchLabels: {stage: clients}}
  claims: [{name: role, value: teacher}]
  cors: {allowOrigins: ["%s"], allowCredentials: true}
  rateLimit: {perClient: 1000/s, perIP: 1000/s}
  replicas: 2
`

// admit makes the agent's policy take the issuer's tokens and the page's origin.
func (a *Agent) admit(ctx context.Context, names Names) error {
	provider, err := json.Marshal(map[string]any{
		"name": "issuer", "issuers": []string{"https://" + names.Issuer}, "audiences": []string{"https://" + names.Agent},
		"algorithms": []string{"ES256"}, "signingKeyRef": map[string]string{"name": issuedKey}, "clockSkew": "0s", "requiredClaims": []string{"sub"},
	})
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `[{"op":"add","path":"/spec/jwt/providers/-","value":%s},{"op":"add","path":"/spec/cors/allowOrigins/-","value":%q}]`, provider, names.Page)
	policy := &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: PolicyName}}
	if err := a.API.Patch(ctx, policy, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return fmt.Errorf("letting the issuer's tokens in: %w", err)
	}
	return nil
}

// find looks up where the issuer is.
func (i *Issuer) find(ctx context.Context) error {
	var issuer v1alpha1.TokenIssuer
	if err := i.API.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: issuerName}, &issuer); err != nil {
		return err
	}
	if issuer.Status.Endpoints == nil {
		return errors.New("the issuer's status has no endpoints")
	}
	i.URL = issuer.Status.Endpoints.Service
	at, err := url.Parse(i.URL)
	if err != nil {
		return fmt.Errorf("the address of the issuer's Service: %w", err)
	}
	var services corev1.ServiceList
	err = i.API.List(ctx, &services, client.InNamespace(i.Namespace), client.MatchingLabels{v1alpha1.LabelComponent: v1alpha1.ComponentIssuer})
	if err != nil {
		return err
	}
	if len(services.Items) != 1 || len(services.Items[0].Spec.Ports) == 0 {
		return fmt.Errorf("%d Services of the issuer %s, want one with a port", len(services.Items), at.Host)
	}
	spec := services.Items[0].Spec
	i.Address = net.JoinHostPort(spec.ClusterIP, strconv.Itoa(int(spec.Ports[0].Port)))
	return nil
}

// Service is the IP and port of the agent's Service.
func (a *Agent) Service(ctx context.Context) (string, error) {
	var service corev1.Service
	if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: AgentName}, &service); err != nil {
		return "", fmt.Errorf("finding the agent's Service: %w", err)
	}
	return net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port))), nil
}

// accepted says whether every pod takes a token of the issuer.
func (i *Issuer) accepted(ctx context.Context) error {
	minter := i.minter()
	token, got, err := minter.mint(ctx)
	if err != nil || token.Text == "" {
		return fmt.Errorf("minting a token: %v %w", got, err)
	}
	pods, err := i.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if got, err := present(ctx, i.Pod, aimAt(pod).URL, token.Text, true); err != nil || got.status != 200 {
			return fmt.Errorf("pod %s answers a token of the issuer with %v %w", pod.Name, got, err)
		}
	}
	return nil
}

// RestartPod deletes one pod of the issuer and waits for its successor.
func (i *Issuer) RestartPod(ctx context.Context) error {
	pods, err := i.Pods(ctx, client.MatchingLabels{v1alpha1.LabelComponent: v1alpha1.ComponentIssuer})
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		return errors.New("the issuer has no pod")
	}
	if err := i.API.Delete(ctx, &pods[0]); err != nil {
		return fmt.Errorf("deleting a pod of the issuer: %w", err)
	}
	return Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		now, err := i.Pods(ctx, client.MatchingLabels{v1alpha1.LabelComponent: v1alpha1.ComponentIssuer})
		if err != nil {
			return err
		}
		serving := 0
		for _, pod := range now {
			if ready(pod) {
				serving++
			}
		}
		if serving < len(pods) {
			return fmt.Errorf("%d of %d pods of the issuer are ready", serving, len(pods))
		}
		return nil
	})
}

// Key reads the issuer's signing key.
func (i *Issuer) Key(ctx context.Context) (*v1alpha1.SigningKey, error) {
	var key v1alpha1.SigningKey
	err := i.API.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: issuedKey}, &key)
	return &key, err
}

// AskForRotation asks for another key of the issuer.
func (i *Issuer) AskForRotation(ctx context.Context) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRotateNow, time.Now().UTC().Format(time.RFC3339Nano))
	key := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Namespace: i.Namespace, Name: issuedKey}}
	if err := i.API.Patch(ctx, key, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotating the issuer's signing key: %w", err)
	}
	return nil
}

// said is what the cluster says about the issuer.
func (i *Issuer) said(ctx context.Context) error {
	text, err := i.Kubectl(ctx, "-n", i.Namespace, "describe", "tokenissuer/"+issuerName, "signingkey/"+issuedKey)
	return errors.Join(errors.New(text), err)
}
