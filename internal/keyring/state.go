package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// StateVersion is the only version of the state document there is.
const StateVersion = 1

// Bounds of a State.
const (
	// MaxRetiring is how many keys may be on their way out at once.
	MaxRetiring = 4
	// MaxRevoked is how many revocations are remembered.
	MaxRevoked = 256
	// maxClaimed is how many of them may be ids of which only sidecars told.
	maxClaimed = MaxRevoked / 2
	maxKeys    = 32
	// maxGeneration leaves room above what is believed of others.
	maxGeneration = 1 << 60
)

// Phase is where a key is in its life.
type Phase string

// The phases of a live key.
const (
	// Published: verifiers accept the key, nobody signs with it.
	Published Phase = "Published"
	// Active: verifiers accept it, signers use it. At most one key is.
	Active Phase = "Active"
	// Retiring: verifiers accept it, signers have its successor.
	Retiring Phase = "Retiring"
)

// State is everything about a key set, in one document. It holds key material.
type State struct {
	Version   int    `json:"version"`
	Algorithm string `json:"algorithm"`
	// Generation counts the changes of keys and phases; it never goes down.
	Generation int64 `json:"generation"`
	// Salt is the key under which imported values are recognised.
	Salt Octets `json:"salt"`
	// RotateNow is the last request to rotate that was carried out.
	RotateNow string `json:"rotateNow,omitempty"`
	// Confirm is the last confirmation of a key that was noted, or that dates from
	// before the set was rebuilt and says nothing about it.
	Confirm string `json:"confirm,omitempty"`
	// Incident is StateLost or Regressed while keys of a rebuilt set are live.
	Incident FindingKind `json:"incident,omitempty"`
	// Doubtful: which values the revoked ids had is not known any more, and the
	// imported value was not judged since.
	Doubtful bool `json:"doubtful,omitempty"`
	// Keys are the live keys, oldest first.
	Keys []Key `json:"keys"`
	// Revoked are the revocations, oldest first.
	Revoked []Revocation `json:"revoked"`
	// Edited: the document that was read is not as Marshal wrote it. Plan then
	// believes others more than it.
	Edited bool `json:"-"`
}

// document is a State as it is stored. The seal tells a change by hand from what
// a plan wrote; it is no defence against somebody who knows the salt.
type document struct {
	State
	// Seal is the HMAC of the State under its salt; absent in documents from
	// before there was one.
	Seal Octets `json:"seal,omitempty"`
}

// Key is one live key.
type Key struct {
	// KID is <generation, base36>-<10 random base32>; nothing of the key is in it.
	KID   string `json:"kid"`
	Phase Phase  `json:"phase"`
	// Generation is the set's when the key came or last became Active: a verifier
	// that has that generation has the key.
	Generation int64 `json:"generation"`
	// Created is when the key was made or imported.
	Created time.Time `json:"created"`
	// Published is when every bundle was seen to hold the key.
	Published time.Time `json:"published,omitzero"`
	// Activated is when the key began to sign.
	Activated time.Time `json:"activated,omitzero"`
	// Confirmed is when somebody said that every external signer uses the key.
	Confirmed time.Time `json:"confirmed,omitzero"`
	// Retiring is when the signer was seen to have the successor; retireAfter
	// counts from it.
	Retiring time.Time `json:"retiring,omitzero"`
	// Urgent: the key replaces a revoked one and signs as early as it may.
	Urgent bool `json:"urgent,omitempty"`
	// Adopted: the key was taken over from bundles or an old state.
	Adopted bool `json:"adopted,omitempty"`
	// Imported recognises the value of an imported key: its HMAC under the salt.
	Imported Octets `json:"imported,omitempty"`
	Material
}

// Material is what a key is made of; keyring looks at none of it.
type Material struct {
	// Value is what a signer needs: the HMAC secret, or the private key in PEM.
	// An adopted public key has none.
	Value Octets `json:"value,omitempty"`
	// Public is the public key as a JWK, without its private half; nil for HMAC.
	Public json.RawMessage `json:"public,omitempty"`
}

// Revocation remembers a revoked key.
type Revocation struct {
	KID  string    `json:"kid"`
	Time time.Time `json:"time"`
	// Generation is the set's in which the key was revoked: whoever has that
	// generation refuses the key. Zero: a state from before this was recorded.
	Generation int64 `json:"generation,omitempty"`
	// Claimed: only a sidecar told of it, and nobody knew such a key. It makes room
	// for every other revocation.
	Claimed bool `json:"claimed,omitempty"`
	// Imported recognises the value of a revoked imported key.
	Imported Octets `json:"imported,omitempty"`
}

