package bundle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

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
	return s, nil
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
