//go:build cluster && linux

package fleet_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// onlyPods in the environment chooses one size, to look into it.
const onlyPods = "FLEET_PODS"

// What a rotation costs the controller, by the number of pods.
func TestARotationCostsNoMoreThanLinearlyInPods(t *testing.T) {
	sizes, lifetime, limit := []int{50, 250}, 6*time.Second, 10*time.Minute
	if soak() > 1 {
		sizes, lifetime, limit = []int{50, 500, 5000}, time.Minute, 20*time.Minute
	}
	if only := os.Getenv(onlyPods); only != "" {
		n, err := strconv.Atoi(only)
		if err != nil {
			t.Fatal(err)
		}
		sizes = []int{n}
	}
	var first cost
	for _, pods := range sizes {
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			used := rotateOnce(t, pods, lifetime, limit)
			if first.apiCalls == 0 {
				first = used
			}
			more := float64(pods) / float64(sizes[0])
			name := fmt.Sprintf("fleet_%d_pods_", pods)
			figure(name+"api_calls_per_pod_ratio", ratio(used.apiCalls, first.apiCalls*more), "ratio")
			figure(name+"cpu_per_pod_ratio", ratio(used.cpu.Seconds(), first.cpu.Seconds()*more), "ratio")
			figure(name+"rotation_per_pod_ratio", ratio(used.took.Seconds(), first.took.Seconds()*more), "ratio")
			if used.apiCalls > 1.2*more*first.apiCalls {
				t.Errorf("%.0f API calls, with %d pods it was %.0f", used.apiCalls, sizes[0], first.apiCalls)
			}
			if used.peak > 300 {
				t.Errorf("the controller took %.0f MB, want at most 300", used.peak)
			}
		})
	}
}

// ratio is what something cost over what it would have in proportion.
func ratio(is, linear float64) string { return fmt.Sprintf("%.2f", is/linear) }

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
	settle(t, f)
	before := program.cost(t)
	if err := rotate(ctx, t, f, key); err != nil {
		t.Fatal(err)
	}
	after := program.cost(t)
	sending()
	held(t, f)
	used := cost{took: after.at.Sub(before.at), cpu: after.cpu - before.cpu, apiCalls: after.apiCalls - before.apiCalls, peak: after.peak}
	name := fmt.Sprintf("fleet_%d_pods_", pods)
	figure(name+"rotation", fmt.Sprintf("%.1f", used.took.Seconds()), "s")
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
func settle(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	var last int64
	eventually(t, 10*time.Minute, func() string {
		deliveries := f.Counts().Deliveries
		if deliveries != last {
			last = deliveries
			time.Sleep(3 * time.Second)
			return "bundles are still on their way"
		}
		return ""
	})
}

// rotate asks for a rotation and returns once every pod that has the old key
// has given it up for the new one.
func rotate(ctx context.Context, t *testing.T, f *fleet.Fleet, key *v1alpha1.SigningKey) error {
	if err := world.api.Get(ctx, client.ObjectKeyFromObject(key), key); err != nil {
		return err
	}
	old, began := key.Status.ActiveKeyID, time.Now()
	var pods []*fleet.Pod
	for _, pod := range f.Pods("") {
		if pod.Knows(old) {
			pods = append(pods, pod)
		}
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRotateNow, began)
	if err := world.api.Patch(ctx, key, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return err
	}
	var last string
	for sleep(ctx, 50*time.Millisecond) {
		if err := world.api.Get(ctx, client.ObjectKeyFromObject(key), key); err != nil {
			return err
		}
		now := fmt.Sprintf("%d keys, a new one signs: %v", len(key.Status.Keys), key.Status.ActiveKeyID != old)
		if now != last {
			t.Logf("%s after %.1f s: %s", key.Name, time.Since(began).Seconds(), now)
			last = now
		}
		if len(key.Status.Keys) == 1 && key.Status.ActiveKeyID != old && moved(pods, old, key.Status.ActiveKeyID) {
			return nil
		}
	}
	return fmt.Errorf("%s did not rotate within the time: keys %+v, conditions %+v", key.Name, key.Status.Keys, key.Status.Conditions)
}

// moved reports whether pods that are still there have the new key alone.
func moved(pods []*fleet.Pod, old, now string) bool {
	for _, pod := range pods {
		if pod.Revision() > 0 && (pod.Knows(old) || !pod.Knows(now)) {
			return false
		}
	}
	return true
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
