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

// The bounds of what one site remembers, in bytes of memory as they are
// estimated. An ordinary token takes two to four thousand, so that there is room
// for as many as there are places.
const (
	recallBytes  = 16 << 20
	recalledSize = 64 << 10 // of one token; what is heavier is verified each time
)

// recall remembers which tokens one site accepted, by the SHA-256 of their
// whole text, so that a client that calls again costs a hash instead of a
// signature. It remembers what was verified, never what that was allowed to do.
//
// A memory ends with the site (end), when keys of it may have changed (forget),
// at the token's exp without leeway, and when other tokens take its place or its
// bytes: both are bounded. The zero recall remembers nothing.
type recall struct{ memory atomic.Pointer[memory] }

// memory is what is remembered under one state of the keys.
type memory struct {
	used atomic.Int64  // bytes of what is in the places, or about to be
	hand atomic.Uint64 // where room is made next
	sets [1024]places
}

// places are where a token may be. A single one would be shared by every fifth
// of a thousand tokens, which then would drive each other out for ever.
type places [4]atomic.Pointer[acceptance]

// acceptance is one remembered token. It is immutable.
type acceptance struct {
	sum     [sha256.Size]byte
	size    int64     // bytes
	since   time.Time // when it was verified; before, nothing is known of it
	outcome token.Outcome
	persona *persona
}

func newRecall() *recall {
	r := new(recall)
	r.memory.Store(new(memory))
	return r
}

// forget drops everything.
func (r *recall) forget() {
	if old := r.memory.Load(); old != nil { // an ended one stays so
		r.memory.CompareAndSwap(old, new(memory)) // or somebody else forgot since
	}
}

// end drops everything and remembers nothing from now on.
func (r *recall) end() { r.memory.Store(nil) }

// find returns the acceptance of the token with this sum if it still holds now.
func (m *memory) find(sum [sha256.Size]byte, now time.Time) *acceptance {
	if m == nil {
		return nil
	}
	set := m.set(sum)
	for i := range set {
		if a := set[i].Load(); a != nil && a.sum == sum && a.holds(now) {
			return a
		}
	}
	return nil
}

// holds reports whether what is remembered is still true.
func (a *acceptance) holds(now time.Time) bool {
	return !now.Before(a.since) && now.Before(a.outcome.Verified.Expires())
}

// keep puts an acceptance in a place that is free or holds nothing true any
// more, else in that of the oldest.
func (m *memory) keep(a *acceptance) {
	if m == nil || a.size > recalledSize {
		return
	}
	set, at := m.set(a.sum), 0
	var oldest time.Time
	for i := range set {
		old := set[i].Load()
		if old == nil || old.sum == a.sum || !old.holds(a.since) {
			at = i
			break
		}
		if oldest.IsZero() || old.since.Before(oldest) {
			at, oldest = i, old.since
		}
	}
	m.swap(&set[at], nil)
	if m.reserve(a.size) {
		m.swap(&set[at], a)
	}
}

// reserve makes room for so many bytes, at the cost of what lies where the hand
// points. It fails only while others take what it frees.
func (m *memory) reserve(size int64) bool {
	used := m.used.Add(size)
	for range m.sets {
		if used <= recallBytes {
			return true
		}
		set := &m.sets[m.hand.Add(1)%uint64(len(m.sets))]
		for i := range set {
			m.swap(&set[i], nil)
		}
		used = m.used.Load()
	}
	m.used.Add(-size)
	return false
}

// swap puts a, which is reserved, or nothing in a place and gives back the bytes
// of what was there. Whoever takes an acceptance out gives back its bytes.
func (m *memory) swap(at *atomic.Pointer[acceptance], a *acceptance) {
	if old := at.Swap(a); old != nil {
		m.used.Add(-old.size)
	}
}

func (m *memory) set(sum [sha256.Size]byte) *places {
	return &m.sets[binary.LittleEndian.Uint64(sum[:8])%uint64(len(m.sets))]
}

// remembered recalls that a token was verified; the zero Outcome says that
// nothing is known of it.
func (s *site) remembered(from *credential, now time.Time) (token.Outcome, *persona) {
	known := s.recall.memory.Load().find(from.sum, now)
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
	memory := s.recall.memory.Load() // before verifying: keys may change meanwhile
	outcome := s.Verifier.Verify(ctx, from.raw, now)
	who := s.newPersona(outcome.Verified)
	if outcome.Reason == policy.OK && who != nil && outcome.Leeway == "" {
		memory.keep(newAcceptance(from.sum, now, outcome, who))
	}
	return outcome, who
}

// newAcceptance is what is remembered of a token that was just verified.
func newAcceptance(sum [sha256.Size]byte, now time.Time, outcome token.Outcome, who *persona) *acceptance {
	const self = 256
	outcome.Lookup = "" // the key is known from now on
	return &acceptance{
		sum: sum, since: now, outcome: outcome, persona: who,
		size: int64(self + outcome.Verified.Size() + who.size()),
	}
}
