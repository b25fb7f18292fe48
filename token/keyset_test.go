package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestCheckSecret is T3.
func TestCheckSecret(t *testing.T) {
	bytesOf := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
	for name, tc := range map[string]struct {
		alg    string
		secret []byte
		short  bool
		want   error
	}{
		"HS256 with 32 bytes":                 {"HS256", bytesOf(32), false, nil},
		"HS256 with 31 bytes":                 {"HS256", bytesOf(31), false, token.ErrSecretTooShort},
		"HS384 with 48 bytes":                 {"HS384", bytesOf(48), false, nil},
		"HS384 with 47 bytes":                 {"HS384", bytesOf(47), false, token.ErrSecretTooShort},
		"HS512 with 64 bytes":                 {"HS512", bytesOf(64), false, nil},
		"HS512 with 63 bytes":                 {"HS512", bytesOf(63), false, token.ErrSecretTooShort},
		"a short one where it is allowed":     {"HS256", []byte("secret"), true, nil},
		"an empty one where short is allowed": {"HS256", nil, true, token.ErrSecretTooShort},
		"a PEM":                               {"HS256", []byte("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n"), false, token.ErrSecretLooksLikeKey},
		"a PEM behind a line feed":            {"HS256", []byte("\n-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQE"), true, token.ErrSecretLooksLikeKey},
		"a JWK":                               {"HS256", []byte(`{"kty":"RSA","n":"xxxxxxxxxxxxxxxxxxxxxxxx","e":"AQAB"}`), false, token.ErrSecretLooksLikeKey},
		"a JWKS":                              {"HS256", []byte(`{"keys":[{"kty":"RSA","n":"xxxxxxxxxxxxxx"}]}`), false, token.ErrSecretLooksLikeKey},
		"an SSH key":                          {"HS256", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvbw someone@example"), false, token.ErrSecretLooksLikeKey},
		"a JWKS without keys":                 {"HS256", []byte(`{"keys":[], "note":"the issuer has published none yet"}`), true, token.ErrSecretLooksLikeKey},
		"an SSH key on a curve":               {"HS256", []byte("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY someone@example"), true, token.ErrSecretLooksLikeKey},
		"an SSH key of a token":               {"HS256", []byte("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5 someone@example"), true, token.ErrSecretLooksLikeKey},
		"an SSH key of a token, on a curve":   {"HS256", []byte("sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNh someone@example"), true, token.ErrSecretLooksLikeKey},
		"a JSON text that is no key":          {"HS256", []byte(`{"this":"is a secret that somebody wrote as JSON"}`), false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := token.CheckSecret(tc.alg, tc.secret, tc.short); !errors.Is(err, tc.want) {
				t.Errorf("error = %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("an algorithm that takes no secret is named", func(t *testing.T) {
		err := token.CheckSecret("RS256", bytesOf(64), false)
		if err == nil || !strings.Contains(err.Error(), "RS256") {
			t.Errorf("error = %v", err)
		}
	})
}

// TestNewKeySetRefuses: a bad key is left out and named, the good ones stay.
func TestNewKeySetRefuses(t *testing.T) {
	good := generate(t, "HS256", "good")
	ec := generate(t, "ES256", "e")
	for name, tc := range map[string]struct {
		key  token.Key
		want string
	}{
		"a short secret":             {token.Key{KID: "k", Alg: "HS256", K: []byte("short")}, "shorter than the hash"},
		"no material":                {token.Key{KID: "k", Alg: "HS256"}, "shorter than the hash"},
		"a secret with a public alg": {token.Key{KID: "k", Alg: "RS256", K: good.K}, "not one this key"},
		"an unknown algorithm":       {token.Key{KID: "k", Alg: "none", K: good.K}, "not one this key"},
		"a secret and a JWK":         {token.Key{KID: "k", Alg: "HS256", K: good.K, JWK: public(t, ec).JWK}, "not both"},
		"a private JWK":              {ec, "private"},
		"another kid in the JWK":     {token.Key{KID: "k", Alg: "ES256", JWK: public(t, ec).JWK}, "kid differs"},
		"another alg in the JWK":     {token.Key{KID: "e", Alg: "ES384", JWK: public(t, ec).JWK}, "algorithm differs"},
		"a JWK with two names":       {token.Key{KID: "k", JWK: []byte(`{"kty":"EC","kty":"RSA"}`)}, "twice"},
		"a kid that is taken":        {token.Key{KID: "other", Alg: "HS256", K: good.K}, "occurs twice"},
	} {
		t.Run(name, func(t *testing.T) {
			other := generate(t, "HS256", "other")
			set, errs := token.NewKeySet([]token.Key{good, tc.key, other})
			if len(errs) != 1 && tc.want != "occurs twice" {
				t.Fatalf("errors = %v, want one", errs)
			}
			if text := fmt.Sprint(errs); !strings.Contains(text, tc.want) || strings.Contains(text, string(good.K)) {
				t.Errorf("errors = %v, want %q", errs, tc.want)
			}
			if !slices.Contains(set.KIDs(), "good") || slices.Contains(set.KIDs(), "k") {
				t.Errorf("KIDs = %v: want good, not k", set.KIDs())
			}
		})
	}
}

// TestGeneratedKeysComeBack: what Generate makes survives every form it is stored
// in.
func TestGeneratedKeysComeBack(t *testing.T) {
	for _, alg := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			key := generate(t, alg, "1-a")
			v := verifier(t, provider(t, "own", nil, key))
			text, err := token.PrivatePEM(key)
			if err != nil {
				t.Fatal(err)
			}
			for form, data := range map[string][]byte{"PEM": text, "JWK": key.JWK} {
				again, err := token.ParsePrivate(alg, data)
				if err != nil {
					t.Fatalf("ParsePrivate(%s): %v", form, err)
				}
				again.KID = key.KID
				wantReason(t, verify(t, v, mint(t, again, nil, claims(nil))), policy.OK)
			}
			var members map[string]any
			if err := json.Unmarshal(public(t, key).JWK, &members); err != nil {
				t.Fatal(err)
			}
			if members["d"] != nil || members["kid"] != "1-a" || members["alg"] != alg || members["use"] != "sig" {
				t.Errorf("public JWK = %v", members)
			}
		})
	}
	for alg, length := range map[string]int{"HS256": 43, "HS384": 64, "HS512": 86} {
		t.Run(alg+" is text of full strength", func(t *testing.T) {
			key := generate(t, alg, "")
			if len(key.K) != length || token.CheckSecret(alg, key.K, false) != nil {
				t.Errorf("%d bytes, want %d", len(key.K), length)
			}
			if _, err := token.PublicJWK(key); !errors.Is(err, token.ErrNoPublicHalf) {
				t.Errorf("PublicJWK: %v", err)
			}
			if _, err := token.PrivatePEM(key); !errors.Is(err, token.ErrNoPublicHalf) {
				t.Errorf("PrivatePEM: %v", err)
			}
		})
	}
}

