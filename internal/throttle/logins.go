package throttle

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// LoginLimits are how many wrong passwords are tried: by one source for one user, by
// one source for all users, and by everybody.
type LoginLimits struct {
	UserAndSource, Source, All Limit
}

// DefaultLoginLimits let a person mistype and a house of people share an address,
// and hold a program back after 16 wrong passwords.
func DefaultLoginLimits() LoginLimits {
	return LoginLimits{
		UserAndSource: Limit{Every: 30 * time.Second, Burst: 8},
		Source:        Limit{Every: 20 * time.Second, Burst: 16},
		All:           Limit{Every: 200 * time.Millisecond, Burst: 256},
	}
}

// Logins holds back who tries passwords. Its size is fixed, and nothing that is tried
// makes it forget a key: see the package comment.
type Logins struct {
	pairs, sources, all *Table
}

// NewLogins makes the tables of limits; for the seed see New.
func NewLogins(limits LoginLimits, seed maphash.Seed) *Logins {
	return &Logins{
		pairs:   New(limits.UserAndSource, seed),
		sources: New(limits.Source, seed),
		all:     New(limits.All, seed),
	}
}

// Attempt is one password that may be tried.
type Attempt struct {
	pair, source, all Taken
}

// Admit counts an attempt before its password is hashed, so that however many come at
// once no more are tried than the limits say. If wait is not zero the attempt must be
// refused (429 with Retry-After), and has cost nobody anything. Nobody learns from it
// whether there is such a user.
func (l *Logins) Admit(user string, client netip.Addr, now time.Time) (attempt Attempt, wait time.Duration) {
	source := Source(client)
	pair := append(append(make([]byte, 0, len(source)+len(user)), source[:]...), user...)
	if attempt.source, wait = l.sources.Take(source[:], now); wait > 0 {
		return Attempt{}, wait
	}
	if attempt.pair, wait = l.pairs.Take(pair, now); wait > 0 {
		attempt.DoesNotCount()
		return Attempt{}, wait
	}
	if attempt.all, wait = l.all.Take(nil, now); wait > 0 {
		attempt.DoesNotCount()
		return Attempt{}, wait
	}
	return attempt, 0
}

// DoesNotCount takes an attempt back, once: its password was right, or nobody looked at
// it because too many others were being hashed. Earlier attempts stay counted, whoever
// made them.
func (a Attempt) DoesNotCount() {
	a.source.GiveBack()
	a.pair.GiveBack()
	a.all.GiveBack()
}
