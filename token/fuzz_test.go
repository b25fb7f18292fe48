package token_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// FuzzExtract: whatever is accepted is one word of token68 behind the prefix.
func FuzzExtract(f *testing.F) {
	for _, value := range []string{
		"Bearer a.b.c", "bearer a", "Bearer", "Bearer ", "Bearer  a", "Bearer a,b", "Basic a, Bearer b", "", ",", "Bearer \x00",
	} {
		f.Add(value, "Bearer ", false)
		f.Add(value, "", true)
	}
	word := regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{1,512}$`)
	f.Fuzz(func(t *testing.T, value, prefix string, twice bool) {
		values := []string{value}
		if twice {
			values = append(values, value)
		}
		_, reason := token.Extract(values, prefix, 512)
		switch reason {
		case "":
			if twice || len(value) < len(prefix) || !word.MatchString(value[len(prefix):]) {
				t.Errorf("accepted %q behind %q", values, prefix)
			}
		case policy.MissingCredential, policy.AmbiguousCredentials, policy.TokenTooLarge, policy.MalformedToken:
		default:
			t.Errorf("reason %q", reason)
		}
	})
}

// FuzzVerify signs whatever it is given: what is accepted must be acceptable to
// another reader as well.
func FuzzVerify(f *testing.F) {
	key := token.Key{KID: "k", Alg: "HS256", K: []byte(strings.Repeat("k", 32))}
	set, errs := token.NewKeySet([]token.Key{key})
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	own := token.Provider{Keys: set}
	own.Name, own.Algorithms, own.Audiences = "own", []policy.Algorithm{"HS256"}, []string{"x"}
	v, err := token.NewVerifier([]token.Provider{own})
	if err != nil {
		f.Fatal(err)
	}
	for _, header := range []string{
		`{"alg":"HS256"}`, `{"alg":"HS256","kid":"k","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS256","crit":["x"]}`, `{}`,
	} {
		f.Add(header, `{"exp":1795348860,"aud":"x"}`, false)
		f.Add(header, `{"exp":1795348860.5,"aud":["x","y"],"sub":42,"iat":1795348790}`, false)
		f.Add(header, `{"exp":1795348860,"exp":1,"aud":"x"}`, false)
		f.Add(header, `{"exp":"1795348860","aud":"x"}`, true)
	}
	f.Fuzz(func(t *testing.T, header, payload string, forge bool) {
		text := signed(t, key, header, payload)
		if forge {
			text = resigned(text, flip(signatureOf(t, text)))
		}
		got := verify(t, v, text)
		if got.Verified.Valid() != (got.Reason == policy.OK) {
			t.Fatalf("Verified with reason %q", got.Reason)
		}
		if got.Reason != policy.OK {
			return
		}
		checkAccepted(t, header, payload, forge)
	})
}

func checkAccepted(t *testing.T, header, payload string, forge bool) {
	t.Helper()
	var head, body map[string]any
	if json.Unmarshal([]byte(header), &head) != nil || json.Unmarshal([]byte(payload), &body) != nil {
		t.Fatalf("accepted what is not JSON: %q %q", header, payload)
	}
	exp, _ := body["exp"].(float64)
	audiences, _ := body["aud"].([]any)
	bound := body["cnf"] != nil || head["crit"] != nil
	if forge || bound || head["alg"] != "HS256" || exp+10 <= float64(noon.Unix()) || exp > float64(noon.Add(25*time.Hour).Unix()) ||
		(body["aud"] != "x" && !slices.Contains(audiences, any("x"))) {
		t.Fatalf("accepted %q %q (forged %v)", header, payload, forge)
	}
}

// FuzzCompact: text that nobody signed is never accepted, and nothing panics.
func FuzzCompact(f *testing.F) {
	key := token.Key{Alg: "HS256", K: []byte(strings.Repeat("k", 32))}
	set, _ := token.NewKeySet([]token.Key{key})
	own := token.Provider{Keys: set}
	own.Name, own.Algorithms = "own", []policy.Algorithm{"HS256"}
	v, err := token.NewVerifier([]token.Provider{own})
	if err != nil {
		f.Fatal(err)
	}
	foreign := token.Key{Alg: "HS256", K: []byte(strings.Repeat("f", 32))}
	text, err := token.Mint(foreign, nil, claims(nil))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{text, "", ".", "..", "a.b.c", text + "=", text[:len(text)-1], "." + text, strings.Repeat("e30.", 3)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := verify(t, v, text); got.Reason == policy.OK || got.Reason == "" || got.Verified.Valid() {
			t.Fatalf("%q: reason %q", text, got.Reason)
		}
	})
}

// FuzzParseJWKS: a set holds no kid twice, no more keys than allowed, and never a
// secret.
func FuzzParseJWKS(f *testing.F) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		key := generate(f, alg, "k1")
		text, err := token.PublicJWKS([]token.Key{key, generate(f, alg, "k2"), key})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"}]}`, `{"keys":[null,1,[]]}`, `[]`, ``,
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
	})
}

// FuzzJSON compares the reader with encoding/json: what it accepts, both read
// alike; what it refuses, encoding/json refuses too or it is one of the ways in
// which two readers could differ.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":[1,-0.5e+10,true,false,null,{"b":"c"}]} `, `{"a":"\ud83d\ude00\u0000\/\b"}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":-}`, `{"a":+1}`, `{"a":"` + "\x1f" + `"}`, `{"a":"` + "\xff" + `"}`, `[]`, `""`, `{"a"}`,
		`{,}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":tru}`, "\ufeff{}", `{}{}`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		`{"a":` + strings.Repeat("1", 70) + `}`, `{"\u0061":1,"a":1}`,
	} {
		f.Add(seed)
	}
	surrogate := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := token.DecodeObject(text)
		if err == nil {
			decoder := json.NewDecoder(strings.NewReader(text))
			decoder.UseNumber()
			var want any
			if !json.Valid([]byte(text)) || decoder.Decode(&want) != nil || !reflect.DeepEqual(any(got), want) {
				t.Fatalf("%q was read as %v, encoding/json has %v", text, got, want)
			}
			return
		}
		for _, stricter := range []error{token.ErrJSONDepth, token.ErrJSONDuplicate, token.ErrJSONNumber, token.ErrJSONUTF8, token.ErrJSONObject, token.ErrJSONValues} {
			if errors.Is(err, stricter) {
				return
			}
		}
		if json.Valid([]byte(text)) && !surrogate.MatchString(text) {
			t.Fatalf("%q was refused: %v", text, err)
		}
	})
}
