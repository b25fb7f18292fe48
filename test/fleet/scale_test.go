//go:build cluster && linux

package fleet_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// What a rotation costs the controller, by the number of pods.
func TestARotationCostsNoMoreThanLinearlyInPods(t *testing.T) {
	sizes, lifetime, limit := []int{50, 250}, 6*time.Second, 3*time.Minute
	if soak() > 1 {
		sizes, lifetime, limit = []int{50, 500, 5000}, time.Minute, 20*time.Minute
	}
	var first float64
	for _, pods := range sizes {
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			used := rotateOnce(t, pods, lifetime, limit)
			perPod := used.apiCalls / float64(pods)
			if first == 0 {
				first = perPod
			}
			if perPod > first*1.2+1 {
				t.Errorf("%.1f API calls per pod, with %d pods it was %.1f", perPod, sizes[0], first)
			}
			if used.peak > 300 {
				t.Errorf("the controller took %.0f MB, want at most 300", used.peak)
			}
		})
	}
}

// rotateOnce rotates one key under a controller of its own, and returns what
// that cost.
func rotateOnce(t *testing.T, pods int, lifetime, limit time.Duration) cost {
	t.Helper()
	ns := world.cluster.Namespace(t)
	program := ownProcess(t, ns)
	key, p := fastKey(ns, "tokens"), fastPolicy(ns, "chat", "tokens")
	key.Spec.MaxTokenLifetime = duration(lifetime)
	key.Spec.Rotation.PrePublish = duration(time.Second)
	key.Spec.Rotation.RetireAfter = duration(lifetime + 2*time.Second)
	create(t, key, p)
	f := newFleet(t, fleet.Options{Namespace: ns})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	if _, err := f.Add(ctx, "chat", pods); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pods after %.1f s", pods, time.Since(began).Seconds())
	signer, err := f.Signer(ctx, "tokens-export", "HS256", fleet.Span{Max: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	sending := send(t, f, fleet.Traffic{Signer: signer, Lifetime: lifetime, Policy: "chat", Sample: 10})
	settle(t, f, "chat")
	before := program.cost(t)
	rotate(ctx, t, f, key, limit)
	after := program.cost(t)
	sending()
	held(t, f)
	used := cost{cpu: after.cpu - before.cpu, apiCalls: after.apiCalls - before.apiCalls, peak: after.peak}
	name := fmt.Sprintf("fleet_%d_pods_", pods)
	figure(name+"rotation", fmt.Sprintf("%.1f", after.at.Sub(before.at).Seconds()), "s")
	figure(name+"cpu_per_rotation", fmt.Sprintf("%.2f", used.cpu.Seconds()), "s")
	figure(name+"api_calls_per_rotation", used.apiCalls, "calls")
	figure(name+"rss_peak", fmt.Sprintf("%.0f", used.peak), "MB")
	for method, n := range after.byMethod {
		t.Logf("%s %.0f", method, n-before.byMethod[method])
	}
	t.Logf("rss %.0f MB, %+v", after.rss, f.Counts())
	return used
}

// settle waits until every pod has the latest bundle and nothing changes any more.
func settle(t *testing.T, f *fleet.Fleet, policy string) {
	t.Helper()
	var last int64
	eventually(t, 10*time.Minute, func() string {
		questions := f.Counts().Deliveries
		if questions != last {
			last = questions
			time.Sleep(3 * time.Second)
			return "bundles are still on their way"
		}
		return ""
	})
}

// rotate asks for a rotation and returns once every pod has the new key and
// none the old one.
func rotate(ctx context.Context, t *testing.T, f *fleet.Fleet, key *v1alpha1.SigningKey, limit time.Duration) {
	t.Helper()
	if err := world.api.Get(ctx, client.ObjectKeyFromObject(key), key); err != nil {
		t.Fatal(err)
	}
	old, began := key.Status.ActiveKeyID, time.Now()
	annotate(t, key, v1alpha1.AnnotationRotateNow, time.Now().Format(time.RFC3339Nano))
	phase := ""
	eventually(t, limit, func() string {
		if err := world.api.Get(ctx, client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		now := fmt.Sprintf("%d keys, active is new: %v", len(key.Status.Keys), key.Status.ActiveKeyID != old)
		if now != phase {
			t.Logf("after %.1f s: %s", time.Since(began).Seconds(), now)
			phase = now
			if key.Status.ActiveKeyID != old {
				annotate(t, key, v1alpha1.AnnotationConfirmSigner, key.Status.ActiveKeyID)
			}
		}
		if key.Status.ActiveKeyID == old || len(key.Status.Keys) != 1 {
			return fmt.Sprintf("keys %+v %+v", key.Status.Keys, key.Status.Conditions)
		}
		lacking := 0
		for _, pod := range f.Pods("") {
			if pod.Knows(old) || !pod.Knows(key.Status.ActiveKeyID) {
				lacking++
			}
		}
		if lacking > 0 {
			return fmt.Sprintf("%d pods have not taken up the new keys", lacking)
		}
		return ""
	})
	t.Logf("after %.1f s: done", time.Since(began).Seconds())
}

// held fails when something happened that must not.
func held(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	counts := f.Counts()
	for _, violation := range counts.Violations {
		t.Error(violation)
	}
	if counts.More > 0 {
		t.Errorf("and %d more", counts.More)
	}
}
