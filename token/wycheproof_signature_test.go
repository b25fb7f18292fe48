package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"

	"gatepost.dev/gatepost/token"
)

// signatureFiles are files of vectors and the algorithm they are tried with. Those
// with a reason are signed by what only looks like it: all must be refused.
func signatureFiles() []struct{ name, alg, reason string } {
	const (
		salt = "RFC 7518 section 3.5 wants a salt as long as the hash"
		hash = "it is made with another hash"
	)
	return []struct{ name, alg, reason string }{
		{"hmac_sha256", "HS256", ""},
		{"hmac_sha384", "HS384", ""},
		{"hmac_sha512", "HS512", ""},
		{"ecdsa_secp256r1_sha256_p1363", "ES256", ""},
		{"ecdsa_secp384r1_sha384_p1363", "ES384", ""},
		{"ecdsa_secp521r1_sha512_p1363", "ES512", ""},
		{"ecdsa_secp256r1_sha512_p1363", "ES256", hash},
		{"ecdsa_secp384r1_sha512_p1363", "ES384", hash},
		{"rsa_signature_2048_sha256", "RS256", ""},
		{"rsa_signature_3072_sha256", "RS256", ""},
		{"rsa_signature_4096_sha256", "RS256", ""},
		{"rsa_signature_8192_sha256", "RS256", ""},
		{"rsa_signature_2048_sha384", "RS384", ""},
		{"rsa_signature_3072_sha384", "RS384", ""},
		{"rsa_signature_4096_sha384", "RS384", ""},
		{"rsa_signature_2048_sha512", "RS512", ""},
		{"rsa_signature_3072_sha512", "RS512", ""},
		{"rsa_signature_4096_sha512", "RS512", ""},
		{"rsa_signature_2048_sha224", "RS256", hash},
		{"rsa_signature_2048_sha512_256", "RS256", hash},
		{"rsa_signature_2048_sha3_256", "RS256", hash},
		{"rsa_pss_2048_sha256_mgf1_32", "PS256", ""},
		{"rsa_pss_3072_sha256_mgf1_32", "PS256", ""},
		{"rsa_pss_4096_sha256_mgf1_32", "PS256", ""},
		{"rsa_pss_2048_sha384_mgf1_48", "PS384", ""},
		{"rsa_pss_4096_sha384_mgf1_48", "PS384", ""},
		{"rsa_pss_4096_sha512_mgf1_64", "PS512", ""},
		{"rsa_pss_2048_sha256_mgf1_0", "PS256", salt},
		{"rsa_pss_4096_sha512_mgf1_32", "PS512", salt},
		{"rsa_pss_2048_sha256_mgf1sha1_20", "PS256", hash},
		{"rsa_pss_2048_sha512_256_mgf1_32", "PS256", hash},
		{"ed25519", "EdDSA", ""},
	}
}

// signatureVectors are signatures over messages of their own: they go through
// the check that a token's signature goes through.
func signatureVectors(t *testing.T, dir string, count *tally) {
	t.Helper()
	for _, file := range signatureFiles() {
		t.Run(file.name+" as "+file.alg, func(t *testing.T) {
			t.Parallel()
			for _, group := range readVectors(t, dir, file.name) {
				for _, v := range group.Tests {
					if file.reason != "" && v.Result != "valid" {
						continue // it may be good by this algorithm
					}
					accepted, reason := tryVector(t, group, v, file.alg)
					if file.reason != "" {
						reason = file.reason
					}
					count.judge(t, v, accepted, reason)
				}
			}
		})
	}
}

// tryVector reports whether the check accepts, and why a valid vector may be
// refused: for its key, or as a MAC that was cut short.
func tryVector(t *testing.T, group vectorGroup, v vector, alg string) (accepted bool, reason string) {
	t.Helper()
	message, signature := unhex(t, v.Message), unhex(t, v.Sig+v.Tag)
	key := token.Key{KID: "v", Alg: alg}
	if group.DER != "" {
		key.JWK = jwkOf(t, unhex(t, group.DER))
	} else {
		key.K = unhex(t, v.Key)
	}
	set, errs := token.NewKeySet([]token.Key{key})
	if len(errs) > 0 {
		return false, errs[0].Error()
	}
	if full := map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}[alg]; len(signature) < full {
		reason = "a MAC is as long as its hash"
	}
	return token.Checks(set, alg, message, signature), reason
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	must(t, err)
	return data
}

// jwkOf writes a public key as a JWK.
func jwkOf(t *testing.T, der []byte) json.RawMessage {
	t.Helper()
	parsed, err := x509.ParsePKIXPublicKey(der)
	must(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	var members map[string]string
	switch key := parsed.(type) {
	case *rsa.PublicKey:
		members = map[string]string{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		must(t, err)
		half := len(point) / 2
		members = map[string]string{"kty": "EC", "crv": key.Params().Name, "x": b64(point[1 : half+1]), "y": b64(point[half+1:])}
	case ed25519.PublicKey:
		members = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	default:
		t.Fatalf("a key of type %T", parsed)
	}
	text, err := json.Marshal(members)
	must(t, err)
	return text
}
