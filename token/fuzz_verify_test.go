package token_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// fuzzHeaders and fuzzPayloads cover the rows of the tables beside them.
var (
	fuzzHeaders = []string{
		`{"alg":"%"}`, `{"alg":"%","kid":"k","typ":"JWT"}`, `{"alg":"%","typ":"refresh+jwt"}`, `{"alg":"none"}`, `{"alg":"HS256"}`, `{"typ":"JWT"}`,
		`{"alg":null}`, `{"alg":["%"]}`, `{"alg":"%","crit":["x"],"x":1}`, `{"alg":"%","b64":false,"crit":["b64"]}`, `{"alg":"%","Alg":"none"}`,
		`{"alg":"none","alg":"%"}`, `{"alg":"%","kid":"../../dev/null"}`, `{"alg":"%","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"%","jku":"https://evil.example/"}`,
		`{"alg":"%","kid":1}`, `["%"]`, `{}`, "\ufeff{\"alg\":\"%\"}", `{"alg":"%" }`,
	}
	fuzzPayloads = []string{
		`{"exp":1795348860,"aud":"x"}`, `{"exp":1795348860.5,"aud":["x","y"],"sub":42,"iat":1795348790}`, `{"exp":1795348860,"exp":1,"aud":"x"}`,
		`{"exp":"1795348860","aud":"x"}`, `{"exp":1e400,"aud":"x"}`, `{"exp":0,"aud":"x"}`, `{"exp":-1,"aud":"x"}`, `{"exp":9007199254740993,"aud":"x"}`,
		`{"exp":1795348860,"EXP":1,"aud":"x"}`, `{"exp":1795348860,"aud":["x",1]}`, `{"exp":1795348860,"aud":{"x":1}}`, `{"exp":1795348860,"aud":"x","cnf":{}}`,
		`{"exp":1795348860,"aud":"x","sub":"a\r\nb"}`, `{"exp":1795348860,"aud":"x","roles":["x,admin"]}`, `{"exp":1795348860,"aud":"x","nbf":1795348900}`,
		`{"exp":1795348860,"aud":"x","a":[[[[[[]]]]]]}`, `{"exp":1795348860,"aud":"x","s":"\ud800"}`, `{"exp":1795348860,"aud":"x","\u0065xp":1}`,
		`{"exp":1.79534886e9,"aud":"x"}`, `{"exp":1795348860,"aud":"x"}{}`, `[]`, ``,
	}
)

// FuzzVerify signs whatever it is given, by each kind of key, and turns a bit of
// the signature unless the bit is 0: what is accepted must be acceptable to
// another reader as well, and to the standard library.
func FuzzVerify(f *testing.F) {
	keys := fuzzKeys(f)
	v := fuzzVerifier(f, keys)
	for kind, alg := range fuzzAlgs {
		for _, header := range fuzzHeaders {
			f.Add(strings.ReplaceAll(header, "%", alg), fuzzPayloads[0], uint8(kind), uint16(0))
		}
		for _, payload := range fuzzPayloads {
			f.Add(strings.ReplaceAll(fuzzHeaders[0], "%", alg), payload, uint8(kind), uint16(0))
		}
		f.Add(strings.ReplaceAll(fuzzHeaders[0], "%", alg), fuzzPayloads[0], uint8(kind), uint16(77))
	}
	f.Fuzz(func(t *testing.T, header, payload string, kind uint8, bit uint16) {
		alg := fuzzAlgs[int(kind)%len(fuzzAlgs)]
		text := signed(t, keys[alg], header, payload)
		if bit > 0 {
			signature := signatureOf(t, text)
			signature[int(bit/8)%len(signature)] ^= 1 << (bit % 8)
			text = resigned(text, signature)
		}
		got := verify(t, v, text)
		checkExplained(t, v, text, got.Reason)
		if got.Verified.Valid() != (got.Reason == policy.OK) {
			t.Fatalf("Verified with reason %q", got.Reason)
		}
		if got.Reason != policy.OK {
			return
		}
		checkAccepted(t, keys, text)
	})
}

// FuzzCompact takes whole texts, honest ones among the seeds.
func FuzzCompact(f *testing.F) {
	keys := fuzzKeys(f)
	v := fuzzVerifier(f, keys)
	for _, alg := range fuzzAlgs {
		text := signed(f, keys[alg], strings.ReplaceAll(fuzzHeaders[0], "%", alg), fuzzPayloads[0])
		for _, seed := range []string{text, text + "=", text[:len(text)-1], "." + text, text + ".", text[:20] + "\n" + text[20:], strings.ReplaceAll(text, "_", "/"), spareBits(text)} {
			f.Add(seed)
		}
	}
	for _, seed := range []string{"", ".", "..", "a.b.c", strings.Repeat("e30.", 3), strings.Repeat(".", 100), `{"payload":"e30","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := verify(t, v, text); got.Reason == "" || got.Verified.Valid() != (got.Reason == policy.OK) {
			t.Fatalf("%q: reason %q", text, got.Reason)
		} else if checkExplained(t, v, text, got.Reason); got.Reason == policy.OK {
			checkAccepted(t, keys, text)
		}
	})
}

// fuzzVerifier has one provider for each key.
func fuzzVerifier(f *testing.F, keys map[string]token.Key) *token.Verifier {
	f.Helper()
	var providers []token.Provider
	for _, alg := range fuzzAlgs {
		providers = append(providers, provider(f, strings.ToLower(alg), func(p *token.Provider) { p.Audiences = []string{"x"} }, keys[alg]))
	}
	return verifier(f, providers...)
}

// checkAccepted judges an accepted token again: its text is the only way to write
// it, its signature is good for the standard library, and its claims are what
// was asked for.
func checkAccepted(t *testing.T, keys map[string]token.Key, text string) {
	t.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("accepted %d parts: %q", len(parts), text)
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(data) != part {
			t.Fatalf("accepted a part that is not canonical: %q", part)
		}
		decoded[i] = data
	}
	var head, body map[string]any
	if json.Unmarshal(decoded[0], &head) != nil || json.Unmarshal(decoded[1], &body) != nil {
		t.Fatalf("accepted what is not JSON: %q", decoded)
	}
	alg, _ := head["alg"].(string)
	if !oracle(keys[alg], parts[0]+"."+parts[1], decoded[2]) {
		t.Fatalf("accepted a signature that the standard library refuses: %q", text)
	}
	exp, _ := body["exp"].(float64)
	audiences, _ := body["aud"].([]any)
	bound := body["cnf"] != nil || head["crit"] != nil || head["b64"] != nil
	if bound || exp+10 <= float64(noon.Unix()) || exp > float64(noon.Unix()+25*3600) || (body["aud"] != "x" && !slices.Contains(audiences, any("x"))) {
		t.Fatalf("accepted %q", decoded)
	}
}
