package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Key is one key as it is stored: an HMAC secret in K, or a JSON Web Key (RFC
// 7517) in JWK. A KeySet takes public JWKs only; Mint and PublicJWK take the
// private half. Printed or logged, it shows its id and algorithm alone.
type Key struct {
	// KID is the key id; empty: the key is tried for tokens without kid only.
	KID string
	// Alg pins the algorithm (RFC 7518 section 3.1). Empty: whatever fits the
	// key's type, narrowed by the provider's algorithms.
	Alg string
	// K is the HMAC secret, used byte for byte.
	K Secret
	// JWK is the key as a JSON Web Key.
	JWK json.RawMessage
	// AllowShort accepts a secret shorter than its hash (SigningKey
	// spec.source.allowShortSecret).
	AllowShort bool
}

// String names the key without its material.
func (k Key) String() string { return fmt.Sprintf("key %q (%s, %s)", k.KID, k.Alg, redacted) }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format writes String for every verb.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, k.String()) }

// LogValue names the key without its material.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kid", k.KID), slog.String("alg", k.Alg))
}

// KeySet is an immutable set of verification keys. A nil or empty set verifies
// nothing. It is a Source that never changes.
type KeySet struct{}

// NewKeySet makes a set of the keys that are sound, in their order, and one
// error for each that is not: wrong type, curve or size for its algorithm, a
// private or symmetric JWK, a secret that CheckSecret refuses, a kid that
// occurs twice (both are out). Errors name the key by its id, never by its
// material.
func NewKeySet(keys []Key) (*KeySet, []error) { return &KeySet{}, []error{errNotBuilt} }

// ParseJWKS reads a JSON Web Key Set (RFC 7517 section 5) of public keys, at
// most 100. A bad key is left out with an error and the rest stays; the set is
// nil only when the document itself cannot be read.
func ParseJWKS(data []byte) (*KeySet, []error) { return nil, []error{errNotBuilt} }

// Len is the number of keys.
func (s *KeySet) Len() int { return 0 }

// KIDs are the ids of the keys that have one, in their order.
func (s *KeySet) KIDs() []string { return nil }

var errNotBuilt = errors.New("not built")
