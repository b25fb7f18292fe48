package token

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Secret is key material. However it is printed or logged, it says "redacted".
type Secret []byte

const redacted = "redacted"

// String returns "redacted".
func (Secret) String() string { return redacted }

// GoString returns "redacted".
func (Secret) GoString() string { return redacted }

// Format writes "redacted" for every verb.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue is "redacted".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "redacted": a secret never reaches a document by accident.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Why a secret is refused as an HMAC key.
var (
	// ErrSecretTooShort: the secret is shorter than the hash of its algorithm (RFC 7518 section 3.2).
	ErrSecretTooShort = errors.New("the secret is shorter than the hash: use at least 32 bytes for HS256, 48 for HS384, 64 for HS512")
	// ErrSecretLooksLikeKey: the secret is a public or private key in a well-known form. Whoever knows the public half could sign.
	ErrSecretLooksLikeKey = errors.New("the secret is a PEM, DER, SSH or JSON Web Key: use random bytes for HS*, or an algorithm for public keys")
)

// CheckSecret reports whether the secret may be the key of alg (HS256, HS384 or
// HS512). An empty secret is always too short; allowShort accepts any other
// length. Errors wrap ErrSecretTooShort or ErrSecretLooksLikeKey and never quote
// the secret.
func CheckSecret(alg string, secret []byte, allowShort bool) error {
	return ErrSecretTooShort
}
