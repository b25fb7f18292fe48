// Package refresh keeps families of refresh tokens (RFC 6749 section 6, RFC 9700
// section 4.14.2): a login begins a family, and each use of its token yields the next
// one and ends the one that was used.
//
// A token names its family and its generation and carries a MAC over both under a key
// that lives in this process alone. So there is one next token, not as many as there
// are uses: who refreshes twice at the same moment, as the Agno client does, gets the
// same token twice, for as long as the grace lasts. After that, using a token again
// proves that two have it, and the family ends. And so the store keeps one entry per
// family, however often it is used, holds no token, and still knows every token of a
// family again.
//
// Families live in memory: a restart ends them all.
package refresh

import (
	"container/list"
	"errors"
	"io"
	"sync"
	"time"
)

var (
	// ErrUnknown: no token of ours, or its family has ended (invalid_grant).
	ErrUnknown = errors.New("unknown or ended refresh token")
	// ErrReused: it was used before and its grace is over; the family has ended with
	// this use (invalid_grant).
	ErrReused = errors.New("refresh token used again, its family has ended")
	// ErrEnd is what allow wraps to end the family: what it stands for is no more, such as
	// the user or the password of the login.
	ErrEnd = errors.New("the family of refresh tokens has ended")
	// ErrFull: there are as many families as there may be. The login itself may succeed,
	// without a refresh token.
	ErrFull = errors.New("too many families of refresh tokens")
)

// Config is what a Store needs. Random is required, e.g. crypto/rand.Reader.
type Config struct {
	// Random is read once by New and once for each family.
	Random io.Reader
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// MostFamilies bounds the store, 32768 by default.
	MostFamilies int
	// MostPerOwner bounds the families of one owner, 64 by default. The oldest gives way.
	MostPerOwner int
}

// Terms are what a family is begun on.
type Terms struct {
	// Lifetime is how long the family lasts, however often it is used.
	Lifetime time.Duration
	// ReuseGrace is how long after its first use a token still yields its successor.
	ReuseGrace time.Duration
}

// Store keeps families, each with a grant: whatever the caller needs to mint access
// tokens for it. Its methods may be called at the same time.
type Store[G any] struct {
	config Config
	key    [32]byte

	mu       sync.Mutex
	families map[id]*family[G]
	owners   map[string]*list.List // of *family, the oldest first
	sweepAt  time.Time             // no family expires before
}

// id names a family.
type id [16]byte

// family is all tokens that follow from one login.
type family[G any] struct {
	id      id
	owner   string
	place   *list.Element // among the owner's
	grant   G
	expires time.Time
	grace   time.Duration

	generation uint32            // of the one token that was not used yet
	used       [memory]time.Time // when the tokens before it were first used; by generation modulo memory
}

// memory is how many used tokens of a family may be within their grace.
const memory = 4

// New makes a store and the key of its tokens.
func New[G any](config Config) (*Store[G], error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.MostFamilies <= 0 {
		config.MostFamilies = 32768
	}
	if config.MostPerOwner <= 0 {
		config.MostPerOwner = 64
	}
	s := &Store[G]{config: config, families: map[id]*family[G]{}, owners: map[string]*list.List{}}
	if _, err := io.ReadFull(config.Random, s.key[:]); err != nil {
		return nil, errors.New("making the key of refresh tokens: " + err.Error())
	}
	return s, nil
}

// Len is how many families there are; some may have expired.
func (s *Store[G]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.families)
}

// Begin begins a family and returns its first token. The owner is who logged in, a user
// or a client, and bounds how much of the store he can fill.
func (s *Store[G]) Begin(owner string, grant G, terms Terms) (token string, err error) {
	begun := &family[G]{owner: owner, grant: grant, grace: terms.ReuseGrace}
	if _, err := io.ReadFull(s.config.Random, begun.id[:]); err != nil {
		return "", errors.New("making a refresh token: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	begun.expires = now.Add(terms.Lifetime)
	s.makeRoom(owner, now)
	if len(s.families) >= s.config.MostFamilies {
		return "", ErrFull
	}
	s.add(begun)
	return s.token(begun.id, 0), nil
}

// Redeem uses a token and returns the family's grant and next token. allow sees the
// grant first, to compare it with who presents the token and with what is still
// granted: its error is returned as it is, and nothing has been used, unless it wraps
// ErrEnd and so ends the family. It must not call the store.
func (s *Store[G]) Redeem(token string, allow func(G) error) (grant G, next string, err error) {
	of, generation, ok := s.read(token)
	if !ok {
		return grant, "", ErrUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	found := s.families[of]
	if found == nil || !now.Before(found.expires) {
		s.remove(found)
		return grant, "", ErrUnknown
	}
	if !found.redeemable(generation, now) {
		s.remove(found)
		return grant, "", ErrReused
	}
	if err := allow(found.grant); err != nil {
		if errors.Is(err, ErrEnd) {
			s.remove(found)
		}
		return grant, "", err
	}
	found.use(generation, now)
	return found.grant, s.token(of, found.generation), nil
}

// Revoke ends the family of a token, whichever of its tokens it is (RFC 7009).
func (s *Store[G]) Revoke(token string) {
	of, _, ok := s.read(token)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.families[of])
}

// redeemable: the one unused token is, and those used within their grace.
func (f *family[G]) redeemable(generation uint32, now time.Time) bool {
	switch behind := f.generation - generation; {
	case behind == 0:
		return true
	case behind > memory:
		return false
	default:
		return !now.After(f.used[generation%memory].Add(f.grace))
	}
}

// use moves on to the next token if this was the unused one.
func (f *family[G]) use(generation uint32, now time.Time) {
	if generation == f.generation {
		f.used[generation%memory] = now
		f.generation++
	}
}
