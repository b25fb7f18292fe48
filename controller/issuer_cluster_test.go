//go:build cluster

package controller_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/fleet"
	"gatepost.dev/gatepost/token"
)

// issuerKey is a key that our issuers sign with, as fast as the tests' controller
// allows.
func issuerKey(namespace, algorithm string) *v1alpha1.SigningKey {
	key := loopKey(namespace)
	key.Spec.Algorithm, key.Spec.Signer, key.Spec.ExportTo = policy.Algorithm(algorithm), v1alpha1.SignerIssuer, nil
	key.Spec.Rotation.RetireAfter, key.Spec.MaxTokenLifetime = seconds(40), seconds(20)
	return key
}

// tokenIssuer gives tokens to OAuth clients.
func tokenIssuer(namespace, name string) *v1alpha1.TokenIssuer {
	return &v1alpha1.TokenIssuer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: grant.Spec{
			Issuer: "https://auth.example.com/agents", SigningKeyRef: policy.SigningKeyRef{Name: "tokens"},
			TokenLifetime: seconds(10), Audiences: []string{"https://chat.example.com"},
			Grants:  []grant.Grant{grant.GrantClientCredentials},
			Clients: &grant.Clients{CredentialSelector: policy.CredentialSelector{MatchLabels: map[string]string{"app": "crm"}}},
		},
	}
}

// issuerHas waits for the reason of an issuer's condition.
func issuerHas(t *testing.T, issuer *v1alpha1.TokenIssuer, status metav1.ConditionStatus, reason, part string) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(issuer), issuer); err != nil {
			return err.Error()
		}
		if issuer.Status.ObservedGeneration != issuer.Generation {
			return "the status is of an older generation"
		}
		if wrong := has(issuer.Status.Conditions, ready, status, reason); wrong != "" {
			return wrong
		}
		if message := issuer.Status.Conditions[0].Message; !strings.Contains(message, part) {
			return fmt.Sprintf("the message %q does not contain %q", message, part)
		}
		return ""
	})
}

// loaded loads an issuer's bundle as its pods do; nil: there is none.
func loaded(t *testing.T, issuer *v1alpha1.TokenIssuer) *issuing.Snapshot {
	t.Helper()
	secret := secretOf(t, issuer.Namespace, v1alpha1.IssuerName(issuer.Name))
	if secret == nil || len(secret.Data) == 0 {
		return nil
	}
	made, err := issuing.Load(issuing.Files(secret.Data), bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// partsOf are what runs an issuer, empty.
func partsOf(issuer *v1alpha1.TokenIssuer) []client.Object {
	meta := metav1.ObjectMeta{Namespace: issuer.Namespace, Name: issuer.Name + "-issuer"}
	return []client.Object{
		&appsv1.Deployment{ObjectMeta: meta}, &corev1.Service{ObjectMeta: meta},
		&corev1.ServiceAccount{ObjectMeta: meta}, &policyv1.PodDisruptionBudget{ObjectMeta: meta},
	}
}

func there(t *testing.T, object client.Object) bool {
	t.Helper()
	err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return !apierrors.IsNotFound(err)
}

func TestAnIssuerIsRunHealedAndDeleted(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	if _, err := world.cluster.Kubectl(t.Context(), "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(err)
	}
	issuer := tokenIssuer(ns, "auth")
	create(t, issuer)
	issuerHas(t, issuer, no, v1alpha1.ReasonSigningKeyNotFound, "spec.signingKeyRef: there is no SigningKey tokens: create it with signer: Issuer")
	if there(t, partsOf(issuer)[0]) {
		t.Error("pods without a key are run")
	}
	key := issuerKey(ns, "ES256")
	create(t, key)
	issuerHas(t, issuer, no, v1alpha1.ReasonReplicasNotReady, "0 of 2 pods answer")
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	eventually(t, func() string {
		made := loaded(t, issuer)
		if made == nil || made.Signer.Key.KID != key.Status.ActiveKeyID {
			return "the bundle lacks the active key"
		}
		return ""
	})
	var pods corev1.PodList
	eventually(t, func() string { // under the restricted Pod Security Standard
		if err := world.api.List(t.Context(), &pods, client.InNamespace(ns)); err != nil || len(pods.Items) != 2 {
			return fmt.Sprintf("%d pods, %v", len(pods.Items), err)
		}
		return ""
	})
	for _, volume := range pods.Items[0].Spec.Volumes {
		if volume.Secret == nil || volume.Secret.SecretName != "auth.gatepost-issuer" {
			t.Errorf("the pod has the volume %s", volume.Name)
		}
	}
	for _, part := range partsOf(issuer) {
		eventually(t, func() string {
			if !there(t, part) || !metav1.IsControlledBy(part, issuer) {
				return fmt.Sprintf("%T is missing", part)
			}
			return ""
		})
		was := part.GetUID()
		remove(t, part)
		eventually(t, func() string {
			if !there(t, part) || part.GetUID() == was {
				return fmt.Sprintf("%T is not back", part)
			}
			return ""
		})
	}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "auth-issuer"}}
	change(t, deployment, func(d *appsv1.Deployment) {
		d.Spec.Replicas = new(int32(7))
		d.Spec.Template.Spec.Containers[0].Image = "example.com/other"
		d.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"} // ours says nothing of it
	})
	eventually(t, func() string {
		there(t, deployment)
		spec := deployment.Spec.Template.Spec
		if *deployment.Spec.Replicas != 2 || spec.Containers[0].Image != issuerImage || spec.NodeSelector["disk"] != "ssd" {
			return fmt.Sprintf("replicas %d, image %s, node selector %v", *deployment.Spec.Replicas, spec.Containers[0].Image, spec.NodeSelector)
		}
		return ""
	})
	if got, want := issuer.Status.Endpoints.Token, "https://auth.example.com/agents/token"; got != want {
		t.Errorf("the token endpoint is %s, want %s", got, want)
	}
	isNowhere(t, ns, secretOf(t, ns, "auth.gatepost-issuer").Data[v1alpha1.IssuerSignerKey])
	remove(t, issuer)
	for _, part := range append(partsOf(issuer), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "auth.gatepost-issuer"}}) {
		// The garbage collector learns of new kinds every half minute.
		for deadline := time.Now().Add(3 * patience); there(t, part); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%T is still there", part)
			}
		}
	}
}

