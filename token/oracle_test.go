package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"

	"gatepost.dev/gatepost/token"
)

// fuzzAlgs are the kinds of keys that fuzz tests sign with.
var fuzzAlgs = []string{"HS256", "RS256", "ES256", "EdDSA"}

// fuzzKeys are the same in every process, because fuzzing runs several. They open
// nothing.
func fuzzKeys(f *testing.F) map[string]token.Key {
	f.Helper()
	data, err := os.ReadFile("testdata/fuzzkeys.json")
	if err != nil {
		f.Fatal(err)
	}
	var stored map[string]json.RawMessage
	if err := json.Unmarshal(data, &stored); err != nil {
		f.Fatal(err)
	}
	keys := map[string]token.Key{"HS256": {Alg: "HS256", K: []byte(strings.Repeat("k", 32))}}
	for alg, jwk := range stored {
		keys[alg] = token.Key{Alg: alg, JWK: jwk}
	}
	return keys
}

// oracle verifies a signature with the standard library alone, from the members
// of the key.
func oracle(key token.Key, message string, signature []byte) bool {
	digest := sha256.Sum256([]byte(message))
	if key.Alg == "HS256" {
		mac := hmac.New(sha256.New, key.K)
		mac.Write([]byte(message))
		return hmac.Equal(mac.Sum(nil), signature)
	}
	var jwk struct{ N, E, X, Y string }
	if json.Unmarshal(key.JWK, &jwk) != nil {
		return false
	}
	switch key.Alg {
	case "RS256":
		public := &rsa.PublicKey{N: number(jwk.N), E: int(number(jwk.E).Int64())}
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	case "ES256":
		if len(signature) != 64 {
			return false
		}
		point := append(number(jwk.X).FillBytes(make([]byte, 32)), number(jwk.Y).FillBytes(make([]byte, 32))...)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, point...))
		return err == nil && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case "EdDSA":
		return ed25519.Verify(number(jwk.X).FillBytes(make([]byte, 32)), []byte(message), signature)
	}
	return false
}

func number(text string) *big.Int {
	data, _ := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(data)
}
