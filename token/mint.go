package token

import (
	"encoding/json"
	"errors"
	"io"
)

// ErrNoPublicHalf: an HMAC secret has no public half.
var ErrNoPublicHalf = errors.New("an HMAC secret has no public half")

// Mint signs claims with the key: an HMAC secret in K, or a private JWK. The
// header is {alg, kid if the key has one, typ: JWT} plus the entries of header;
// a nil entry removes one; alg cannot be changed.
func Mint(key Key, header, claims map[string]any) (string, error) { return "", errNotBuilt }

// Generate makes a fresh key for alg, without a KID: for HS* the base64url text
// of as many random bytes as the hash has (text, so that it survives environment
// variables and .env files), RSA 3072, the curve of ES*, Ed25519.
func Generate(alg string, rand io.Reader) (Key, error) { return Key{}, errNotBuilt }

// ParsePrivate reads a private key for alg as PEM (PKCS #8, PKCS #1, SEC 1) or
// as a private JWK; for HS* data is the secret itself.
func ParsePrivate(alg string, data []byte) (Key, error) { return Key{}, errNotBuilt }

// PublicJWK is the public half as a JWK with kid, alg and use. It wraps
// ErrNoPublicHalf for HMAC secrets.
func PublicJWK(key Key) (json.RawMessage, error) { return nil, errNotBuilt }

// PublicJWKS is a JSON Web Key Set of the public halves.
func PublicJWKS(keys []Key) ([]byte, error) { return nil, errNotBuilt }

// PrivatePEM is the private half as PKCS #8 PEM, for signers outside. It wraps
// ErrNoPublicHalf for HMAC secrets.
func PrivatePEM(key Key) ([]byte, error) { return nil, errNotBuilt }
