package bundle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// State is what a sidecar answers on `/state`: what it has loaded, and which
// keys it lately accepted tokens of. No secret is in it.
//
// Members that are empty are not written, so that a controller which knows more
// members than the sidecar still finds its signature right: a release updates
// the controller first.
type State struct {
	// PodUID is the pod's, so that an address that was reused is noticed.
	PodUID string `json:"podUID"`
	// Revision and Generations are those of the keys in force.
	Revision    int64            `json:"revision"`
	Generations map[string]int64 `json:"generations"`
	// LastAccepted is when a token of each key id was last accepted, in UTC, cut
	// to the second: it may have been up to a second later.
	LastAccepted map[string]time.Time `json:"lastAccepted"`
	// KIDs are the ids of the keys in force by SigningKey, ascending.
	KIDs map[string][]string `json:"kids,omitempty"`
	// Revoked are the ids of keys that are known to be revoked, by SigningKey,
	// ascending.
	Revoked map[string][]string `json:"revoked,omitempty"`
	// Signs is, by SigningKey, the id of the key that an issuer signs with: no
	// request that it answers from now on is signed with another. Sidecars sign
	// nothing.
	Signs map[string]string `json:"signs,omitempty"`
	// MAC signs all of the above and the nonce; empty without an AckKey.
	MAC string `json:"mac,omitempty"`
}

// MaxStateBytes is more than a State of ours can take on the wire: eight
// SigningKeys with all the revocations that are remembered.
const MaxStateBytes = 128 << 10

// ParseState reads what `/state` answered. It believes nothing of it: whose word
// it is, Verify tells. Members it does not know are left out, and then Verify
// fails.
func ParseState(data []byte) (State, error) {
	var s State
	if len(data) > MaxStateBytes {
		return State{}, fmt.Errorf("reading state: %d bytes are more than %d", len(data), MaxStateBytes)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("reading state: %w", err)
	}
	if s.Revision < 0 {
		return State{}, fmt.Errorf("reading state: revision: %d is negative", s.Revision)
	}
	for name, generation := range s.Generations {
		if generation < 0 {
			return State{}, fmt.Errorf("reading state: generations.%.64s: %d is negative", name, generation)
		}
	}
	if err := s.bounded(); err != nil {
		return State{}, fmt.Errorf("reading state: %w", err)
	}
	return s, nil
}

// What a sidecar of ours can have at most: what keyring writes into one bundle.
const (
	maxSets     = 64 // SigningKeys
	maxLiveKIDs = 32 // of one SigningKey
	maxKIDBytes = 64
)

// bounded refuses more names and ids than a bundle can have brought, and ids
// that the controller never gives.
func (s *State) bounded() error {
	if n := len(s.Generations); n > maxSets {
		return fmt.Errorf("generations: %d SigningKeys are more than %d", n, maxSets)
	}
	if n := len(s.LastAccepted); n > maxSets*maxLiveKIDs {
		return fmt.Errorf("lastAccepted: %d key ids are more than %d", n, maxSets*maxLiveKIDs)
	}
	if err := boundedKIDs("kids", s.KIDs, maxLiveKIDs); err != nil {
		return err
	}
	if len(s.Signs) > maxSets {
		return fmt.Errorf("signs: %d SigningKeys are more than %d", len(s.Signs), maxSets)
	}
	for name, kid := range s.Signs {
		if !ownKID(kid) {
			return fmt.Errorf("signs.%.64s: wants a key id of 1 to %d small letters, digits and hyphens", name, maxKIDBytes)
		}
	}
	return boundedKIDs("revoked", s.Revoked, keyring.MaxRevoked)
}

func boundedKIDs(field string, sets map[string][]string, most int) error {
	if len(sets) > maxSets {
		return fmt.Errorf("%s: %d SigningKeys are more than %d", field, len(sets), maxSets)
	}
	for name, kids := range sets {
		if len(kids) > most {
			return fmt.Errorf("%s.%.64s: %d key ids are more than %d", field, name, len(kids), most)
		}
		if slices.ContainsFunc(kids, func(kid string) bool { return !ownKID(kid) }) {
			return fmt.Errorf("%s.%.64s: wants key ids of 1 to %d small letters, digits and hyphens", field, name, maxKIDBytes)
		}
	}
	return nil
}

// ownKID reports whether the controller may have made a key id.
func ownKID(kid string) bool {
	return kid != "" && len(kid) <= maxKIDBytes && !strings.ContainsFunc(kid, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
	})
}

// Sign sets MAC to the base64url HMAC-SHA256 of the nonce, "|" and the JSON of
// the State without MAC, under key.
func (s *State) Sign(key token.Secret, nonce string) error {
	mac, err := s.mac(key, nonce)
	if err != nil {
		return err
	}
	s.MAC = base64.RawURLEncoding.EncodeToString(mac)
	return nil
}

// Verify reports whether MAC was made under key for this nonce.
func (s *State) Verify(key token.Secret, nonce string) bool {
	got, err := base64.RawURLEncoding.DecodeString(s.MAC)
	if err != nil || len(key) == 0 {
		return false
	}
	want, err := s.mac(key, nonce)
	return err == nil && hmac.Equal(got, want)
}

func (s *State) mac(key token.Secret, nonce string) ([]byte, error) {
	plain := *s
	plain.MAC = ""
	body, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("signing state: %w", err)
	}
	hash := hmac.New(sha256.New, key)
	fmt.Fprintf(hash, "%s|%s", nonce, body)
	return hash.Sum(nil), nil
}
