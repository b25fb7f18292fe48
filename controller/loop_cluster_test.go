//go:build cluster

package controller_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// loopKey is a quickKey that is used only once every verifier has proved to have
// it, which is the default.
func loopKey(namespace string) *v1alpha1.SigningKey {
	key := quickKey(namespace, "tokens")
	key.Spec.Rotation.WaitForVerifiers = nil
	return key
}

// guarded is a key, its policy, and pods that verify with it.
func guarded(t *testing.T, count int) (*v1alpha1.SigningKey, *v1alpha1.AgentAuthPolicy, []*fleet.Pod) {
	t.Helper()
	ns := world.cluster.Namespace(t)
	key, p := loopKey(ns), agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	return key, p, podsOf(t, ns, count)
}

func podsOf(t *testing.T, namespace string, count int) []*fleet.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := fleet.New(t.Context(), fleet.Options{Config: world.cluster.Config, Namespace: namespace, Image: sidecarImage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	pods, err := f.Add(ctx, "chat", count)
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

// keyShows waits until the probe finds nothing wrong with a SigningKey.
func keyShows(t *testing.T, key *v1alpha1.SigningKey, probe func() string) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		return probe()
	})
}

// verifiersOf is what the status says of the verifiers of a key.
func verifiersOf(key *v1alpha1.SigningKey, kid string) string {
	for _, one := range key.Status.Keys {
		if one.KID == kid && one.Verifiers != nil {
			return fmt.Sprintf("%d/%d %s", one.Verifiers.Ready, one.Verifiers.Total, strings.Join(one.Verifiers.Lagging, ","))
		}
	}
	return "unknown"
}

func published(key *v1alpha1.SigningKey) string {
	for _, one := range key.Status.Keys {
		if one.Phase == "Published" {
			return one.KID
		}
	}
	return ""
}

func TestAKeyIsUsedWhenEveryVerifierProvedToHaveIt(t *testing.T) {
	t.Parallel()
	key, p, pods := guarded(t, 4)
	first := key.Status.ActiveKeyID
	keyShows(t, key, func() string {
		if got := verifiersOf(key, first); got != "4/4 " {
			return got
		}
		return ""
	})
	late := pods[2]
	late.Hold(true)
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	keyHas(t, key, rotating, yes, v1alpha1.ReasonWaitingForVerifiers)
	next := published(key)
	keyShows(t, key, func() string {
		message := meta.FindStatusCondition(key.Status.Conditions, rotating).Message
		if !strings.Contains(message, next+" is not used before these pods acknowledged it: "+late.Name+" (has an older bundle); look at") {
			return message
		}
		if got := verifiersOf(key, next); got != "3/4 "+late.Name {
			return got
		}
		return ""
	})
	time.Sleep(2 * time.Second) // twice prePublish
	keyShows(t, key, func() string { return "" })
	if key.Status.ActiveKeyID != first {
		t.Fatalf("key %s is used although %s lacks it", key.Status.ActiveKeyID, late.Name)
	}
	late.Hold(false)
	keyShows(t, key, func() string {
		if key.Status.ActiveKeyID != next {
			return "the next key is not used"
		}
		return ""
	})
	for _, pod := range pods {
		if !pod.Knows(next) {
			t.Errorf("pod %s lacks the key that is used", pod.Name)
		}
	}
	hasEvent(t, key, "KeyAcknowledged", next+" is known to all 4 pods")
	if kids := kidsOf(t, p); !slices.Contains(kids, first) {
		t.Errorf("the old key is gone at once: %v", kids)
	}
}

// A pod that is gone is not waited for, nor one whose sidecar never started.
func TestAPodThatIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	key, _, pods := guarded(t, 2)
	create(t, chatPod(key.Namespace, "never-started", "chat"))
	pods[0].Silence(true)
	pods[0].Hold(true)
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	keyHas(t, key, rotating, yes, v1alpha1.ReasonWaitingForVerifiers)
	keyShows(t, key, func() string {
		message := meta.FindStatusCondition(key.Status.Conditions, rotating).Message
		if !strings.Contains(message, pods[0].Name+" (does not answer); let the controller reach port gatepost-adm") {
			return message
		}
		return ""
	})
	next := published(key)
	if err := pods[0].Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyShows(t, key, func() string {
		if key.Status.ActiveKeyID != next {
			return "the next key is not used"
		}
		return ""
	})
}

func TestARevocationIsAcknowledged(t *testing.T) {
	t.Parallel()
	key, _, pods := guarded(t, 3)
	first := key.Status.ActiveKeyID
	pods[1].Hold(true)
	annotate(t, key, v1alpha1.AnnotationRevokeKey, first)
	keyShows(t, key, func() string {
		if last := key.Status.LastRevocation; last == nil || last.KID != first || last.RevokedTime == nil {
			return fmt.Sprintf("last revocation %+v", last)
		}
		if !pods[0].Knows(first) && !pods[2].Knows(first) {
			return ""
		}
		return "pods have not heard of it"
	})
	time.Sleep(time.Second)
	keyShows(t, key, func() string { return "" })
	if key.Status.LastRevocation.AcknowledgedTime != nil {
		t.Fatalf("acknowledged, although %s still accepts the key", pods[1].Name)
	}
	pods[1].Hold(false)
	keyShows(t, key, func() string {
		if key.Status.LastRevocation.AcknowledgedTime == nil {
			return "it is not acknowledged"
		}
		return ""
	})
	for _, pod := range pods {
		if pod.Knows(first) {
			t.Errorf("pod %s accepts the revoked key", pod.Name)
		}
	}
	hasEvent(t, key, "RevocationAcknowledged", first+" is refused by all 3 pods")
}
