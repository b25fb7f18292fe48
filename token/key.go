package token

import (
	"encoding/json"
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

// MarshalText is String: a key never reaches a document by accident.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue names the key without its material.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kid", k.KID), slog.String("alg", k.Alg))
}