// issuance is a key of our issuer, the issuer with its pods, and pods that verify.
type issuance struct {
	key    *v1alpha1.SigningKey
	issuer *v1alpha1.TokenIssuer
	fleet  *fleet.Fleet
	pods   []*fleet.IssuerPod
	guards []*fleet.Pod
}

func issuingWith(t *testing.T, algorithm string) issuance {
	t.Helper()
	ns := world.cluster.Namespace(t)
	run := issuance{key: issuerKey(ns, algorithm), issuer: tokenIssuer(ns, "auth")}
	run.key.Spec.Rotation.RetireAfter, run.key.Spec.MaxTokenLifetime = seconds(4), seconds(2)
	run.key.Spec.Rotation.PrePublish = seconds(3600) // so that a test sees a key that all have and that does not sign
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	p.Spec.JWT.Providers[0].Algorithms = []policy.Algorithm{policy.Algorithm(algorithm)}
	for _, object := range []client.Object{run.key, run.issuer, p} {
		create(t, object)
	}
	f, err := fleet.New(t.Context(), fleet.Options{Config: world.cluster.Config, Namespace: ns, Image: sidecarImage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	run.fleet = f
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if run.guards, err = f.Add(ctx, "chat", 2); err != nil {
		t.Fatal(err)
	}
	if run.pods, err = f.Issuers(ctx, "auth", 2); err != nil {
		t.Fatal(err)
	}
	return run
}

// send lets each pod of the issuer sign for the guarded pods, until the test ends.
func (run issuance) send(t *testing.T, pods ...*fleet.IssuerPod) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var sending sync.WaitGroup
	for _, pod := range pods {
		sending.Go(func() {
			if err := run.fleet.Send(ctx, fleet.Traffic{Signer: pod.Signer, Policy: "chat", Lifetime: 2 * time.Second}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		sending.Wait()
		counts := run.fleet.Counts()
		if counts.Accepted == 0 || len(counts.Violations) > 0 {
			t.Errorf("%d tokens accepted; %q", counts.Accepted, counts.Violations)
		}
		t.Logf("figure: issuer_rotation_valid_tokens_refused %d tokens", counts.Refused)
		t.Logf("figure: issuer_rotation_tokens_accepted %d tokens", counts.Accepted)
	})
}

func TestAnIssuerThatServesSaysSo(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key, issuer := issuerKey(ns, "ES256"), tokenIssuer(ns, "auth")
	create(t, key)
	create(t, issuer)
	f, err := fleet.New(t.Context(), fleet.Options{Config: world.cluster.Config, Namespace: ns, Image: sidecarImage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := f.Issuers(ctx, "auth", 2); err != nil {
		t.Fatal(err)
	}
	issuerHas(t, issuer, yes, v1alpha1.ReasonServing, "2 pods answer, and sign with key "+issuer.Status.ActiveKeyID)
	want := v1alpha1.IssuerEndpoints{
		Service: "http://auth-issuer." + ns + ".svc", Token: "https://auth.example.com/agents/token",
	}
	if got := issuer.Status.Endpoints; got.Service != want.Service || got.Token != want.Token || issuer.Status.ReadyReplicas != 2 {
		t.Errorf("%d pods are ready, endpoints %+v", issuer.Status.ReadyReplicas, got)
	}

	rival := tokenIssuer(ns, "rival") // of the same URL
	rival.Spec.SigningKeyRef.Name = "other"
	create(t, rival)
	issuerHas(t, issuer, yes, v1alpha1.ReasonServing, "other TokenIssuers (rival) have the same spec.issuer")
	remove(t, rival)
	eventually(t, func() string {
		issuerHas(t, issuer, yes, v1alpha1.ReasonServing, "2 pods answer")
		if message := meta.FindStatusCondition(issuer.Status.Conditions, ready).Message; strings.Contains(message, "rival") {
			return message
		}
		return ""
	})
}

func phases(key *v1alpha1.SigningKey) string {
	var list []string
	for _, one := range key.Status.Keys {
		list = append(list, one.Phase)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// An old key goes only when every pod of the issuer has proved to sign with its
// successor, and no token is refused meanwhile; the next one that is late is named.
func TestAnIssuersKeyRotatesByProof(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "HS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			run := issuingWith(t, algorithm)
			keyHas(t, run.key, ready, yes, v1alpha1.ReasonReady)
			issuerHas(t, run.issuer, no, v1alpha1.ReasonTokenLifetimeTooLong, "10s is more than maxTokenLifetime of SigningKey tokens (2s)")
			run.send(t, run.pods...)
			first, late := run.key.Status.ActiveKeyID, run.pods[1]
			eventually(t, func() string {
				if late.Signer.KID() != first {
					return "the pod does not sign with the active key"
				}
				return ""
			})
			// It goes on signing with the old key once the next one is known to all.
			annotate(t, run.key, v1alpha1.AnnotationRotateNow, "1")
			keyShows(t, run.key, func() string {
				if next := published(run.key); next == "" || algorithm == "ES256" && verifiersOf(run.key, next) != "4/4 " {
					return "the next key is not everywhere: " + verifiersOf(run.key, next)
				}
				return ""
			})
			late.Hold(true)
			change(t, run.key, func(key *v1alpha1.SigningKey) { key.Spec.Rotation.PrePublish = seconds(1) })
			keyHas(t, run.key, rotating, yes, v1alpha1.ReasonWaitingForSigner)
			keyShows(t, run.key, func() string {
				message := meta.FindStatusCondition(run.key.Status.Conditions, rotating).Message
				if !strings.Contains(message, "until these pods of TokenIssuers prove to sign with it: "+late.Name+";") {
					return message
				}
				return ""
			})
			time.Sleep(6 * time.Second) // longer than retireAfter
			keyShows(t, run.key, func() string { return "" })
			if got := phases(run.key); got != "Active Retiring" || late.Signer.KID() != first {
				t.Fatalf("keys %s while %s signs with %s", got, late.Name, late.Signer.KID())
			}
			late.Hold(false)
			keyHas(t, run.key, rotating, no, v1alpha1.ReasonIdle)
			if got := phases(run.key); got != "Active" {
				t.Errorf("keys %s", got)
			}
			if second := run.key.Status.ActiveKeyID; second == first || late.Signer.KID() != second {
				t.Errorf("%s signs with %s, active is %s", late.Name, late.Signer.KID(), second)
			}
		})
	}
}

// A revoked key is out of the issuer's pods as soon as they are told, and for a
// moment nobody signs.
func TestARevokedKeyIsOutOfTheIssuerAtOnce(t *testing.T) {
	t.Parallel()
	run := issuingWith(t, "HS256")
	keyHas(t, run.key, ready, yes, v1alpha1.ReasonReady)
	run.send(t, run.pods...)
	first := run.key.Status.ActiveKeyID
	run.guards[0].Hold(true) // so that its successor has to wait
	run.pods[1].Hold(true)
	annotate(t, run.key, v1alpha1.AnnotationRevokeKey, first)
	issuerHas(t, run.issuer, no, v1alpha1.ReasonTokenLifetimeTooLong, "")
	eventually(t, func() string {
		if kid := run.pods[0].Signer.KID(); kid != "" {
			return "the pod signs with " + kid
		}
		made := loaded(t, run.issuer)
		if made.Signer.CanSign() || !slices.Contains(made.Revoked["tokens"], first) {
			return fmt.Sprintf("the bundle has %s, revoked %v", made.Signer.Key.KID, made.Revoked)
		}
		return ""
	})
	keyShows(t, run.key, func() string {
		degraded := meta.FindStatusCondition(run.key.Status.Conditions, v1alpha1.ConditionDegraded)
		if degraded.Reason != v1alpha1.ReasonVerifiersLagging || !strings.Contains(degraded.Message, run.pods[1].Name) {
			return degraded.Reason + ": " + degraded.Message
		}
		if run.key.Status.LastRevocation.AcknowledgedTime != nil {
			t.Fatalf("acknowledged, although %s signs with the key", run.pods[1].Name)
		}
		return ""
	})
	run.pods[1].Hold(false)
	run.guards[0].Hold(false)
	keyHas(t, run.key, ready, yes, v1alpha1.ReasonReady)
	keyShows(t, run.key, func() string {
		if run.key.Status.LastRevocation.AcknowledgedTime == nil {
			return "it is not acknowledged"
		}
		return ""
	})
	eventually(t, func() string {
		for _, pod := range run.pods {
			if kid := pod.Signer.KID(); kid != run.key.Status.ActiveKeyID {
				return pod.Name + " signs with " + kid
			}
		}
		return ""
	})
}

// What an issuer refers to and is not there, or is wrong, is said; what was
// accepted last goes on, with current keys.
func TestBadReferencesOfAnIssuerAreSaid(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, issuerKey(ns, "ES256"))
	external := signingKey(ns, "external")
	create(t, external)
	issuer := tokenIssuer(ns, "auth")
	issuer.Spec.Grants = []grant.Grant{grant.GrantPassword}
	issuer.Spec.Clients, issuer.Spec.LegacyPasswordGrant, issuer.Spec.Replicas = nil, true, new(int32(1))
	issuer.Spec.Password = &grant.Password{UsersSecretRef: grant.UsersSecretRef{Name: "users", Key: "htpasswd"}}
	create(t, issuer)
	issuerHas(t, issuer, no, v1alpha1.ReasonSecretNotFound, "there is no Secret users: create it with lines of htpasswd under htpasswd")
	if there(t, partsOf(issuer)[0]) || loaded(t, issuer) != nil {
		t.Error("it runs without users")
	}
	const good = "ada:$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n"
	users := secretWith(ns, "users", map[string]string{"other": good})
	create(t, users)
	issuerHas(t, issuer, no, v1alpha1.ReasonSecretKeyNotFound, "Secret users has no key htpasswd")
	set := func(text string) {
		change(t, users, func(secret *corev1.Secret) { secret.StringData = map[string]string{"htpasswd": text} })
	}
	set(good)
	issuerHas(t, issuer, no, v1alpha1.ReasonReplicasNotReady, "0 of 1 pods answer")
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "auth-issuer"}}
	if !there(t, deployment) || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("the Deployment replaces pods by %q", deployment.Spec.Strategy.Type)
	}
	if there(t, partsOf(issuer)[3]) {
		t.Error("there is a disruption budget for one pod")
	}
	const secret = "plain:hunter2-hunter2"
	set(good + secret + "\n")
	issuerHas(t, issuer, no, v1alpha1.ReasonUsersInvalid, "line 2 of the users")
	isNowhere(t, ns, []byte("hunter2"))
	if made := loaded(t, issuer); made.Users == nil {
		t.Error("the users there were are gone")
	}
	remove(t, users)
	issuerHas(t, issuer, no, v1alpha1.ReasonSecretNotFound, "the users there were go on")

	change(t, issuer, func(i *v1alpha1.TokenIssuer) { i.Spec.SigningKeyRef.Name = "external" })
	issuerHas(t, issuer, no, v1alpha1.ReasonSignerIsExternal, "refer to one with signer: Issuer; there is no key to sign with yet")
	if made := loaded(t, issuer); made.Signer.SigningKey != "tokens" {
		t.Errorf("it signs with %s", made.Signer.SigningKey)
	}
	revision := loaded(t, issuer).Revision
	annotate(t, issuerKey(ns, "ES256"), v1alpha1.AnnotationRotateNow, "1")
	eventually(t, func() string {
		if made := loaded(t, issuer); len(made.KIDs["tokens"]) != 2 || made.Revision <= revision {
			return fmt.Sprintf("the bundle that goes on shows %v", made.KIDs)
		}
		return ""
	})
}

