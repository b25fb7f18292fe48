package sidecar

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gatepost.dev/gatepost/policy"
)

// throttle holds back clients whose requests keep being refused, with a token
// bucket per client address (decision 16).
//
// An address has one place in each of two fixed rows, chosen by a hash whose
// seed nobody knows, and shares it with whoever falls on the same one. A client
// is held back only while both of its buckets are empty. So nothing is ever
// evicted: however many addresses a client has, or makes up, none of them can
// have a bucket of its own refilled before its time. To empty the buckets of
// others it would have to be refused in every place at its rate, all the time.
type throttle struct {
	seed  maphash.Seed
	every time.Duration // between two refusals that a client may go on causing
	burst time.Duration // as many of these as it may cause at once
	rows  [2][throttlePlaces]atomic.Int64
}

// throttlePlaces is how many buckets a row has: 64 KiB of them, made only where
// a policy asks for it.
const throttlePlaces = 8192

// newThrottle makes the buckets of a limit, all full; nil where there is none.
func newThrottle(limit *policy.RejectionLimit, seed maphash.Seed) *throttle {
	if limit == nil {
		return nil
	}
	count, unit, _ := strings.Cut(limit.Rate, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil // Compile refuses it
	}
	per := time.Second
	if unit == "m" {
		per = time.Minute
	}
	every := per / time.Duration(n)
	return &throttle{seed: seed, every: every, burst: every * time.Duration(limit.Burst)}
}

// places are the buckets of a client. A bucket holds the time, in Unix
// nanoseconds, at which it will be full again.
func (t *throttle) places(client netip.Addr) [2]*atomic.Int64 {
	if client.Is6() { // one client has all of its /64
		if network, err := client.Prefix(64); err == nil {
			client = network.Addr()
		}
	}
	text := client.As16()
	hash := maphash.Bytes(t.seed, text[:])
	return [2]*atomic.Int64{
		&t.rows[0][hash%throttlePlaces],
		&t.rows[1][hash>>32%throttlePlaces],
	}
}

// holds is how long the client is still held back, zero if it is not.
func (t *throttle) holds(client netip.Addr, now time.Time) time.Duration {
	var wait time.Duration
	for i, place := range t.places(client) {
		full := time.Duration(place.Load() - now.UnixNano())
		empty := full - t.burst + t.every // until one more fits in
		if i == 0 || empty < wait {
			wait = empty
		}
	}
	return max(0, wait)
}

// charge takes a refusal from the client's buckets. They never owe more than
// what they hold, so a client that stops is heard again after one refusal's time.
func (t *throttle) charge(client netip.Addr, now time.Time) {
	at := now.UnixNano()
	for _, place := range t.places(client) {
		for {
			full := place.Load()
			next := min(max(full, at)+int64(t.every), at+int64(t.burst))
			if next <= full || place.CompareAndSwap(full, next) {
				break
			}
		}
	}
}

// heldBack is how long the client of a request is still held back.
func (s *site) heldBack(x *exchange, now time.Time) time.Duration {
	if s.throttle == nil {
		return 0
	}
	return s.throttle.holds(s.client(x.peer(), x.r.Header["X-Forwarded-For"]), now)
}

// chargeFor charges a refused request to its client, unless it was refused for
// what is our own fault or is held back already.
func (s *site) chargeFor(x *exchange, now time.Time) {
	if s.throttle == nil || x.reason == policy.KeysUnavailable || x.reason == policy.RateLimited {
		return
	}
	s.throttle.charge(s.client(x.peer(), x.r.Header["X-Forwarded-For"]), now)
}

// client is the address that a request is charged to: the peer's, or behind
// trusted proxies the last that is not one of theirs.
func (s *site) client(peer netip.Addr, forwardedFor []string) netip.Addr {
	if !s.trusts(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(forwardedFor, ","), ",")
	for _, hop := range slices.Backward(hops) {
		address, ok := parseHop(hop)
		if !ok {
			return peer // what stands before is not a proxy's word
		}
		if peer = address; !s.trusts(peer) {
			return peer
		}
	}
	return peer
}

// parseHop reads an element of X-Forwarded-For, to which some proxies add the
// port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddrPort(text)
	return address.Addr().Unmap().WithZone(""), err == nil
}