// ParseState reads a state document. It accepts only what Marshal writes, and
// says so when somebody changed a value of it since.
func ParseState(data []byte) (*State, error) {
	d := &document{}
	if err := decodeStrict(data, d); err != nil {
		return nil, fmt.Errorf("reading key state: %w", err)
	}
	s := &d.State
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("reading key state: %w", err)
	}
	seal, err := s.seal()
	if err != nil {
		return nil, fmt.Errorf("reading key state: %w", err)
	}
	s.Edited = len(d.Seal) > 0 && !hmac.Equal(d.Seal, seal)
	return s, nil
}

// Marshal writes the state document.
func (s *State) Marshal() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("writing key state: %w", err)
	}
	seal, err := s.seal()
	if err != nil {
		return nil, fmt.Errorf("writing key state: %w", err)
	}
	data, err := json.Marshal(document{*s, seal})
	if err != nil {
		return nil, fmt.Errorf("writing key state: %w", err)
	}
	return data, nil
}

func (s *State) seal() (Octets, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, s.Salt)
	mac.Write(data)
	return mac.Sum(nil), nil
}

func (s *State) check() error {
	switch {
	case s.Version != StateVersion:
		return fmt.Errorf("version is %d, want %d", s.Version, StateVersion)
	case !slices.Contains(algorithms, s.Algorithm):
		return fmt.Errorf("algorithm %.16q is none of %v", s.Algorithm, algorithms)
	case s.Generation < 0 || s.Generation > maxGeneration:
		return fmt.Errorf("generation %d is not within 0 and %d", s.Generation, int64(maxGeneration))
	case len(s.Salt) < saltBytes:
		return fmt.Errorf("salt has %d bytes, want %d", len(s.Salt), saltBytes)
	case len(s.Keys) > maxKeys || len(s.Revoked) > MaxRevoked:
		return fmt.Errorf("%d keys and %d revocations are more than %d and %d", len(s.Keys), len(s.Revoked), maxKeys, MaxRevoked)
	}
	return s.checkKeys()
}

func (s *State) checkKeys() error {
	seen, count := map[string]bool{}, map[Phase]int{}
	for i, k := range s.Keys {
		if seen[k.KID] {
			return fmt.Errorf("keys[%d].kid is there twice", i)
		}
		if err := s.checkKey(k); err != nil {
			return fmt.Errorf("keys[%d]%w", i, err)
		}
		seen[k.KID] = true
		count[k.Phase]++
	}
	if count[Active] > 1 || count[Published] > 1 {
		return errors.New("more than one key is Active, or Published")
	}
	return nil
}

func (s *State) checkKey(k Key) error {
	switch {
	case k.KID == "":
		return errors.New(".kid is empty")
	case !slices.Contains([]Phase{Published, Active, Retiring}, k.Phase):
		return fmt.Errorf(".phase %.16q is none of Published, Active, Retiring", k.Phase)
	case k.Generation < 0 || k.Generation > s.Generation:
		return fmt.Errorf(".generation %d is not within 0 and the set's %d", k.Generation, s.Generation)
	case len(k.Value) == 0 && len(k.Public) == 0:
		return errors.New(" has no material")
	case isHMAC(s.Algorithm) != (len(k.Public) == 0):
		return fmt.Errorf(" is not of the kind that %s needs", s.Algorithm)
	}
	return checkKey(s.verifyKey(k))
}

// ActiveKey is the key that signs, if there is one.
func (s *State) ActiveKey() (Key, bool) { return s.first(Active) }

func (s *State) first(phase Phase) (Key, bool) {
	i := s.index(phase)
	if i < 0 {
		return Key{}, false
	}
	return s.Keys[i], true
}

func (s *State) index(phase Phase) int {
	return slices.IndexFunc(s.Keys, func(k Key) bool { return k.Phase == phase })
}

func (s *State) retiring() int {
	n := 0
	for _, k := range s.Keys {
		if k.Phase == Retiring {
			n++
		}
	}
	return n
}

func (s *State) revoked(kid string) bool {
	return slices.ContainsFunc(s.Revoked, func(r Revocation) bool { return r.KID == kid })
}

func (s *State) live(kid string) bool {
	return slices.ContainsFunc(s.Keys, func(k Key) bool { return k.KID == kid })
}

// clone is a copy whose lists can be changed; material is shared and never is.
func (s *State) clone() *State {
	c := *s
	c.Keys = slices.Clone(s.Keys)
	c.Revoked = slices.Clone(s.Revoked)
	return &c
}
