//go:build cluster

package controller_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// A Secret of ours that cannot be written any more stops revocations: somebody
// has to be told.
func TestSecretsThatWereMadeImmutableAreSaid(t *testing.T) {
	t.Parallel()
	namespace := world.cluster.Namespace(t)
	key, p := signingKey(namespace, "immutable"), agentPolicy(namespace, "immutable", bySigningKey("immutable"))
	create(t, key)
	create(t, p)
	keyHas(t, key, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	policyHas(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	freeze := func(name string) *corev1.Secret {
		immutable := true
		secret := secretOf(t, namespace, name)
		change(t, secret, func(now *corev1.Secret) { now.Immutable = &immutable })
		return secret
	}
	bundle := freeze(v1alpha1.BundleName(p.Name))
	change(t, p, func(p *v1alpha1.AgentAuthPolicy) {
		p.Spec.JWT.Providers[0].Issuers = []string{"https://other.example.com"}
	})
	policyHas(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotProgrammed)
	remove(t, bundle)
	policyHas(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	freeze(v1alpha1.StateName(key.Name))
	annotate(t, key, v1alpha1.AnnotationRevokeKey, key.Status.ActiveKeyID)
	keyHas(t, key, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStateInvalid)
}