// TestParsePrivateRefuses: a key that cannot sign by the algorithm.
func TestParsePrivateRefuses(t *testing.T) {
	ec := generate(t, "ES256", "")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224DER, err := x509.MarshalECPrivateKey(p224)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, tc := range map[string]struct {
		alg  string
		data []byte
	}{
		"a key on another curve": {"ES384", ec.JWK},
		"a key of another type":  {"RS256", ec.JWK},
		"a public key":           {"ES256", public(t, ec).JWK},
		"RSA of 1024 bits":       {"RS256", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak))},
		"P-224":                  {"ES256", block("EC PRIVATE KEY", p224DER)},
		"a certificate":          {"ES256", block("CERTIFICATE", p224DER)},
		"rubbish":                {"ES256", []byte("rubbish")},
		"rubbish in PEM":         {"ES256", block("PRIVATE KEY", []byte("rubbish"))},
		"an unknown algorithm":   {"none", ec.JWK},
		"a short secret":         {"HS256", []byte("short")},
		"a PEM as a secret":      {"HS256", block("EC PRIVATE KEY", p224DER)},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := token.ParsePrivate(tc.alg, tc.data)
			if err == nil {
				t.Errorf("accepted as %v", key)
			}
		})
	}
}

// TestMintRefuses: what cannot be signed honestly.
func TestMintRefuses(t *testing.T) {
	key := generate(t, "HS256", "k")
	for name, tc := range map[string]struct {
		key    token.Key
		header map[string]any
		claims map[string]any
	}{
		"another alg in the header": {key, map[string]any{"alg": "none"}, nil},
		"an unknown algorithm":      {token.Key{Alg: "none", K: key.K}, nil, nil},
		"a short secret":            {token.Key{Alg: "HS512", K: key.K}, nil, nil},
		"a public key":              {public(t, generate(t, "ES256", "")), nil, nil},
		"claims that are not JSON":  {key, nil, map[string]any{"f": func() {}}},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := token.Mint(tc.key, tc.header, tc.claims); err == nil || text != "" {
				t.Errorf("minted %q", text)
			}
		})
	}
}
