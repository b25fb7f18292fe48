package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxKeys bounds a set (threats D7).
const maxKeys = 100

// KeySet is an immutable set of verification keys. A nil or empty set verifies
// nothing. It is a Source that never changes.
type KeySet struct {
	keys  []*verifyKey
	tried []*verifyKey // the same for tokens without kid: the cheap ones first
	byKID map[string]*verifyKey
}

// Why a key is left out of a set, beside what CheckSecret says.
var (
	errTooManyKeys = fmt.Errorf("more than %d keys: the rest is left out", maxKeys)
	errTwiceKID    = errors.New("the kid occurs twice: both keys are left out")
)

// NewKeySet makes a set of the keys that are sound, in their order, and one
// error for each that is not: wrong type, curve or size for its algorithm, a
// private or symmetric JWK, a secret that CheckSecret refuses, a kid that
// occurs twice (both are out). Errors name the key by its id, never by its
// material.
func NewKeySet(keys []Key) (*KeySet, []error) {
	var set keySetBuilder
	for i, key := range keys {
		made, err := newVerifyKey(key)
		set.add(i, made, err)
	}
	return set.done()
}

// ParseJWKS reads a JSON Web Key Set (RFC 7517 section 5) of public keys, at
// most 100. A bad key is left out with an error and the rest stays; the set is
// nil only when the document itself cannot be read.
func ParseJWKS(data []byte) (*KeySet, []error) { return parseJWKS(string(data)) }

func parseJWKS(text string) (*KeySet, []error) {
	document, err := decodeObject(text)
	if err != nil {
		return nil, []error{fmt.Errorf("reading key set: %w", err)}
	}
	return readJWKS(document)
}

func readJWKS(document map[string]any) (*KeySet, []error) {
	entries, ok := document["keys"].([]any)
	if !ok {
		return nil, []error{errors.New(`reading key set: "keys" must be an array of JSON Web Keys`)}
	}
	var set keySetBuilder
	for i, entry := range entries {
		if i == maxKeys {
			set.errs = append(set.errs, errTooManyKeys)
			break
		}
		made, err := newPublicKey(entry)
		set.add(i, made, err)
	}
	return set.done()
}

// keySetBuilder collects keys; a kid seen twice takes both out at the end.
type keySetBuilder struct {
	keys []*verifyKey
	errs []error
}

func (b *keySetBuilder) add(place int, key *verifyKey, err error) {
	switch {
	case err != nil:
		b.errs = append(b.errs, fmt.Errorf("key %d: %w", place, err))
	case len(b.keys) == maxKeys:
		b.errs = append(b.errs, errTooManyKeys)
	default:
		b.keys = append(b.keys, key)
	}
}

func (b *keySetBuilder) done() (*KeySet, []error) {
	count := make(map[string]int, len(b.keys))
	for _, key := range b.keys {
		count[key.kid]++
	}
	set := &KeySet{byKID: make(map[string]*verifyKey, len(b.keys))}
	for _, key := range b.keys {
		if key.kid != "" && count[key.kid] > 1 {
			b.errs = append(b.errs, fmt.Errorf("key %.64q: %w", key.kid, errTwiceKID))
			continue
		}
		set.keys = append(set.keys, key)
		if key.kid != "" {
			set.byKID[key.kid] = key
		}
	}
	set.tried = slices.Clone(set.keys)
	slices.SortStableFunc(set.tried, func(a, b *verifyKey) int { return a.trials() - b.trials() })
	return set, b.errs
}

// Len is the number of keys.
func (s *KeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// KIDs are the ids of the keys that have one, in their order.
func (s *KeySet) KIDs() []string {
	var kids []string
	for i := range s.Len() {
		if kid := s.keys[i].kid; kid != "" {
			kids = append(kids, kid)
		}
	}
	return kids
}

// kinds reports whether the set holds secrets, and whether it holds public keys.
func (s *KeySet) kinds() (secrets, public bool) {
	for i := range s.Len() {
		if s.keys[i].symmetric {
			secrets = true
		} else {
			public = true
		}
	}
	return secrets, public
}

func (s *KeySet) current(time.Time) *KeySet { return s }

func (s *KeySet) await(context.Context, string, time.Time) (*KeySet, Lookup) {
	return s, LookupAbsent
}
