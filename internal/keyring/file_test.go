package keyring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

func exampleFile() File {
	return File{
		Revision:    7,
		AckKey:      Octets("0123456789abcdef"),
		SigningKeys: map[string]int64{"agent-tokens": 3},
		Revoked:     map[string][]string{"agent-tokens": {"1-aaaaaaaaaa", "2-bbbbbbbbbb"}},
		Providers: map[string]FileProvider{
			"laravel": {MaxTokenLifetime: 15 * time.Minute, Keys: []VerifyKey{
				{KID: "3-abcdefghij", Alg: "HS256", K: Octets("a secret of thirty-two bytes ...")},
				{KID: "current", K: Octets("a secret whose algorithm the policy pins")},
			}},
			"partner": {Keys: []VerifyKey{{Alg: "EdDSA", JWK: json.RawMessage(`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`)}}},
			"empty":   {Keys: []VerifyKey{}},
		},
		APIKeys: []policy.APIKeySpec{
			{ClientID: "batch", Values: []policy.APIKeyValue{{Name: "v1", KeyHash: "sha256:" + strings.Repeat("b", 64)}}},
			{
				ClientID: "crm", Scopes: []string{"agents:run"}, Claims: map[string]policy.ClaimText{"tenant_id": "t-1"},
				Values: []policy.APIKeyValue{{Name: "v2", KeyHash: "sha256:" + strings.Repeat("c", 64), ExpiresAt: new("2027-03-01T00:00:00Z")}},
			},
		},
	}
}

const exampleJSON = `{"version":1,"revision":7,"ackKey":"MDEyMzQ1Njc4OWFiY2RlZg","signingKeys":{"agent-tokens":{"generation":3}},` +
	`"revoked":{"agent-tokens":["1-aaaaaaaaaa","2-bbbbbbbbbb"]},` +
	`"providers":{"empty":{"keys":[]},"laravel":{"maxTokenLifetime":"15m0s","keys":[` +
	`{"kid":"3-abcdefghij","alg":"HS256","k":"YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4"},` +
	`{"kid":"current","alg":"","k":"YSBzZWNyZXQgd2hvc2UgYWxnb3JpdGhtIHRoZSBwb2xpY3kgcGlucw"}]},` +
	`"partner":{"keys":[{"kid":"","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AAAA"}}]}},"apiKeys":[` +
	`{"clientID":"batch","values":[{"name":"v1","keyHash":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]},` +
	`{"clientID":"crm","values":[{"name":"v2","keyHash":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","expiresAt":"2027-03-01T00:00:00Z"}],` +
	`"scopes":["agents:run"],"claims":{"tenant_id":"t-1"}}]}`

