//go:build cluster

package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// The policy is deleted; its pods run on and verify (decision 11): they hold a new
// key, and nobody says that they refuse a revoked one, until they are gone.
func TestPodsOfADeletedPolicyStillCount(t *testing.T) {
	t.Parallel()
	key, p, pods := guarded(t, 2)
	first := key.Status.ActiveKeyID
	keyShows(t, key, func() string {
		if got := verifiersOf(key, first); !strings.HasPrefix(got, "2/2") {
			return "verifiers: " + got
		}
		return ""
	})
	// without a policy the clock skew to allow for is the default
	change(t, key, func(k *v1alpha1.SigningKey) { k.Spec.Rotation.RetireAfter = seconds(20) })
	remove(t, p)
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	keyShows(t, key, func() string {
		rotating := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionRotating)
		if rotating == nil || rotating.Reason != v1alpha1.ReasonWaitingForVerifiers || !strings.Contains(rotating.Message, "bring the policy back") {
			return fmt.Sprintf("rotating: %+v", rotating)
		}
		return ""
	})
	annotate(t, key, v1alpha1.AnnotationRevokeKey, first)
	keyShows(t, key, func() string {
		degraded := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionDegraded)
		last := key.Status.LastRevocation
		switch {
		case last == nil || last.KID != first:
			return "not revoked"
		case last.AcknowledgedTime != nil:
			t.Fatalf("acknowledged, while pods accept the key: %+v", last)
		case degraded == nil || degraded.Reason != v1alpha1.ReasonVerifiersLagging || !strings.Contains(degraded.Message, "may still accept the key"):
			return fmt.Sprintf("degraded: %+v", degraded)
		}
		return ""
	})
	for _, pod := range pods {
		if err := pod.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keyShows(t, key, func() string {
		if key.Status.LastRevocation.AcknowledgedTime == nil {
			return "not acknowledged, with the pods gone"
		}
		return ""
	})
}

// Somebody's finalizer keeps a policy that is deleted: revocations still reach its
// pods.
func TestADeletedPolicyThatIsKeptIsLookedAfter(t *testing.T) {
	t.Parallel()
	key, p, _ := guarded(t, 2)
	first := key.Status.ActiveKeyID
	change(t, p, func(p *v1alpha1.AgentAuthPolicy) { p.Finalizers = append(p.Finalizers, "example.com/hold") })
	change(t, key, func(k *v1alpha1.SigningKey) { k.Finalizers = append(k.Finalizers, "example.com/hold") })
	remove(t, p)
	remove(t, key)
	annotate(t, key, v1alpha1.AnnotationRevokeKey, first)
	keyShows(t, key, func() string {
		switch last := key.Status.LastRevocation; {
		case slices.Contains(kidsOf(t, p), first):
			return "the bundle still holds the key"
		case last == nil || last.AcknowledgedTime == nil:
			return "not acknowledged"
		case key.Status.ActiveKeyID == "" || key.Status.ActiveKeyID == first:
			return "no successor signs"
		}
		return ""
	})
	change(t, p, func(p *v1alpha1.AgentAuthPolicy) { p.Finalizers = nil })
	change(t, key, func(k *v1alpha1.SigningKey) { k.Finalizers = nil })
}
