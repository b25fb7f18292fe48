package keyring

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// VerifyKeys are the keys that verifiers accept: the active one first, then the
// next, then those retiring, the youngest first. Tokens without kid are tried in
// this order.
func (s *State) VerifyKeys() []VerifyKey {
	order := map[Phase]int{Active: 0, Published: 1, Retiring: 2}
	keys := slices.Clone(s.Keys)
	slices.SortStableFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(order[a.Phase], order[b.Phase]), cmp.Compare(b.Generation, a.Generation))
	})
	live := make([]VerifyKey, len(keys))
	for i, k := range keys {
		live[i] = s.verifyKey(k)
	}
	return live
}

// Needed is the generation from which on a verifier has every live key and every
// revocation; later ones changed only who signs.
func (s *State) Needed() int64 {
	var needed int64
	for _, k := range s.Keys {
		needed = max(needed, k.Generation)
	}
	for _, r := range s.Revoked {
		needed = max(needed, r.Generation)
	}
	return needed
}

// OnlySwitched reports whether all that changed since a generation, in which
// verifiers got these keys, is who signs: they need not be told.
func (s *State) OnlySwitched(generation int64, keys []VerifyKey) bool {
	if generation != s.Generation-1 || generation < s.Needed() || len(keys) != len(s.Keys) {
		return false
	}
	return !slices.ContainsFunc(s.VerifyKeys(), func(live VerifyKey) bool {
		return !slices.ContainsFunc(keys, live.equal)
	})
}

func (k VerifyKey) equal(other VerifyKey) bool {
	return k.KID == other.KID && k.Alg == other.Alg && bytes.Equal(k.K, other.K) && bytes.Equal(k.JWK, other.JWK)
}

func (s *State) verifyKey(k Key) VerifyKey {
	v := VerifyKey{KID: k.KID, Alg: s.Algorithm}
	if isHMAC(s.Algorithm) {
		v.K = k.Value
	} else {
		v.JWK = k.Public
	}
	return v
}

// Export is what an exported Secret holds.
type Export struct {
	// Hold: leave the Secret as it is. The state was rebuilt, the signer may still
	// use what it has, and no key has taken over yet.
	Hold bool
	// Current is what signs: the HMAC secret, or the private key in PEM. Empty
	// after a revocation until a fresh key signs; CurrentKID is its id.
	Current    Octets
	CurrentKID string
	// Previous and Next are the HMAC secrets beside it with their ids, for back ends
	// that verify too. For other algorithms they stay empty: JWKS serves verifiers, and a
	// signer has no use for a private key that is not its turn.
	Previous, Next       Octets
	PreviousKID, NextKID string
	// JWKS is the public keys as a JSON Web Key Set (RFC 7517 section 5), empty
	// for HMAC.
	JWKS json.RawMessage
}

// Export is what the exported Secret holds in this state.
func (s *State) Export() (Export, error) {
	e := Export{}
	live := s.VerifyKeys()
	if active, ok := s.ActiveKey(); ok {
		e.Current, e.CurrentKID = active.Value, active.KID
	} else {
		e.Hold = slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Adopted })
	}
	jwks := []json.RawMessage{}
	for _, k := range live {
		if isHMAC(s.Algorithm) {
			continue
		}
		jwk, err := named(k)
		if err != nil {
			return Export{}, err
		}
		jwks = append(jwks, jwk)
	}
	if isHMAC(s.Algorithm) {
		next, previous := s.newest(Published), s.newest(Retiring)
		e.Next, e.NextKID, e.Previous, e.PreviousKID = next.Value, next.KID, previous.Value, previous.KID
	}
	set, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		return Export{}, fmt.Errorf("writing jwks.json: %w", err)
	}
	e.JWKS = set
	return e, nil
}

// newest is the newest key of a phase; the zero Key when there is none.
func (s *State) newest(phase Phase) Key {
	newest := Key{Generation: -1}
	for _, k := range s.Keys {
		if k.Phase == phase && k.Generation > newest.Generation {
			newest = k
		}
	}
	return newest
}

// named is the JWK with its kid, alg and use.
func named(k VerifyKey) (json.RawMessage, error) {
	var members map[string]any
	if err := json.Unmarshal(k.JWK, &members); err != nil || members == nil {
		return nil, fmt.Errorf("writing jwks.json: key %s is not a JSON object", k.KID)
	}
	members["kid"], members["alg"], members["use"] = k.KID, k.Alg, "sig"
	return json.Marshal(members)
}
