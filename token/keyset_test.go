package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
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

// jwkWith changes members of the key's public JWK; nil removes one.
func jwkWith(t *testing.T, key token.Key, changes map[string]any) map[string]any {
	t.Helper()
	text, err := token.PublicJWK(key)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		members[name] = value
		if value == nil {
			delete(members, name)
		}
	}
	return members
}

func weakRSA(t *testing.T, bits int) map[string]any {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	return map[string]any{"kty": "RSA", "kid": "bad", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(n.Bytes())}
}

// TestJWKSFilters is D7: the bad key goes, the good one stays.
func TestJWKSFilters(t *testing.T) {
	good := generate(t, "ES256", "good")
	rsaKey, ec, ed := generate(t, "RS256", "bad"), generate(t, "ES256", "bad"), generate(t, "EdDSA", "bad")
	p256 := jwkWith(t, ec, nil)
	b64 := base64.RawURLEncoding.EncodeToString
	for name, tc := range map[string]struct {
		entry any
		taken bool
	}{
		"the RSA twin is taken":              {jwkWith(t, rsaKey, nil), true},
		"the EC twin is taken":               {p256, true},
		"the Ed25519 twin is taken":          {jwkWith(t, ed, nil), true},
		"without alg, use and key_ops":       {jwkWith(t, rsaKey, map[string]any{"alg": nil, "use": nil}), true},
		"key_ops with verify":                {jwkWith(t, ec, map[string]any{"key_ops": []string{"verify"}}), true},
		"unknown members":                    {jwkWith(t, ec, map[string]any{"x5t": "AA", "ext": true, "x5c": []string{"!"}}), true},
		"RSA of 2048 bits":                   {weakRSA(t, 2048), true},
		"RSA of 8192 bits":                   {weakRSA(t, 8192), true},
		"RSA of 2047 bits":                   {weakRSA(t, 2047), false},
		"RSA of 1024 bits":                   {weakRSA(t, 1024), false},
		"RSA of 8193 bits":                   {weakRSA(t, 8193), false},
		"RSA of 100,000 bits":                {weakRSA(t, 100000), false},
		"RSA with exponent 3":                {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{3})}), false},
		"RSA with exponent 1":                {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1})}), false},
		"RSA with an even exponent":          {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 2})}), false},
		"RSA with an exponent over 2^31":     {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{0x80, 0, 0, 1})}), false},
		"RSA with an exponent of five bytes": {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 0, 0, 1})}), false},
		"RSA with an even modulus":           {jwkWith(t, rsaKey, map[string]any{"n": b64(append(make([]byte, 0), append([]byte{0x80}, make([]byte, 255)...)...))}), false},
		"RSA without modulus":                {jwkWith(t, rsaKey, map[string]any{"n": nil}), false},
		"RSA with padding in the modulus":    {jwkWith(t, rsaKey, map[string]any{"n": jwkWith(t, rsaKey, nil)["n"].(string) + "=="}), false},
		"a symmetric key":                    {map[string]any{"kty": "oct", "kid": "bad", "k": "AAAA"}, false},
		"a symmetric key without k":          {map[string]any{"kty": "oct", "kid": "bad"}, false},
		"a private RSA key":                  {jwkWith(t, rsaKey, map[string]any{"d": "AA"}), false},
		"a private EC key":                   {jwkWith(t, ec, map[string]any{"d": "AA"}), false},
		"a public key with k":                {jwkWith(t, ec, map[string]any{"k": "AA"}), false},
		"use enc":                            {jwkWith(t, ec, map[string]any{"use": "enc"}), false},
		"use that is an array":               {jwkWith(t, ec, map[string]any{"use": []string{"sig"}}), false},
		"key_ops without verify":             {jwkWith(t, ec, map[string]any{"key_ops": []string{"encrypt"}}), false},
		"key_ops empty":                      {jwkWith(t, ec, map[string]any{"key_ops": []string{}}), false},
		"key_ops that is a string":           {jwkWith(t, ec, map[string]any{"key_ops": "verify"}), false},
		"an encryption algorithm":            {jwkWith(t, rsaKey, map[string]any{"alg": "RSA-OAEP"}), false},
		"alg none":                           {jwkWith(t, rsaKey, map[string]any{"alg": "none"}), false},
		"alg HS256 on an RSA key":            {jwkWith(t, rsaKey, map[string]any{"alg": "HS256"}), false},
		"alg ES384 on P-256":                 {jwkWith(t, ec, map[string]any{"alg": "ES384"}), false},
		"alg that is a number":               {jwkWith(t, ec, map[string]any{"alg": 1}), false},
		"kid that is a number":               {jwkWith(t, ec, map[string]any{"kid": 1}), false},
		"secp256k1":                          {jwkWith(t, ec, map[string]any{"crv": "secp256k1", "alg": nil}), false},
		"P-384 with coordinates of P-256":    {jwkWith(t, ec, map[string]any{"crv": "P-384", "alg": nil}), false},
		"a curve nobody knows":               {jwkWith(t, ec, map[string]any{"crv": "P-1", "alg": nil}), false},
		"a point that is not on the curve":   {jwkWith(t, ec, map[string]any{"y": p256["x"]}), false},
		"the point at infinity":              {jwkWith(t, ec, map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), false},
		"a coordinate that is too short":     {jwkWith(t, ec, map[string]any{"x": b64(make([]byte, 31))}), false},
		"X25519":                             {jwkWith(t, ed, map[string]any{"crv": "X25519", "alg": nil}), false},
		"Ed25519 with a byte too few":        {jwkWith(t, ed, map[string]any{"x": b64(make([]byte, 31))}), false},
		"no kty":                             {jwkWith(t, ec, map[string]any{"kty": nil}), false},
		"kty in lower case":                  {jwkWith(t, ec, map[string]any{"kty": "ec"}), false},
		"a string":                           {"key", false},
		"null":                               {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := json.Marshal(map[string]any{"keys": []any{tc.entry, json.RawMessage(public(t, good).JWK)}})
			if err != nil {
				t.Fatal(err)
			}
			set, errs := token.ParseJWKS(document)
			want := []string{"good"}
			if tc.taken {
				want = []string{"bad", "good"}
			}
			wantEqual(t, "KIDs", set.KIDs(), want)
			if tc.taken != (len(errs) == 0) {
				t.Errorf("errors = %v, taken = %v", errs, tc.taken)
			}
		})
	}
}

