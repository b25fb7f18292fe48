package token_test

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// FuzzParseJWKS: a set holds no kid twice, no more keys than allowed, never a
// secret, and nothing that D7 refuses.
func FuzzParseJWKS(f *testing.F) {
	for _, alg := range []string{"ES256", "ES512", "EdDSA", "RS256"} {
		key := generate(f, alg, "k1")
		text, err := token.PublicJWKS([]token.Key{key, generate(f, alg, "k2"), key})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		one, err := token.PublicJWKS([]token.Key{generate(f, alg, "k3")})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(one)
		f.Add(bytes.ReplaceAll(one, []byte(`"use":"sig"`), []byte(`"use":"enc"`)))
		f.Add(bytes.ReplaceAll(one, []byte(`"use":"sig"`), []byte(`"key_ops":["verify"]`)))
		f.Add(bytes.ReplaceAll(one, []byte(`"use":"sig"`), []byte(`"d":"AA"`)))
		f.Add(bytes.ReplaceAll(one, []byte(`"AQAB"`), []byte(`"Aw"`)))
	}
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kid":"k1"},{"crv":"Ed25519","kid":"k1","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"}]}`, `{"keys":[null,1,[]]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, errs := token.ParseJWKS(data)
		if set == nil && len(errs) == 0 {
			t.Error("no set and no error")
		}
		kids := set.KIDs()
		slices.Sort(kids)
		if len(slices.Compact(kids)) != len(set.KIDs()) || set.Len() > 100 {
			t.Errorf("%d keys, ids %q", set.Len(), kids)
		}
		own := token.Provider{Keys: set}
		own.Name, own.Algorithms = "own", []policy.Algorithm{"HS256"}
		if _, err := token.NewVerifier([]token.Provider{own}); err == nil && set.Len() > 0 {
			t.Error("the set passed for secrets")
		}
		checkTaken(t, data, set.KIDs())
	})
}

// checkTaken judges the entries of taken keys by another reader.
func checkTaken(t *testing.T, data []byte, kids []string) {
	t.Helper()
	var document struct {
		Keys []map[string]any `json:"keys"`
	}
	for _, kid := range kids {
		if err := json.Unmarshal(data, &document); err != nil {
			return // some other entry is no object
		}
		sound := slices.ContainsFunc(document.Keys, func(entry map[string]any) bool { return entry["kid"] == kid && soundKey(entry) })
		if !sound {
			t.Errorf("%q was taken: %s", kid, data)
		}
	}
}

func soundKey(entry map[string]any) bool {
	for _, private := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		if entry[private] != nil {
			return false
		}
	}
	if use, found := entry["use"]; found && use != "sig" {
		return false
	}
	octets := func(name string) []byte {
		text, _ := entry[name].(string)
		data, _ := base64.RawURLEncoding.DecodeString(text)
		return data
	}
	switch entry["kty"] {
	case "RSA":
		n, e := new(big.Int).SetBytes(octets("n")), new(big.Int).SetBytes(octets("e"))
		return n.BitLen() >= 2048 && n.BitLen() <= 8192 && n.Bit(0) == 1 && e.Bit(0) == 1 &&
			e.Cmp(big.NewInt(65537)) >= 0 && e.Cmp(big.NewInt(1<<31)) <= 0
	case "EC":
		curve := map[any]ecdh.Curve{"P-256": ecdh.P256(), "P-384": ecdh.P384(), "P-521": ecdh.P521()}[entry["crv"]]
		if curve == nil {
			return false
		}
		_, err := curve.NewPublicKey(slices.Concat([]byte{4}, octets("x"), octets("y")))
		return err == nil
	case "OKP":
		return entry["crv"] == "Ed25519" && len(octets("x")) == 32
	}
	return false
}

// FuzzKeptSet: a kept file is read only if writing what was read gives the same
// keys again.
func FuzzKeptSet(f *testing.F) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		set, _ := token.NewKeySet([]token.Key{public(f, generate(f, alg, "k1"))})
		data, err := token.EncodeKept("feed", set, noon)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
		f.Add(bytes.Replace(data, []byte(`"keys":[`), []byte(`"keys":[{"kty":"oct","k":"AAAA"},`), 1))
		f.Add(bytes.Replace(data, []byte(`"version":"1"`), []byte(`"version":1`), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, at, err := token.DecodeKept("feed", data)
		if err != nil {
			return
		}
		again, err := token.EncodeKept("feed", set, at)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		same, then, err := token.DecodeKept("feed", again)
		if err != nil || !then.Equal(at.Truncate(time.Second)) || !slices.Equal(same.KIDs(), set.KIDs()) || same.Len() != set.Len() {
			t.Fatalf("read %d keys of %v, then %d of %v (%v)", set.Len(), at, same.Len(), then, err)
		}
	})
}

// FuzzCABundle: certificates or an error, never both, and no panic.
func FuzzCABundle(f *testing.F) {
	good := []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	for _, seed := range [][]byte{good, good[:20], append([]byte("text\n"), good...), bytes.Repeat(good, 3), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bundle, err := token.ParseCABundle(data); (bundle == nil) == (err == nil) {
			t.Errorf("bundle %v, error %v", bundle != nil, err)
		}
	})
}
