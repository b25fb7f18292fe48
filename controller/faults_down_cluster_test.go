//go:build cluster

package controller_test

import (
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/keyring"
)

// overlaps is how long a controller is away: so many times retireAfter.
const overlaps = 10

// A controller goes away in each phase of a rotation, for ten overlaps. Nobody is
// refused meanwhile, and the one that comes back brings everything to its end.
func TestAControllerMayBeDownForTenOverlaps(t *testing.T) {
	alone(t)
	var group sync.WaitGroup
	for _, phase := range []keyring.Phase{keyring.Published, keyring.Retiring} {
		group.Go(func() {
			t.Run(string(phase), func(t *testing.T) { leaveIn(t, phase) })
		})
	}
	group.Wait()
}

func leaveIn(t *testing.T, phase keyring.Phase) {
	s := stories()["rotation"]
	run := newLane(t, s)
	before := run.witness.activeKID()
	s.begins(t, run)
	run.witness.await(t, "a key to be "+string(phase), func() bool { return run.witness.came(phase, before) })
	run.stop()
	served := run.fleet.Counts().Accepted
	time.Sleep(overlaps * run.key.Spec.Rotation.RetireAfter.Duration)
	if now := run.fleet.Counts(); now.Accepted <= served || now.Refused > 0 {
		t.Errorf("without a controller %d tokens were accepted and %d refused", now.Accepted-served, now.Refused)
	}
	run.start(t)
	run.settle(t, "after ten overlaps", before, len(run.policies))
	t.Logf("figure: controller_down_%s_tokens_refused %d tokens", phase, run.fleet.Counts().Refused)
}
