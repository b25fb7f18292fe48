package sidecar

import (
	"hash/maphash"
	"net/netip"
	"time"

	throttling "gatepost.dev/gatepost/internal/throttle"
	"gatepost.dev/gatepost/policy"
)

// throttle holds back clients whose requests keep being refused, with a token
// bucket per client address (decision 16).
type throttle struct {
	refusals *throttling.Table
}

// newThrottle makes the buckets of a limit, all full; nil where there is none.
func newThrottle(limit *policy.RejectionLimit, seed maphash.Seed) *throttle {
	if limit == nil {
		return nil
	}
	allowed, err := throttling.ParseLimit(limit.Rate, int(limit.Burst))
	if err != nil {
		return nil // Compile refuses it
	}
	return &throttle{refusals: throttling.New(allowed, seed)}
}

// holds is how long the client is still held back, zero if it is not.
func (t *throttle) holds(client netip.Addr, now time.Time) time.Duration {
	key := throttling.Source(client)
	return t.refusals.Wait(key[:], now)
}

// charge takes a refusal from the client's bucket.
func (t *throttle) charge(client netip.Addr, now time.Time) {
	key := throttling.Source(client)
	t.refusals.Charge(key[:], now)
}

// heldBack is how long the client of a request is still held back.
func (s *site) heldBack(x *exchange, now time.Time) time.Duration {
	if s.throttle == nil {
		return 0
	}
	return s.throttle.holds(s.trusted.Client(x.peer(), x.r.Header["X-Forwarded-For"]), now)
}

// chargeFor charges a refused request to its client, unless it was refused for
// what is our own fault or is held back already.
func (s *site) chargeFor(x *exchange, now time.Time) {
	if s.throttle == nil || x.reason == policy.KeysUnavailable || x.reason == policy.RateLimited {
		return
	}
	s.throttle.charge(s.trusted.Client(x.peer(), x.r.Header["X-Forwarded-For"]), now)
}
