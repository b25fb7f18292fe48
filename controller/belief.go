package controller

import (
	"slices"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
)

// claimRoom is by how much a revision or a generation that a pod or a sidecar
// names may be above the one that the cluster has. After a restore it is above by
// the changes since the backup; a liar must not be able to use up the numbers.
const claimRoom = 1 << 20

func believable(claimed, known int64) bool { return claimed-known <= claimRoom }

const (
	// maxLifts is how often in the life of a process sidecars lift a set above its
	// own numbers, which has a key that waits for them begin anew.
	maxLifts = 4
	// Sets are rebuilt after sidecars, and bundles numbered above them, so often at
	// once and then once in a period: a restore needs it once.
	maxFollowed  = 8
	maxClimbs    = 3
	followPeriod = time.Minute
	// maxTestimonies is how many different things the sidecars of one bundle can
	// say of a set.
	maxTestimonies = 64
)

// allowance is what may be done so often at once, and then once in a period.
type allowance struct {
	used int
	last time.Time
}

// left reports whether it may be done now.
func (a *allowance) left(most int, now time.Time) bool {
	if back := now.Sub(a.last) / followPeriod; back > 0 {
		a.used, a.last = max(0, a.used-int(min(back, time.Duration(most)))), now
	}
	return a.used < most
}

func (a *allowance) take(most int, now time.Time) bool {
	left := a.left(most, now)
	if left {
		a.used++
	}
	return left
}

// lifts reports whether sidecars may lift a set to a generation.
func (m *keyMemo) lifts(generation int64) bool {
	if generation > m.lifted && m.lift < maxLifts {
		m.lift, m.lifted = m.lift+1, generation
	}
	return generation <= m.lifted
}

// follows reports whether a set may be rebuilt after sidecars of a generation.
func (m *keyMemo) follows(generation int64, now time.Time) bool {
	if generation > m.followed && m.rebuilds.take(maxFollowed, now) {
		m.followed = generation
	}
	return generation <= m.followed
}

// known is the generation of the set that the cluster has.
func (w keyWorld) known() int64 {
	known := w.key.Status.KeyGeneration
	if w.state != nil {
		known = max(known, w.state.Generation)
	}
	for _, c := range w.carriers {
		known = max(known, c.generation)
	}
	return known
}

// floor is the highest generation that anybody names for a set of this name.
func (w keyWorld) floor() int64 {
	known := w.known()
	var highest, claimed int64
	for _, c := range w.carriers {
		highest = max(highest, c.generation)
		for _, answer := range c.report.Answers {
			if named := answer.State.Generations[w.key.Name]; believable(named, known) {
				claimed = max(claimed, named)
			}
		}
	}
	if claimed <= known || w.memo.lifts(claimed) {
		highest = max(highest, claimed)
	}
	return highest
}

// testimonies are what a bundle's sidecars remember. Thousands say the same.
func (w keyWorld) testimonies(c carrier) []keyring.Witness {
	var distinct []keyring.Witness
	for _, answer := range c.report.Answers {
		one := w.testimony(c, answer.State)
		known := slices.ContainsFunc(distinct, func(other keyring.Witness) bool {
			return one.Ahead == other.Ahead && one.Generation == other.Generation &&
				slices.Equal(one.Live, other.Live) && slices.Equal(one.Claimed, other.Claimed)
		})
		if !known && len(distinct) < maxTestimonies {
			distinct = append(distinct, one)
		}
	}
	return distinct
}

// testimony is what one sidecar remembers: which keys were live and which were
// revoked, if it is ahead of its bundle. One that is merely late is a witness only
// of revocations of keys that are gone: it has them from a bundle, and so has the
// cluster what it says of a live one.
func (w keyWorld) testimony(c carrier, state bundle.State) keyring.Witness {
	name := w.key.Name
	generation, known := state.Generations[name], w.known()
	if state.Revision > c.revision && believable(state.Revision, c.revision) && believable(generation, known) &&
		(generation <= known || w.memo.follows(generation, w.now)) {
		return keyring.Witness{Ahead: true, Generation: generation, Live: state.KIDs[name], Claimed: state.Revoked[name]}
	}
	return keyring.Witness{Claimed: slices.DeleteFunc(slices.Clone(state.Revoked[name]), w.live)}
}

// live reports whether it is the id of a live key, in the state or in a bundle.
func (w keyWorld) live(kid string) bool {
	if w.state != nil && slices.ContainsFunc(w.state.Keys, func(key keyring.Key) bool { return key.KID == kid }) {
		return true
	}
	return slices.ContainsFunc(w.carriers, func(c carrier) bool {
		return slices.ContainsFunc(c.keys, func(key keyring.VerifyKey) bool { return key.KID == kid })
	})
}