// Whoever has the name of an issuer's Deployment, Service or bundle keeps it.
func TestAWorkloadOfSomebodyElseIsNotTouched(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, issuerKey(ns, "HS256"))
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "auth-issuer"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8443}}},
	}
	create(t, service)
	create(t, secretWith(ns, "other.gatepost-issuer", map[string]string{"mine": "1"}))
	issuer, other := tokenIssuer(ns, "auth"), tokenIssuer(ns, "other")
	create(t, issuer)
	create(t, other)
	issuerHas(t, issuer, no, v1alpha1.ReasonWorkloadConflict, "Service auth-issuer: it exists and does not belong to this TokenIssuer")
	issuerHas(t, other, no, v1alpha1.ReasonBundleConflict, "delete it or rename the issuer")
	if !there(t, service) || service.Spec.Ports[0].Port != 8443 || len(service.Labels) > 0 {
		t.Errorf("the Service was touched: %v", service.ObjectMeta)
	}
	if there(t, partsOf(other)[0]) {
		t.Error("pods run without a bundle")
	}
	remove(t, service)
	change(t, issuer, func(i *v1alpha1.TokenIssuer) { i.Annotations = map[string]string{"again": "1"} })
	issuerHas(t, issuer, no, v1alpha1.ReasonReplicasNotReady, "")
}

