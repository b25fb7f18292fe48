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
type State struct {
	// PodUID is the pod's, so that an address that was reused is noticed.
	PodUID string `json:"podUID"`
	// Revision and Generations are those of the loaded keys.
	Revision    int64            `json:"revision"`
	Generations map[string]int64 `json:"generations"`
	// LastAccepted is when a token of each key id was last accepted, in UTC, to
	// the minute.
	LastAccepted map[string]time.Time `json:"lastAccepted"`
	// MAC signs all of the above and the nonce; empty without an AckKey.
	MAC string `json:"mac,omitempty"`
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
