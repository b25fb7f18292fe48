package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

// verifier is the part of a sidecar that rotation is about.
type verifier struct {
	inForce       atomic.Pointer[bundle.Snapshot] // nil: it does not serve
	silent, lying atomic.Bool
	mu            sync.Mutex
	running       bool
	accepted      map[string]time.Time // by kid
	acknowledged  map[string]int64     // by SigningKey: the generation it answered last
	minimum       int64                // no revision below it comes into force
}

// start loads the mount into a process that remembers nothing.
func (v *verifier) start(mounted *edition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running, v.accepted, v.acknowledged = true, map[string]time.Time{}, nil
	v.takeUp(mounted)
}

func (v *verifier) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running = false
	v.inForce.Store(nil)
}

// reload takes up what the mount now holds.
func (v *verifier) reload(mounted *edition) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.running {
		v.takeUp(mounted)
	}
}

// takeUp puts an edition into force, if it may be. v.mu is held.
func (v *verifier) takeUp(mounted *edition) {
	v.inForce.Store(mounted.following(v.inForce.Load(), v.minimum))
}

func (v *verifier) serves() bool { return v.inForce.Load() != nil }

// judge judges a token as of a time. It reports false while the sidecar does not
// serve.
func (v *verifier) judge(ctx context.Context, jws string, now time.Time) (token.Outcome, bool) {
	snapshot := v.inForce.Load()
	if snapshot == nil {
		return token.Outcome{}, false
	}
	raw, reason := token.Extract([]string{"Bearer " + jws}, "Bearer ", 0)
	if reason != "" {
		return token.Outcome{Reason: reason}, true
	}
	outcome := snapshot.Verifier.Verify(ctx, raw, now)
	if outcome.Verified.Valid() {
		v.note(outcome.KID, now)
	}
	return outcome, true
}

// note keeps when a key was last accepted, to the second.
func (v *verifier) note(kid string, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if second := now.UTC().Truncate(time.Second); v.running && second.After(v.accepted[kid]) {
		v.accepted[kid] = second
	}
}

// state is what `/state` answers: about the Snapshot in force, or, of a liar,
// about the latest one.
func (v *verifier) state(podUID string, latest *edition) (*bundle.State, token.Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	snapshot := v.inForce.Load()
	if snapshot != nil && v.lying.Load() {
		snapshot = latest.following(snapshot, 0)
	}
	if snapshot == nil {
		return nil, nil
	}
	accepted := map[string]time.Time{}
	for kid, at := range v.accepted {
		if knows(snapshot, kid) {
			accepted[kid] = at
		}
	}
	v.acknowledged = snapshot.Generations
	return &bundle.State{
		PodUID: podUID, Revision: snapshot.Revision, Generations: maps.Clone(snapshot.Generations),
		LastAccepted: accepted, KIDs: snapshot.KIDs, Revoked: snapshot.Revoked,
	}, snapshot.AckKey
}

// acked is the generation of a SigningKey that the sidecar last acknowledged.
func (v *verifier) acked(signingKey string) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.acknowledged[signingKey]
}

func knows(snapshot *bundle.Snapshot, kid string) bool {
	for _, kids := range snapshot.KIDs {
		if slices.Contains(kids, kid) {
			return true
		}
	}
	return false
}

// Verify judges a token as of a time, as the sidecar would judge a request. It
// reports false while the sidecar does not serve.
func (p *Pod) Verify(ctx context.Context, jws string, now time.Time) (token.Outcome, bool) {
	return p.verifier.judge(ctx, jws, now)
}

// Revision is that of the bundle in force; zero while the sidecar does not serve.
func (p *Pod) Revision() int64 {
	if snapshot := p.verifier.inForce.Load(); snapshot != nil {
		return snapshot.Revision
	}
	return 0
}

// Knows reports whether the sidecar accepts tokens of a key.
func (p *Pod) Knows(kid string) bool {
	snapshot := p.verifier.inForce.Load()
	return snapshot != nil && knows(snapshot, kid)
}

// Acknowledged is the generation of a SigningKey that `/state` last answered to
// anybody since the sidecar started; zero: none.
func (p *Pod) Acknowledged(signingKey string) int64 { return p.verifier.acked(signingKey) }
