package throttle

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// LoginLimits are how many wrong passwords are tried: by one source for one user, by
// one source for all users, by one network of IPv6 and by everybody. A source is an
// IPv4 address or a /64 of IPv6, a network a /48: whoever has one line has many of the
// former and one of the latter.
type LoginLimits struct {
	UserAndSource, Source, Network, All Limit
}

// DefaultLoginLimits let a person mistype and a house of people share an address,
// and hold a program back after 16 wrong passwords.
func DefaultLoginLimits() LoginLimits {
	return LoginLimits{
		UserAndSource: Limit{Every: 30 * time.Second, Burst: 8},
		Source:        Limit{Every: 20 * time.Second, Burst: 16},
		Network:       Limit{Every: 2 * time.Second, Burst: 64},
		All:           Limit{Every: 200 * time.Millisecond, Burst: 256},
	}
}

// remembered is how long it is known from where a user logged in.
const remembered = 30 * 24 * time.Hour

// Logins holds back who tries passwords. Its size is fixed, and nothing that is tried
// makes it forget a key: see the package comment.
//
// Who has logged in from where he is now draws from another bucket for all than
// strangers do, so that those who guess from everywhere use up their own.
type Logins struct {
	pairs, sources, networks, strangers, regulars *Table

	known *Table // held back: it has logged in from there
}

// NewLogins makes the tables of limits; for the seed see New.
func NewLogins(limits LoginLimits, seed maphash.Seed) *Logins {
	return &Logins{
		pairs:     New(limits.UserAndSource, seed),
		sources:   New(limits.Source, seed),
		networks:  New(limits.Network, seed),
		strangers: New(limits.All, seed),
		regulars:  New(limits.All, seed),
		known:     New(Limit{Every: remembered, Burst: 1}, seed),
	}
}

// Attempt is one password that may be tried. The zero Attempt is none.
type Attempt struct {
	logins *Logins
	pair   []byte
	taken  []Taken
}

// Admit counts an attempt before its password is hashed, so that however many come at
// once no more are tried than the limits say. If wait is not zero the attempt must be
// refused (429 with Retry-After), and has cost nobody anything. Nobody learns from it
// whether there is such a user, with one exception: while strangers have used up their
// bucket, who shares a source with a user sees that somebody has logged in from there
// by that name, because he is not refused. A pair that never logged in passes for one
// that did with the square of the share of places that those fill: 1.5 % at 1,000.
func (l *Logins) Admit(user string, client netip.Addr, now time.Time) (attempt Attempt, wait time.Duration) {
	source := Source(client)
	pair := append(append(make([]byte, 0, len(source)+len(user)), source[:]...), user...)
	attempt = Attempt{logins: l, pair: pair}
	all := l.strangers
	if l.known.Wait(pair, now) > 0 {
		all = l.regulars
	}
	for _, limit := range []struct {
		table *Table
		key   []byte
	}{{l.sources, source[:]}, {l.pairs, pair}, {l.networks, network(client)}, {all, nil}} {
		if limit.table == l.networks && limit.key == nil {
			continue
		}
		taken, wait := limit.table.Take(limit.key, now)
		if wait > 0 {
			attempt.DoesNotCount()
			return Attempt{}, wait
		}
		attempt.taken = append(attempt.taken, taken)
	}
	return attempt, 0
}

// network is the /48 of an IPv6 address, nil for others.
func network(client netip.Addr) []byte {
	if client = client.Unmap(); !client.Is6() {
		return nil
	}
	all := client.As16()
	return all[:6]
}

// DoesNotCount takes an attempt back, once: nobody looked at its password, because too
// many others were being hashed. Earlier attempts stay counted, whoever made them.
func (a Attempt) DoesNotCount() {
	for _, taken := range a.taken {
		taken.GiveBack()
	}
}

// WasRight takes an attempt back, once, and remembers that the user has logged in from
// there. Earlier attempts stay counted, whoever made them.
func (a Attempt) WasRight(now time.Time) {
	a.DoesNotCount()
	if a.logins != nil {
		a.logins.known.Charge(a.pair, now)
	}
}
