package sidecar

import (
	"slices"
	"testing"
	"time"
)

// A revocation is acknowledged no sooner than the sidecar has taken it up, so
// what passes between the kubelet's swap and that is time in which a revoked key
// is accepted.
func TestReloadDelayIsMeasured(t *testing.T) {
	g := startMounted(t, nil)
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 1, kid: "1-a"}) })
	const swaps = 30
	var delays []time.Duration
	for n := int64(2); n < 2+swaps; n++ {
		time.Sleep(time.Duration(n) * 17 % 250 * time.Millisecond) // at no fixed distance from the watcher's looks
		g.mountBundle(mounted{revision: n, kid: "1-a"})
		swapped := time.Now()
		await := time.After(10 * time.Second)
		for g.sidecar.current.Load().Revision != n {
			select {
			case <-await:
				t.Fatalf("revision %d is not in force 10 s after it was mounted", n)
			case <-time.After(200 * time.Microsecond):
			}
		}
		delays = append(delays, time.Since(swapped))
	}
	slices.Sort(delays)
	t.Logf("figure: mount_to_force_median %.1f ms", float64(delays[swaps/2].Microseconds())/1000)
	t.Logf("figure: mount_to_force_worst %.1f ms", float64(delays[swaps-1].Microseconds())/1000)
}
