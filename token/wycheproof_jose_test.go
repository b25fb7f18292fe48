package token_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// joseVectors are whole compact JWS, of payloads that are no claims: they go the
// way of a token up to its claims.
func joseVectors(t *testing.T, groups []vectorGroup, count *tally) {
	t.Helper()
	for _, group := range groups {
		t.Run(group.Comment, func(t *testing.T) {
			keys, refusal := joseKeys(t, group)
			set, errs := token.NewKeySet(keys)
			algs, mixed := joseAlgorithms(t, set, keys)
			valid := map[jwsText]bool{}
			for _, v := range group.Tests {
				valid[v.JWS] = valid[v.JWS] || v.Result == "valid"
			}
			for _, v := range group.Tests {
				switch {
				case v.JWS == "": // encryption: T10 refuses it by its form
				case valid[v.JWS] && v.Result != "valid":
					t.Logf("vector %d (%s) is left out: the same text is another, valid vector", v.ID, v.Comment)
				default:
					accepted := !mixed && token.SignedBy(set, algs, string(v.JWS))
					count.judge(t, v, accepted, cmp.Or(refusal, joseRefusal(v)))
				}
			}
			if t.Failed() {
				t.Logf("keys: %v", errs)
			}
		})
	}
}

// joseRefusal says why a valid vector is refused whatever its key.
func joseRefusal(v vector) string {
	switch {
	case v.ID == 346 || v.ID == 350:
		return "its JWK is pinned to PS256 and its header says PS384"
	case v.Comment == "emptyPayload":
		return "nothing is no claims"
	case strings.HasPrefix(v.Comment, "InvalidCharacterInserted"):
		return "a letter outside base64url"
	}
	return ""
}

// joseKeys are the keys of a group as this program stores them: secrets as
// bytes, public keys as JWK. The refusal says why valid signatures by them are
// refused all the same.
func joseKeys(t *testing.T, group vectorGroup) (keys []token.Key, refusal string) {
	t.Helper()
	text := group.Public
	if text == nil {
		text = group.Private
	}
	var set struct{ Keys []json.RawMessage }
	must(t, json.Unmarshal(text, &set))
	if set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	for _, entry := range set.Keys {
		var members struct{ Kty, Alg, Kid, K, D string }
		must(t, json.Unmarshal(entry, &members))
		if members.Alg == "ES521" {
			refusal = "its JWK has the algorithm ES521, which RFC 7518 calls ES512"
		}
		if members.Kty != "oct" {
			keys = append(keys, token.Key{JWK: entry})
			continue
		}
		secret, err := base64.RawURLEncoding.DecodeString(members.K)
		must(t, err)
		keys = append(keys, token.Key{KID: members.Kid, Alg: members.Alg, K: secret})
	}
	return keys, refusal
}

// joseAlgorithms are what a provider of these keys may name; mixed says that
// there is no such provider.
func joseAlgorithms(t *testing.T, set *token.KeySet, keys []token.Key) (algs []string, mixed bool) {
	t.Helper()
	var names []policy.Algorithm
	secrets := 0
	for _, key := range keys {
		if len(key.K) > 0 || len(key.JWK) == 0 {
			secrets++
		}
	}
	if secrets > 0 {
		names = append(names, "HS256", "HS384", "HS512")
	}
	if secrets < len(keys) {
		names = append(names, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
	}
	own := token.Provider{Keys: set}
	own.Name, own.Algorithms = "own", names
	_, err := token.NewVerifier([]token.Provider{own})
	for _, name := range names {
		algs = append(algs, string(name))
	}
	return algs, err != nil
}