// The keys of the cluster's service accounts come from the API server itself,
// with what every service account may read.
func TestTokensOfServiceAccountsCanBeExchanged(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, issuerKey(ns, "ES256"))
	issuer := tokenIssuer(ns, "auth")
	issuer.Spec.Grants = []grant.Grant{grant.GrantTokenExchange}
	issuer.Spec.TokenExchange = &grant.TokenExchange{ServiceAccounts: []grant.ServiceAccount{{Name: "crm"}}}
	create(t, issuer)
	issuerHas(t, issuer, no, v1alpha1.ReasonReplicasNotReady, "")
	made := loaded(t, issuer)
	if made == nil || made.ServiceAccounts == nil {
		t.Fatal("the bundle has no keys of service accounts")
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "crm"}}
	create(t, account)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{issuer.Spec.Issuer}}}
	if err := world.api.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	raw, reason := token.Extract([]string{request.Status.Token}, "", 0)
	outcome := made.ServiceAccounts.Verify(t.Context(), raw, time.Now())
	if reason != "" || !outcome.Verified.Valid() {
		t.Errorf("a token of the cluster is refused: %s %s", reason, outcome.Reason)
	}
}

// A key that nobody signs with yet rotates all the same.
func TestAKeyOfNoIssuerRotates(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := issuerKey(ns, "EdDSA")
	key.Spec.Rotation.RetireAfter, key.Spec.MaxTokenLifetime = seconds(14), seconds(2)
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	first := key.Status.ActiveKeyID
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	keyShows(t, key, func() string {
		if key.Status.ActiveKeyID == first || phases(key) != "Active" {
			return phases(key)
		}
		return ""
	})
}
