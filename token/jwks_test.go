package token_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"

	"gatepost.dev/gatepost/token"
)

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

// rocaModulus is 65537 modulo every prime below 168, as those of CVE-2017-15361
// are powers of it, and has 2048 bits.
func rocaModulus() *big.Int {
	product := big.NewInt(2)
	for candidate := int64(3); candidate < 168; candidate += 2 {
		if prime := big.NewInt(candidate); prime.ProbablyPrime(10) {
			product.Mul(product, prime)
		}
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), 2047)
	modulus.Sub(modulus, new(big.Int).Mod(modulus, product))
	return modulus.Add(modulus, product).Add(modulus, big.NewInt(65537))
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
		"the RSA twin is taken":                {jwkWith(t, rsaKey, nil), true},
		"the EC twin is taken":                 {p256, true},
		"the Ed25519 twin is taken":            {jwkWith(t, ed, nil), true},
		"without alg, use and key_ops":         {jwkWith(t, rsaKey, map[string]any{"alg": nil, "use": nil}), true},
		"key_ops with verify":                  {jwkWith(t, ec, map[string]any{"key_ops": []string{"verify"}}), true},
		"unknown members":                      {jwkWith(t, ec, map[string]any{"x5t": "AA", "ext": true, "x5c": []string{"!"}}), true},
		"RSA of 2048 bits":                     {weakRSA(t, 2048), true},
		"RSA of 8192 bits":                     {weakRSA(t, 8192), true},
		"RSA of 2047 bits":                     {weakRSA(t, 2047), false},
		"RSA of 1024 bits":                     {weakRSA(t, 1024), false},
		"RSA of 8193 bits":                     {weakRSA(t, 8193), false},
		"RSA of 100,000 bits":                  {weakRSA(t, 100000), false},
		"RSA with exponent 3":                  {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{3})}), false},
		"RSA with exponent 1":                  {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1})}), false},
		"RSA with an even exponent":            {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 2})}), false},
		"RSA with exponent 65539":              {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 3})}), false},
		"RSA with an exponent of 2^31 - 1":     {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{0x7f, 0xff, 0xff, 0xff})}), false},
		"RSA with an exponent over 2^31":       {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{0x80, 0, 0, 1})}), false},
		"RSA with an exponent of five bytes":   {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 0, 0, 1})}), false},
		"RSA with an exponent that wraps":      {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}), false},
		"RSA with a zero before the exponent":  {jwkWith(t, rsaKey, map[string]any{"e": b64([]byte{0, 1, 0, 1})}), true},
		"RSA with a number for an exponent":    {jwkWith(t, rsaKey, map[string]any{"e": 65537}), false},
		"RSA with CR in the modulus":           {jwkWith(t, rsaKey, map[string]any{"n": jwkWith(t, rsaKey, nil)["n"].(string) + "\r"}), false},
		"RSA with an even modulus":             {jwkWith(t, rsaKey, map[string]any{"n": b64(append(make([]byte, 0), append([]byte{0x80}, make([]byte, 255)...)...))}), false},
		"RSA that can be factored (ROCA)":      {jwkWith(t, rsaKey, map[string]any{"n": b64(rocaModulus().Bytes())}), false},
		"RSA that almost looks like it":        {jwkWith(t, rsaKey, map[string]any{"n": b64(new(big.Int).Add(rocaModulus(), big.NewInt(2)).Bytes())}), true},
		"RSA without modulus":                  {jwkWith(t, rsaKey, map[string]any{"n": nil}), false},
		"RSA with padding in the modulus":      {jwkWith(t, rsaKey, map[string]any{"n": jwkWith(t, rsaKey, nil)["n"].(string) + "=="}), false},
		"RSA with a line break in the modulus": {jwkWith(t, rsaKey, map[string]any{"n": jwkWith(t, rsaKey, nil)["n"].(string)[:100] + "\n" + jwkWith(t, rsaKey, nil)["n"].(string)[100:]}), false},
		"a symmetric key":                      {map[string]any{"kty": "oct", "kid": "bad", "k": "AAAA"}, false},
		"a symmetric key without k":            {map[string]any{"kty": "oct", "kid": "bad"}, false},
		"a private RSA key":                    {jwkWith(t, rsaKey, map[string]any{"d": "AA"}), false},
		"a private EC key":                     {jwkWith(t, ec, map[string]any{"d": "AA"}), false},
		"a public key with k":                  {jwkWith(t, ec, map[string]any{"k": "AA"}), false},
		"an RSA key with a prime":              {jwkWith(t, rsaKey, map[string]any{"p": "AA"}), false},
		"an RSA key with more primes":          {jwkWith(t, rsaKey, map[string]any{"oth": []any{}}), false},
		"an RSA key with a coefficient":        {jwkWith(t, rsaKey, map[string]any{"qi": "AA"}), false},
		"use null":                             {jwkWith(t, ec, map[string]any{"use": json.RawMessage("null")}), false},
		"key_ops null":                         {jwkWith(t, ec, map[string]any{"key_ops": json.RawMessage("null")}), false},
		"alg empty":                            {jwkWith(t, ec, map[string]any{"alg": ""}), false},
		"alg EdDSA on P-256":                   {jwkWith(t, ec, map[string]any{"alg": "EdDSA"}), false},
		"kid empty":                            {jwkWith(t, ec, map[string]any{"kid": ""}), false},
		"use enc":                              {jwkWith(t, ec, map[string]any{"use": "enc"}), false},
		"use that is an array":                 {jwkWith(t, ec, map[string]any{"use": []string{"sig"}}), false},
		"key_ops without verify":               {jwkWith(t, ec, map[string]any{"key_ops": []string{"encrypt"}}), false},
		"key_ops empty":                        {jwkWith(t, ec, map[string]any{"key_ops": []string{}}), false},
		"key_ops that is a string":             {jwkWith(t, ec, map[string]any{"key_ops": "verify"}), false},
		"an encryption algorithm":              {jwkWith(t, rsaKey, map[string]any{"alg": "RSA-OAEP"}), false},
		"alg none":                             {jwkWith(t, rsaKey, map[string]any{"alg": "none"}), false},
		"alg HS256 on an RSA key":              {jwkWith(t, rsaKey, map[string]any{"alg": "HS256"}), false},
		"alg ES384 on P-256":                   {jwkWith(t, ec, map[string]any{"alg": "ES384"}), false},
		"alg that is a number":                 {jwkWith(t, ec, map[string]any{"alg": 1}), false},
		"kid that is a number":                 {jwkWith(t, ec, map[string]any{"kid": 1}), false},
		"secp256k1":                            {jwkWith(t, ec, map[string]any{"crv": "secp256k1", "alg": nil}), false},
		"P-384 with coordinates of P-256":      {jwkWith(t, ec, map[string]any{"crv": "P-384", "alg": nil}), false},
		"a curve nobody knows":                 {jwkWith(t, ec, map[string]any{"crv": "P-1", "alg": nil}), false},
		"a point that is not on the curve":     {jwkWith(t, ec, map[string]any{"y": p256["x"]}), false},
		"the point at infinity":                {jwkWith(t, ec, map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), false},
		"a coordinate with a zero in front":    {jwkWith(t, ec, map[string]any{"x": b64(append([]byte{0}, base64Bytes(t, p256["x"])...))}), false},
		"a coordinate that is too short":       {jwkWith(t, ec, map[string]any{"x": b64(make([]byte, 31))}), false},
		"X25519":                               {jwkWith(t, ed, map[string]any{"crv": "X25519", "alg": nil}), false},
		"Ed25519 with a byte too few":          {jwkWith(t, ed, map[string]any{"x": b64(make([]byte, 31))}), false},
		"no kty":                               {jwkWith(t, ec, map[string]any{"kty": nil}), false},
		"kty in lower case":                    {jwkWith(t, ec, map[string]any{"kty": "ec"}), false},
		"a string":                             {"key", false},
		"null":                                 {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := json.Marshal(map[string]any{"keys": []any{tc.entry, public(t, good).JWK}})
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
