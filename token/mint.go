package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// ErrNoPublicHalf: an HMAC secret has no public half.
var ErrNoPublicHalf = errors.New("an HMAC secret has no public half")

// Why a key cannot sign.
var (
	// ErrUnknownAlg says that a name is none of the accepted algorithms (RFC 7518 section 3.1).
	ErrUnknownAlg = errors.New("the algorithm must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA")
	errNotPrivate = errors.New("not a private key for the algorithm")
	errChangedAlg = errors.New("alg is the key's: it cannot be changed in the header")
)

// Mint signs claims with the key: an HMAC secret in K, or a private JWK. The
// header is {alg, kid if the key has one, typ: JWT} plus the entries of header;
// a nil entry removes one; alg cannot be changed.
func Mint(key Key, header, claims map[string]any) (string, error) {
	full := map[string]any{"alg": key.Alg, "typ": "JWT"}
	if key.KID != "" {
		full["kid"] = key.KID
	}
	for name, value := range header {
		if name == "alg" {
			return "", errChangedAlg
		}
		if value == nil {
			delete(full, name)
			continue
		}
		full[name] = value
	}
	headerText, err := json.Marshal(full)
	if err != nil {
		return "", fmt.Errorf("writing header: %w", err)
	}
	claimsText, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("writing claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(headerText) + "." + base64.RawURLEncoding.EncodeToString(claimsText)
	signature, err := sign(key, []byte(signed))
	if err != nil {
		return "", fmt.Errorf("signing with %v: %w", key, err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func sign(key Key, signed []byte) ([]byte, error) {
	alg := algorithmNamed(key.Alg)
	if alg == noAlgorithm {
		return nil, ErrUnknownAlg
	}
	private, err := signingKey(key, alg)
	if err != nil {
		return nil, err
	}
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(key.Alg))
	if err != nil {
		return nil, fmt.Errorf("making signer: %w", err)
	}
	return signer.Sign(signed, private)
}

// signingKey is the key as jwx signs with it, checked like one that verifies.
func signingKey(key Key, alg algorithm) (any, error) {
	if algorithms[alg].family == familyHMAC {
		if err := CheckSecret(key.Alg, key.K, key.AllowShort); err != nil {
			return nil, err
		}
		return []byte(key.K), nil
	}
	return readPrivate(key.JWK, alg)
}

// readPrivate reads a private JWK and checks that it is for alg. Its errors say
// nothing of what jwx made of the material.
func readPrivate(text json.RawMessage, alg algorithm) (any, error) {
	if _, err := decodeObject(string(text)); err != nil {
		return nil, errNotPrivate
	}
	parsed, err := jwk.ParseKey(text)
	if err != nil {
		return nil, errNotPrivate
	}
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return nil, errNotPrivate
	}
	return raw, checkPrivate(raw, alg)
}

// checkPrivate reports whether a key of package crypto can sign by alg.
func checkPrivate(raw any, alg algorithm) error {
	fits := false
	switch raw := raw.(type) {
	case *rsa.PrivateKey:
		bits := raw.N.BitLen()
		fits = algorithms[alg].family == familyRSA && bits >= minRSABits && bits <= maxRSABits && raw.Validate() == nil
	case *ecdsa.PrivateKey:
		fits = algorithms[alg].family == familyEC && raw.Curve == curveNamed(algorithms[alg].curve)
	case ed25519.PrivateKey:
		fits = algorithms[alg].family == familyEdwards
	}
	if !fits {
		return errNotPrivate
	}
	return nil
}
