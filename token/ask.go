package token

import (
	"context"
	"hash/maphash"
	"time"
)

// ask is for a kid that is not loaded, or for any set when none is in force
// (have is false). It may cause one fetch and wait for it.
func (f *feed) ask(ctx context.Context, kid string, have bool) Lookup {
	boarded, answer := f.board(kid, have)
	if boarded == nil {
		return answer
	}
	defer f.leave()
	patience := waitForKID
	if !have {
		patience = waitForFirst
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-boarded.done:
	case <-ctx.Done():
		return LookupFailed
	case <-timer.C:
		return LookupFailed
	}
	if boarded.failed {
		return LookupFailed
	}
	f.remember(kid)
	return LookupAbsent
}

// board finds the flight to wait for, or the answer without one. An unknown kid
// starts a flight at most once per interval, not soon after a failure, and not
// if it was found absent a short while ago.
func (f *feed) board(kid string, have bool) (*flight, Lookup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now
	switch {
	case f.cancel == nil:
		return nil, LookupFailed
	case have && f.knownAbsent(kid, now()):
		return nil, LookupSuppressed
	case f.flight == nil && !have:
		return nil, LookupFailed
	case f.flight == nil && !f.mayAsk(now()):
		return nil, LookupSuppressed
	case f.waiting >= maxWaiting:
		return nil, LookupOverloaded
	}
	if f.flight == nil {
		f.askedAt = now()
		f.flight = &flight{done: make(chan struct{})}
		f.nudge()
	}
	f.waiting++
	return f.flight, ""
}

func (f *feed) mayAsk(now time.Time) bool {
	if f.failures > 0 && now.Sub(f.failedAt) < f.timing.retry {
		return false
	}
	return f.askedAt.IsZero() || now.Sub(f.askedAt) >= f.timing.unknown
}

func (f *feed) leave() {
	f.mu.Lock()
	f.waiting--
	f.mu.Unlock()
}

// remember notes a kid that a fresh set does not hold. The kid itself is not
// kept: it is as long as its sender likes.
func (f *feed) remember(kid string) {
	good := f.good.Load()
	if good == nil || good.set.byKID[kid] != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.absent) >= maxAbsent {
		clear(f.absent)
	}
	f.absent[maphash.String(f.seed, kid)] = f.cfg.Now()
}

// knownAbsent reports whether a kid was absent less than one interval ago. It
// lasts no longer: an attacker may name the next key before it is published.
func (f *feed) knownAbsent(kid string, now time.Time) bool {
	since, known := f.absent[maphash.String(f.seed, kid)]
	return known && now.Sub(since) < f.timing.unknown
}
