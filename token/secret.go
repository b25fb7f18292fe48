package token

import (
	"bytes"
	"crypto/x509"
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
	chosen := algorithmNamed(alg)
	if chosen == noAlgorithm || algorithms[chosen].family != familyHMAC {
		return fmt.Errorf("%q is not an algorithm for secrets: use HS256, HS384 or HS512", alg)
	}
	if looksLikeKey(secret) {
		return ErrSecretLooksLikeKey
	}
	if len(secret) == 0 || (len(secret) < algorithms[chosen].hash.Size() && !allowShort) {
		return ErrSecretTooShort
	}
	return nil
}

// looksLikeKey recognises the forms in which people paste a public key where a
// secret belongs (threats T2, T3).
func looksLikeKey(secret []byte) bool {
	text := bytes.TrimSpace(secret)
	for _, mark := range []string{"-----BEGIN ", "ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"} {
		if bytes.HasPrefix(text, []byte(mark)) {
			return true
		}
	}
	if bytes.HasPrefix(text, []byte("{")) && (bytes.Contains(text, []byte(`"kty"`)) || bytes.Contains(text, []byte(`"keys"`))) {
		return true
	}
	return isDER(secret)
}

// isDER reports whether the bytes are a public key, a private key or a
// certificate in DER.
func isDER(data []byte) bool {
	if len(data) < 32 || data[0] != 0x30 {
		return false
	}
	if _, err := x509.ParsePKIXPublicKey(data); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(data); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS8PrivateKey(data); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(data)
	return err == nil
}