// TestJWKSDocument: the document as a whole.
func TestJWKSDocument(t *testing.T) {
	keys := make([]token.Key, 0, 102)
	for i := range 102 {
		keys = append(keys, generate(t, "EdDSA", fmt.Sprintf("k%d", i)))
	}
	many, err := token.PublicJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	hundred, err := token.PublicJWKS(keys[:100])
	if err != nil {
		t.Fatal(err)
	}
	twice, err := token.PublicJWKS([]token.Key{keys[0], keys[1], generate(t, "EdDSA", "k0")})
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := token.PublicJWKS([]token.Key{generate(t, "EdDSA", ""), generate(t, "EdDSA", "")})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text      string
		keys      int
		errs      int
		unreadble bool
	}{
		"a hundred keys are taken":        {string(hundred), 100, 0, false},
		"of 102 keys a hundred are taken": {string(many), 100, 1, false},
		"a kid that occurs twice is out":  {string(twice), 1, 2, false},
		"keys without kid may be several": {string(nameless), 2, 0, false},
		"no keys":                         {`{"keys":[]}`, 0, 0, false},
		"other members beside keys":       {`{"keys":[],"issuer":"x"}`, 0, 0, false},
		"keys in another case":            {`{"Keys":[]}`, 0, 1, true},
		"keys twice":                      {`{"keys":[],"keys":[]}`, 0, 1, true},
		"keys that is an object":          {`{"keys":{}}`, 0, 1, true},
		"an array":                        {`[]`, 0, 1, true},
		"an error page":                   {`<html>`, 0, 1, true},
		"nothing":                         {``, 0, 1, true},
		"a single key instead of a set":   {string(public(t, keys[0]).JWK), 0, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			set, errs := token.ParseJWKS([]byte(tc.text))
			if set.Len() != tc.keys || len(errs) != tc.errs || (set == nil) != tc.unreadble {
				t.Errorf("%d keys, nil %v, errors %v; want %d keys, nil %v, %d errors",
					set.Len(), set == nil, errs, tc.keys, tc.unreadble, tc.errs)
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
