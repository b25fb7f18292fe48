//go:build cluster && linux

package fleet_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// What a rotation costs the controller, by the number of policies with a key and
// pods of their own that rotate at once in one namespace.
func TestARotationCostsNoMoreWithMorePolicies(t *testing.T) {
	sizes := []int{1, 10}
	if soak() > 1 {
		sizes = []int{1, 10, 50}
	}
	growth(t, "policies", sizes, func(ns string, n int) *arrangement {
		a := &arrangement{pods: map[string]int{}}
		for i := range n {
			policy, key := fmt.Sprint("agents-", i), fmt.Sprint("tokens-", i)
			a.keys = append(a.keys, fastKey(ns, key))
			a.policies = append(a.policies, fastPolicy(ns, policy, key))
			a.pods[policy] = 4
		}
		return a
	})
}

// The same by the number of key sets that one policy trusts, of which there are
// at most eight.
func TestARotationCostsNoMoreWithMoreKeys(t *testing.T) {
	growth(t, "keys", []int{1, 4, 8}, func(ns string, n int) *arrangement {
		a := &arrangement{pods: map[string]int{"agents": 10}}
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint("tokens-", i))
			a.keys = append(a.keys, fastKey(ns, names[i]))
		}
		a.policies = append(a.policies, fastPolicy(ns, "agents", names...))
		return a
	})
}

// arrangement is what there is in a namespace.
type arrangement struct {
	keys     []*v1alpha1.SigningKey
	policies []*v1alpha1.AgentAuthPolicy
	pods     map[string]int // by policy
}

// growth rotates every key of each arrangement once, all at the same time, and
// holds what one rotation costs of API calls to that of the smallest.
func growth(t *testing.T, dimension string, sizes []int, arrange func(ns string, n int) *arrangement) {
	t.Helper()
	var first float64
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ns := world.cluster.Namespace(t)
			used := rotateAll(t, ns, arrange(ns, n))
			perRotation := used.apiCalls / float64(n)
			name := fmt.Sprintf("fleet_%d_%s_", n, dimension)
			figure(name+"cpu_per_rotation", fmt.Sprintf("%.3f", used.cpu.Seconds()/float64(n)), "s")
			figure(name+"api_calls_per_rotation", fmt.Sprintf("%.1f", perRotation), "calls")
			figure(name+"rss_peak", fmt.Sprintf("%.0f", used.peak), "MB")
			if first == 0 {
				first = perRotation
			}
			if perRotation > 1.5*first {
				t.Errorf("%.0f API calls per rotation, with %d %s it was %.0f", perRotation, sizes[0], dimension, first)
			}
		})
	}
}

// rotateAll rotates every key once and returns what that cost.
func rotateAll(t *testing.T, ns string, a *arrangement) cost {
	t.Helper()
	program := ownProcess(t, ns)
	f := newFleet(t, fleet.Options{Namespace: ns})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for _, key := range a.keys {
		key.Spec.Rotation.PrePublish = duration(time.Second)
		key.Spec.Rotation.RetireAfter = duration(3 * time.Second)
		create(t, key)
	}
	for _, p := range a.policies {
		create(t, p)
		if _, err := f.Add(ctx, p.Name, a.pods[p.Name]); err != nil {
			t.Fatal(err)
		}
	}
	var traffic []fleet.Traffic
	for i, key := range a.keys {
		signer, err := f.Signer(ctx, key.Spec.ExportTo.SecretName, "HS256", fleet.Span{Max: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		traffic = append(traffic, fleet.Traffic{Signer: signer, Policy: a.policies[min(i, len(a.policies)-1)].Name, Every: 200 * time.Millisecond, Sample: 4})
	}
	sending := send(t, f, traffic...)
	settle(t, f)
	before := program.cost(t)
	var all sync.WaitGroup
	for _, key := range a.keys {
		all.Go(func() {
			if err := rotate(ctx, t, f, key); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	after := program.cost(t)
	sending()
	held(t, f)
	return cost{cpu: after.cpu - before.cpu, apiCalls: after.apiCalls - before.apiCalls, peak: after.peak}
}
