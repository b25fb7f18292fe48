//go:build cluster

package controller_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/policy"
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
func loaded(t *testing.T, issuer *v1alpha1.TokenIssuer) *bundle.Issuer {
	t.Helper()
	secret := secretOf(t, issuer.Namespace, v1alpha1.IssuerName(issuer.Name))
	if secret == nil || len(secret.Data) == 0 {
		return nil
	}
	made, err := bundle.LoadIssuer(bundle.IssuerFiles(secret.Data), bundle.Options{})
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
		eventually(t, func() string {
			if there(t, part) {
				return fmt.Sprintf("%T is still there", part)
			}
			return ""
		})
	}
}