func TestFileIsWrittenAsAgreedAndReadBack(t *testing.T) {
	t.Parallel()
	data, err := exampleFile().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleJSON, string(data)); diff != "" {
		t.Errorf("keys.json is API between releases (-want +got):\n%s", diff)
	}
	got, err := ParseFile(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleFile(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The order in which clients and revocations were found changes nothing, so that
// nobody is told of a bundle that holds nothing new.
func TestListsAreWrittenInOneOrder(t *testing.T) {
	t.Parallel()
	f := exampleFile()
	f.Revoked = map[string][]string{"agent-tokens": {"2-bbbbbbbbbb", "1-aaaaaaaaaa"}, "another": {}}
	f.APIKeys[0], f.APIKeys[1] = f.APIKeys[1], f.APIKeys[0]
	data, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleJSON, string(data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFilesThatAreNotExactlyVersionOneAreRefused(t *testing.T) {
	t.Parallel()
	key := func(members string) string {
		return `{"version":1,"revision":1,"ackKey":"","signingKeys":{},"providers":{"p":{"keys":[{` + members + `}]}},"apiKeys":[]}`
	}
	client := func(members string) string { return `{"version":1,"apiKeys":[{` + members + `}]}` }
	value := func(id, digit string) string {
		return `"clientID":"` + id + `","values":[{"name":"v","keyHash":"sha256:` + strings.Repeat(digit, 64) + `"}]`
	}
	for name, test := range map[string]struct{ data, says string }{
		"nothing":                           {"", "reading keys.json"},
		"half a file":                       {exampleJSON[:len(exampleJSON)/2], "reading keys.json"},
		"two documents":                     {exampleJSON + exampleJSON, "something follows the document"},
		"a list":                            {`[]`, "cannot unmarshal array"},
		"no version":                        {`{}`, "version is 0"},
		"the next version":                  {`{"version":2}`, "version is 2, this sidecar reads 1"},
		"an unknown field":                  {`{"version":1,"extra":true}`, `"extra": unknown field`},
		"a field in another case":           {`{"Version":1}`, `"Version": unknown field`},
		"a field that occurs twice":         {`{"version":1,"version":1}`, `"version": the name occurs twice`},
		"a provider that occurs twice":      {`{"version":1,"providers":{"p":{"keys":[]},"p":{"keys":[]}}}`, `"providers.p": the name occurs twice`},
		"a name escaped to look different":  {`{"version":1,"\u0076ersion":1}`, "the name occurs twice"},
		"a twice-named member of a JWK":     {key(`"kid":"a","alg":"EdDSA","jwk":{"kty":"OKP","x":"AA","x":"BB"}`), "the name occurs twice"},
		"a client of nothing":               {`{"version":1,"apiKeys":[{}]}`, "apiKeys[0]: spec.clientID: is required"},
		"a client that is null":             {`{"version":1,"apiKeys":[null]}`, "apiKeys[0]: spec.clientID: is required"},
		"a client with an unknown field":    {client(`"clientID":"a","key":"b"`), `"apiKeys[0].key": unknown field`},
		"a client with a field twice":       {client(`"clientID":"a","clientID":"b"`), `the name occurs twice`},
		"a client with a claim twice":       {client(`"clientID":"a","claims":{"t":"1","t":"2"}`), `the name occurs twice`},
		"a client with a key for a hash":    {client(`"clientID":"a","values":[{"name":"v","keyHash":"gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"}]`), "spec.values[0].keyHash: is no hash"},
		"two clients of one id":             {client(value("a", "1") + `},{` + value("a", "2")), "apiKeys[1].clientID: occurs twice"},
		"two clients of one key":            {client(value("a", "1") + `},{` + value("b", "1")), "apiKeys[1].values[0].keyHash: occurs twice"},
		"a thousand and one clients":        {`{"version":1,"apiKeys":[` + list(1001, `{"clientID":"c%d"}`) + `]}`, "apiKeys: 1001 are more than 1000"},
		"certificates beside a key":         {`{"version":1,"providers":{"p":{"keys":[{"kid":"a","alg":"HS256","k":"AAAA"}],"caBundle":"x"}}}`, "providers.p.caBundle: wants certificates alone"},
		"certificates with a private key":   {`{"version":1,"providers":{"p":{"keys":[],"caBundle":"-----BEGIN EC PRIVATE KEY-----"}}}`, "providers.p.caBundle: wants certificates alone"},
		"certificates without end":          {`{"version":1,"providers":{"p":{"keys":[],"caBundle":"` + strings.Repeat("x", 256<<10+1) + `"}}}`, "at most 262144 bytes"},
		"a negative revision":               {`{"version":1,"revision":-1}`, "revision: -1 is negative"},
		"a negative generation":             {`{"version":1,"signingKeys":{"a":{"generation":-1}}}`, "signingKeys.a"},
		"a revoked key without id":          {`{"version":1,"revoked":{"a":["1-b",""]}}`, "revoked.a[1]: wants 1 to 253"},
		"a key revoked twice":               {`{"version":1,"revoked":{"a":["1-b","1-b"]}}`, "revoked.a[1]: wants 1 to 253 characters that occur once"},
		"a long id of a revoked key":        {`{"version":1,"revoked":{"a":["` + strings.Repeat("x", 254) + `"]}}`, "revoked.a[0]"},
		"revoked keys of no SigningKey":     {`{"version":1,"revoked":{"":["1-b"]}}`, "revoked.: wants a name"},
		"257 revoked keys":                  {`{"version":1,"revoked":{"a":[` + list(257, `"%d-b"`) + `]}}`, "at most 256 key ids"},
		"revoked keys of 65 SigningKeys":    {`{"version":1,"revoked":{` + list(65, `"k%d":["1-b"]`) + `}}`, "revoked: 65 are more than 64"},
		"revoked keys that are a list":      {`{"version":1,"revoked":["1-b"]}`, "cannot unmarshal array"},
		"revoked keys of one name twice":    {`{"version":1,"revoked":{"a":["1-b"],"a":[]}}`, `"revoked.a": the name occurs twice`},
		"a lifetime of nothing":             {`{"version":1,"providers":{"p":{"maxTokenLifetime":"0s","keys":[]}}}`, "providers.p.maxTokenLifetime"},
		"a lifetime that is a number":       {`{"version":1,"providers":{"p":{"maxTokenLifetime":900,"keys":[]}}}`, "cannot unmarshal number"},
		"a key of no kind":                  {key(`"kid":"a","alg":"HS256"`), "providers.p.keys[0]: exactly one of k, jwk"},
		"a key of both kinds":               {key(`"kid":"a","alg":"HS256","k":"AAAA","jwk":{}`), "exactly one of k, jwk"},
		"a secret without kid":              {key(`"kid":"","alg":"HS256","k":"AAAA"`), "providers.p.keys[0].kid"},
		"the algorithm none":                {key(`"kid":"a","alg":"none","k":"AAAA"`), `.alg: "none" is none of`},
		"a secret for a public algorithm":   {key(`"kid":"a","alg":"RS256","k":"AAAA"`), "does not go with the kind of key"},
		"a public key for HMAC":             {key(`"kid":"a","alg":"HS256","jwk":{"kty":"RSA"}`), "does not go with the kind of key"},
		"a private key":                     {key(`"kid":"a","alg":"ES256","jwk":{"kty":"EC","d":"AA"}`), `holds the private member "d"`},
		"a symmetric key as a JWK":          {key(`"kid":"a","alg":"ES256","jwk":{"kty":"oct","k":"AA"}`), `holds the private member "k"`},
		"a JWK that is text":                {key(`"kid":"a","alg":"ES256","jwk":"text"`), "not a JSON object"},
		"a JWK that is null":                {key(`"kid":"a","alg":"ES256","jwk":null`), "not a JSON object"},
		"a secret with padding":             {key(`"kid":"a","alg":"HS256","k":"AAA="`), "base64url without padding"},
		"a secret in the other alphabet":    {key(`"kid":"a","alg":"HS256","k":"++//"`), "base64url"},
		"a secret with spare bits":          {key(`"kid":"a","alg":"HS256","k":"AAB"`), "base64url"},
		"a secret that is null":             {key(`"kid":"a","alg":"HS256","k":null`), "want base64url text"},
		"two keys of one id":                {key(`"kid":"a","alg":"HS256","k":"AAAA"},{"kid":"a","alg":"HS256","k":"BBBB"`), "keys[1].kid: occurs twice"},
		"text that is not UTF-8":            {"{\"version\":1,\"providers\":{\"\xff\":{\"keys\":[]}}}", "not UTF-8"},
		"a megabyte and more":               {`{"version":1}` + strings.Repeat(" ", 1<<20), "are more than"},
		"a JWK nested a thousand deep":      {key(`"kid":"a","alg":"ES256","jwk":{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`), "nested deeper"},
		"nine providers":                    {`{"version":1,"providers":{` + list(9, `"p%d":{"keys":[]}`) + `}}`, "providers, signingKeys: at most 8"},
		"a hundred and one keys":            {key(`"kid":"x","alg":"HS256","k":"AAAA"},` + list(100, `{"kid":"%d","alg":"HS256","k":"AAAA"}`) + `,{"kid":"y","alg":"HS256","k":"AAAA"`), "are more than 100"},
		"an id of three hundred characters": {key(`"kid":"` + strings.Repeat("x", 300) + `","alg":"HS256","k":"AAAA"`), ".kid: wants 1 to 253"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseFile([]byte(test.data))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("want an error that says %q, got %v", test.says, err)
			}
			if got.Providers != nil {
				t.Error("a refused file must be empty")
			}
		})
	}
}

func list(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

func TestWhatCannotBeReadIsNotWritten(t *testing.T) {
	t.Parallel()
	f := exampleFile()
	f.Providers["laravel"].Keys[0].Alg = "none"
	if _, err := f.Marshal(); err == nil || !strings.Contains(err.Error(), "providers.laravel.keys[0].alg") {
		t.Errorf("want an error that names the field, got %v", err)
	}
}

// Secrets must not come out of any way in which Go prints things.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	f := exampleFile()
	state := &State{Salt: Octets("salt-bytes"), Keys: []Key{{KID: "a", Material: Material{Value: Octets("a secret value")}}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, value := range []any{f, &f, f.Providers, f.AckKey, state, *state, state.Keys[0], Export{Current: Octets("a secret value")}} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range []string{"secret", fmt.Sprintf("%x", "secret"), "115 101 99", "salt-bytes", "0123456789abcdef"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of %T shows %q: %s", verb, value, secret, text)
				}
			}
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(exampleJSON))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"providers":{"p":{"maxTokenLifetime":"1h","keys":[{"kid":"","alg":"","jwk":{"kty":"EC"}}]}}}`))
	f.Add([]byte(`{"version":1,"revision":1e3}`))
	f.Add([]byte(`{"version":1,"signingKeys":{"":{"generation":1}}}`))
	f.Add([]byte(`{"version":1,"revoked":{"a":["2-b","1-b"],"b":[],"c":null}}`))
	f.Add([]byte(exampleJSON[:100]))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseFile(data)
		if err != nil {
			return
		}
		once, err := file.Marshal()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ParseFile(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		twice, err := again.Marshal()
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("writing is not stable (%v):\n%s\n%s", err, once, twice)
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"algorithm":"HS256","generation":2,"salt":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY","keys":[{"kid":"1-a","phase":"Active","generation":1,"created":"2026-11-22T00:00:00Z","value":"AAAA"}],"revoked":[{"kid":"0-b","time":"2026-11-22T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"algorithm":"ES256","generation":0,"salt":"","keys":[],"revoked":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := ParseState(data)
		if err != nil {
			return
		}
		once, err := state.Marshal()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := ParseState(once); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		state.VerifyKeys()
		if _, err := state.Export(); err != nil {
			t.Logf("not exported: %v", err)
		}
	})
}

func TestStatesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	state := func(keys string) string {
		return `{"version":1,"algorithm":"HS256","generation":2,"salt":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY","keys":[` + keys + `],"revoked":[]}`
	}
	key := func(kid, phase string) string {
		return fmt.Sprintf(`{"kid":%q,"phase":%q,"generation":1,"created":"2026-11-22T00:00:00Z","value":"AAAA"}`, kid, phase)
	}
	if _, err := ParseState([]byte(state(key("a", "Active") + "," + key("b", "Published") + "," + key("c", "Retiring")))); err != nil {
		t.Errorf("a state of three keys: %v", err)
	}
	for name, test := range map[string]struct{ data, says string }{
		"nothing":               {"", "reading key state"},
		"another version":       {`{"version":2}`, "version is 2, want 1"},
		"an unknown algorithm":  {`{"version":1,"algorithm":"none"}`, `algorithm "none"`},
		"a short salt":          {`{"version":1,"algorithm":"HS256","salt":"AAAA"}`, "salt has 3 bytes, want 32"},
		"a negative generation": {`{"version":1,"algorithm":"HS256","generation":-1}`, "generation -1 is not within 0 and"},
		"two active keys":       {state(key("a", "Active") + "," + key("b", "Active")), "more than one key is Active"},
		"two published keys":    {state(key("a", "Published") + "," + key("b", "Published")), "more than one key is Active, or Published"},
		"one id twice":          {state(key("a", "Active") + "," + key("a", "Retiring")), "keys[1].kid is there twice"},
		"an empty id":           {state(key("", "Active")), "keys[0].kid is empty"},
		"an unknown phase":      {state(key("a", "Asleep")), `keys[0].phase "Asleep"`},
		"a key without value":   {state(`{"kid":"a","phase":"Active","generation":1,"created":"2026-11-22T00:00:00Z"}`), "keys[0] has no material"},
		"a public key for HMAC": {state(`{"kid":"a","phase":"Active","generation":1,"created":"2026-11-22T00:00:00Z","public":{"kty":"EC"}}`), "keys[0] is not of the kind that HS256 needs"},
		"a field of a later us": {state(`{"kid":"a","phase":"Active","generation":1,"created":"2026-11-22T00:00:00Z","value":"AAAA","later":1}`), `"keys[0].later": unknown field`},
	} {
		if _, err := ParseState([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: want an error that says %q, got %v", name, test.says, err)
		}
	}
}
