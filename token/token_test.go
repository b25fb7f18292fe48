package token_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// noon is the time at which the tests judge.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// at is noon plus some seconds, as a claim.
func at(seconds int64) int64 { return noon.Unix() + seconds }

// claims are those of an honest token, changed: a nil change removes a claim, a
// null is json.RawMessage("null").
func claims(changes map[string]any) map[string]any {
	honest := map[string]any{"sub": "user-1", "iat": at(-10), "exp": at(60)}
	for name, value := range changes {
		if value == nil {
			delete(honest, name)
			continue
		}
		honest[name] = value
	}
	return honest
}

func generate(t testing.TB, alg, kid string) token.Key {
	t.Helper()
	key, err := token.Generate(alg, rand.Reader)
	if err != nil {
		t.Fatalf("Generate(%s): %v", alg, err)
	}
	key.KID = kid
	return key
}

func mint(t testing.TB, key token.Key, header, claims map[string]any) string {
	t.Helper()
	text, err := token.Mint(key, header, claims)
	if err != nil {
		t.Fatalf("Mint: %v", err)
	}
	return text
}

// public is the key as a KeySet takes it.
func public(t testing.TB, key token.Key) token.Key {
	t.Helper()
	if len(key.K) > 0 {
		return key
	}
	text, err := token.PublicJWK(key)
	if err != nil {
		t.Fatalf("PublicJWK: %v", err)
	}
	return token.Key{KID: key.KID, Alg: key.Alg, JWK: text}
}

func keySet(t testing.TB, keys ...token.Key) *token.KeySet {
	t.Helper()
	stored := make([]token.Key, len(keys))
	for i, key := range keys {
		stored[i] = public(t, key)
	}
	set, errs := token.NewKeySet(stored)
	if len(errs) > 0 {
		t.Fatalf("NewKeySet: %v", errs)
	}
	return set
}

// provider vouches for the keys' algorithms and whatever the change adds.
func provider(t testing.TB, name string, change func(*token.Provider), keys ...token.Key) token.Provider {
	t.Helper()
	made := token.Provider{Keys: keySet(t, keys...)}
	made.Name = name
	for _, key := range keys {
		made.Algorithms = append(made.Algorithms, policy.Algorithm(key.Alg))
	}
	if change != nil {
		change(&made)
	}
	return made
}

func verifier(t testing.TB, providers ...token.Provider) *token.Verifier {
	t.Helper()
	made, err := token.NewVerifier(providers)
	if err != nil {
		t.Fatalf("NewVerifier: %v", err)
	}
	return made
}

// verify judges the text as the sidecar would: out of an Authorization header.
func verify(t testing.TB, v *token.Verifier, text string) token.Outcome {
	t.Helper()
	raw, reason := token.Extract([]string{"Bearer " + text}, "Bearer ", 0)
	if reason != "" {
		return token.Outcome{Reason: reason}
	}
	return v.Verify(t.Context(), raw, noon)
}

// wantReason checks the reason, and that a Verified comes with ok alone.
func wantReason(t testing.TB, got token.Outcome, want policy.Reason) {
	t.Helper()
	if got.Reason != want {
		t.Errorf("reason = %q, want %q", got.Reason, want)
	}
	if got.Verified.Valid() != (got.Reason == policy.OK) {
		t.Errorf("Verified.Valid() = %v with reason %q", got.Verified.Valid(), got.Reason)
	}
}

// raw64 encodes a part of a token as it stands.
func raw64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// signed signs a header and a payload that are given as text, so that they can
// be wrong in ways Mint cannot write.
func signed(t testing.TB, key token.Key, header, payload string) string {
	t.Helper()
	return signedParts(t, key, raw64(header), raw64(payload))
}

func signedParts(t testing.TB, key token.Key, header, payload string) string {
	t.Helper()
	signature, err := token.Sign(key, []byte(header+"."+payload))
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// payload is the honest claims as text.
func payload(t testing.TB) string {
	t.Helper()
	text, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// resigned replaces the signature part.
func resigned(text string, signature []byte) string {
	return text[:strings.LastIndexByte(text, '.')+1] + base64.RawURLEncoding.EncodeToString(signature)
}

func signatureOf(t testing.TB, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text[strings.LastIndexByte(text, '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return data
}
