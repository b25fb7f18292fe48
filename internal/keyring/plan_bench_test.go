package keyring

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPlan is a plan that changes nothing, which most are, for a set with
// everything in it under many verifiers.
func BenchmarkPlan(b *testing.B) {
	for _, pods := range []int{3, 5000} {
		b.Run(fmt.Sprint(pods, " verifiers"), func(b *testing.B) {
			planner := Planner{Rand: &counter{}, NewKey: func() (Material, error) { return Material{Value: Octets("secret")}, nil }}
			spec, obs := hs256(), Observations{Distributed: Everywhere, Accepted: map[string]time.Time{}}
			spec.WaitForVerifiers = true
			for i := range pods {
				obs.Verifiers = append(obs.Verifiers, Verifier{Name: fmt.Sprint("pod-", i), Acked: 2})
			}
			for i := range MaxRevoked {
				obs.Memory.Revoked = append(obs.Memory.Revoked, fmt.Sprintf("%d-elsewhere", i))
			}
			var state *State
			for i := range 4 {
				res, err := planner.Plan(spec, state, obs, day.Add(time.Duration(i)*12*time.Hour))
				if err != nil {
					b.Fatal(err)
				}
				state = res.State
			}
			for b.Loop() {
				if _, err := planner.Plan(spec, state, obs, day.Add(36*time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
