// Package throttle holds back whoever asks too often or is refused too often: a
// token bucket per key, be it an address, a client, or a user at an address.
//
// A key has one place in each of two fixed rows, chosen by a hash whose seed nobody
// knows, and shares it with whoever falls on the same one. A key is held back only
// while both of its buckets are empty. So nothing is ever evicted: however many keys
// somebody has, or makes up, none of them can have a bucket of its own refilled before
// its time, as a cache that forgets its oldest entries can be made to (CVE-2024-21662).
// To empty the buckets of others it would have to use them all up, all the time.
//
// The package reads no clock: callers say what time it is.
package throttle

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// places is how many buckets a row has: 64 KiB of them.
const places = 8192

// Limit is the size of a bucket and how fast it refills. The zero Limit lets nobody
// through.
type Limit struct {
	// Every is the time in which one more fits in.
	Every time.Duration
	// Burst is how many fit in at once.
	Burst int
}

// ParseLimit reads a rate such as 20/s or 5/m, to which a policy adds its burst.
func ParseLimit(rate string, burst int) (Limit, error) {
	count, unit, _ := strings.Cut(rate, "/")
	n, err := strconv.Atoi(count)
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute}[unit]
	if err != nil || n < 1 || !known || burst < 1 {
		return Limit{}, fmt.Errorf("%q with a burst of %d is no limit: write 20/s or 5/m and a burst of at least 1", rate, burst)
	}
	return Limit{Every: per / time.Duration(n), Burst: burst}, nil
}

// Table is the buckets of a limit, all full at first. It has a fixed size of 128 KiB.
// Its methods may be called at the same time.
type Table struct {
	seed  maphash.Seed
	every time.Duration
	burst time.Duration // all that fit in, as time
	turn  sync.Mutex    // of Take
	rows  [2][places]atomic.Int64
}

// New makes the buckets of a limit. The seed keeps others from choosing keys that
// share the places of a victim; it is maphash.MakeSeed() outside of tests.
func New(limit Limit, seed maphash.Seed) *Table {
	return &Table{seed: seed, every: limit.Every, burst: limit.Every * time.Duration(limit.Burst)}
}

// of are the buckets of a key. A bucket holds the time, in Unix nanoseconds, at which
// it will be full again.
func (t *Table) of(key []byte) [2]*atomic.Int64 {
	hash := maphash.Bytes(t.seed, key)
	return [2]*atomic.Int64{
		&t.rows[0][hash%places],
		&t.rows[1][hash>>32%places],
	}
}

// Wait is how long the key is still held back, zero if it is not. It takes nothing.
func (t *Table) Wait(key []byte, now time.Time) time.Duration {
	if t.burst <= 0 {
		return time.Hour // the zero Limit never lets through
	}
	var wait time.Duration
	for i, place := range t.of(key) {
		full := time.Duration(place.Load() - now.UnixNano())
		empty := full - t.burst + t.every // until one more fits in
		if i == 0 || empty < wait {
			wait = empty
		}
	}
	return max(0, wait)
}

// Charge takes one from the key's buckets, whether or not it is there. They never owe
// more than what they hold, so a key that is left alone is let through again after the
// time of one.
func (t *Table) Charge(key []byte, now time.Time) {
	for _, place := range t.of(key) {
		t.charge(place, now)
	}
}

// charge takes one from a bucket, or what is left in it, and returns how much that was.
func (t *Table) charge(place *atomic.Int64, now time.Time) int64 {
	at := now.UnixNano()
	for {
		full := place.Load()
		was := max(full, at)
		next := min(was+int64(t.every), at+int64(t.burst))
		if next <= was {
			return 0
		}
		if place.CompareAndSwap(full, next) {
			return next - was
		}
	}
}

// Taken is what Take took. The zero Taken is nothing.
type Taken struct {
	places [2]*atomic.Int64
	amount [2]int64
}

// Take takes one from the key's buckets, or none, and returns how long to wait until
// there is one. However many ask at once, no more are let through than the limit says.
func (t *Table) Take(key []byte, now time.Time) (taken Taken, wait time.Duration) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if wait = t.Wait(key, now); wait > 0 {
		return Taken{}, wait
	}
	taken.places = t.of(key)
	for i, place := range taken.places {
		taken.amount[i] = t.charge(place, now)
	}
	return taken, 0
}

// GiveBack returns what turned out not to count, once. Buckets that have filled up
// meanwhile stay full.
func (t Taken) GiveBack() {
	for i, place := range t.places {
		if place != nil {
			place.Add(-t.amount[i])
		}
	}
}

// Source is the key of a client's address. A client with an IPv6 address has all of
// its /64.
func Source(client netip.Addr) [16]byte {
	if client = client.Unmap(); client.Is6() {
		if network, err := client.Prefix(64); err == nil {
			client = network.Addr()
		}
	}
	return client.As16()
}

// RetryAfter is a wait as the header Retry-After says it: in whole seconds, at least
// one (RFC 9110 section 10.2.3).
func RetryAfter(wait time.Duration) int {
	return max(1, int((wait+time.Second-1)/time.Second))
}
