package sidecar

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// recall remembers which tokens one site accepted, by the SHA-256 of their
// whole text, so that a client that calls again costs a hash instead of a
// signature. It remembers what was verified, never what that was allowed to do.
//
// A memory ends with the site, when keys of it may have changed (forget), at
// the token's exp without leeway, and when other tokens take its places: they
// are fixed, so it is bounded.
type recall struct {
	edition atomic.Uint64 // counts forget
	sets    [1024]places
}

// places are where a token may be. A single one would be shared by every fifth
// of a thousand tokens, which then would drive each other out for ever.
type places [4]atomic.Pointer[acceptance]

// acceptance is one remembered token. It is immutable.
type acceptance struct {
	sum     [sha256.Size]byte
	edition uint64
	since   time.Time // when it was verified; before, nothing is known of it
	outcome token.Outcome
	persona *persona
}

// forget drops everything.
func (r *recall) forget() { r.edition.Add(1) }

// find returns the acceptance of the token with this sum if it still holds now.
func (r *recall) find(sum [sha256.Size]byte, now time.Time) *acceptance {
	set := r.set(sum)
	for i := range set {
		if a := set[i].Load(); a != nil && a.sum == sum && r.holds(a, now) {
			return a
		}
	}
	return nil
}

// holds reports whether what is remembered is still true.
func (r *recall) holds(a *acceptance, now time.Time) bool {
	return a.edition == r.edition.Load() && !now.Before(a.since) && now.Before(a.outcome.Verified.Expires())
}

// keep puts an acceptance in a place that is free or holds nothing true any
// more, else in that of the oldest.
func (r *recall) keep(a *acceptance) {
	set, at := r.set(a.sum), 0
	var oldest time.Time
	for i := range set {
		old := set[i].Load()
		if old == nil || old.sum == a.sum || !r.holds(old, a.since) {
			at = i
			break
		}
		if oldest.IsZero() || old.since.Before(oldest) {
			at, oldest = i, old.since
		}
	}
	set[at].Store(a)
}

func (r *recall) set(sum [sha256.Size]byte) *places {
	return &r.sets[binary.LittleEndian.Uint64(sum[:8])%uint64(len(r.sets))]
}

// remembered recalls that a token was verified; the zero Outcome says that
// nothing is known of it.
func (s *site) remembered(from *credential, now time.Time) (token.Outcome, *persona) {
	known := s.recall.find(from.sum, now)
	if known == nil {
		return token.Outcome{}, nil
	}
	outcome := known.outcome
	outcome.Remaining = outcome.Verified.Expires().Sub(now)
	return outcome, known.persona
}

// verify verifies a token and remembers it. One that only the leeway saved is
// verified each time.
func (s *site) verify(ctx context.Context, from *credential, now time.Time) (token.Outcome, *persona) {
	edition := s.recall.edition.Load() // before verifying: keys may change meanwhile
	outcome := s.Verifier.Verify(ctx, from.raw, now)
	who := s.newPersona(outcome.Verified)
	if outcome.Reason == policy.OK && who != nil && outcome.Leeway == "" {
		kept := outcome
		kept.Lookup = "" // the key is known from now on
		s.recall.keep(&acceptance{sum: from.sum, edition: edition, since: now, outcome: kept, persona: who})
	}
	return outcome, who
}
