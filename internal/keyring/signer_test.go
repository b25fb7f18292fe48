package keyring

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func exampleSigner() SignerFile {
	public := func(kid string) VerifyKey {
		return VerifyKey{KID: kid, Alg: "ES256", JWK: json.RawMessage(`{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`)}
	}
	return SignerFile{
		SigningKey: "agent-es256", Algorithm: "ES256", MaxTokenLifetime: 15 * time.Minute,
		KID: "3-abcdefghij", Value: Octets("a private key in PEM"),
		Publish: []VerifyKey{public("3-abcdefghij"), public("5-abcdefghij")},
	}
}

const signerText = `{"version":1,"signingKey":"agent-es256","algorithm":"ES256","maxTokenLifetime":"15m0s","kid":"3-abcdefghij",` +
	`"value":"YSBwcml2YXRlIGtleSBpbiBQRU0","publish":[` +
	`{"kid":"3-abcdefghij","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}},` +
	`{"kid":"5-abcdefghij","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}}]}`

func TestSignerFileIsWrittenAsAgreedAndReadBack(t *testing.T) {
	t.Parallel()
	nobody := exampleSigner()
	nobody.KID, nobody.Value = "", nil
	secret := SignerFile{SigningKey: "s", Algorithm: "HS256", MaxTokenLifetime: time.Minute, KID: "1-a", Value: Octets("a secret")}
	for sentence, f := range map[string]SignerFile{"a key pair": exampleSigner(), "nobody may sign": nobody, "a secret": secret} {
		data, err := f.Marshal()
		if err != nil {
			t.Errorf("%s: %v", sentence, err)
			continue
		}
		got, err := ParseSigner(data)
		if diff := cmp.Diff(f, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", sentence, err, diff)
		}
	}
	data, err := exampleSigner().Marshal()
	if diff := cmp.Diff(signerText, string(data)); err != nil || diff != "" {
		t.Errorf("signer.json is API between releases: %v (-want +got):\n%s", err, diff)
	}
}

func TestSignerFilesThatAreNotExactlyVersionOneAreRefused(t *testing.T) {
	t.Parallel()
	edit := func(old, new string) string {
		if !strings.Contains(signerText, old) {
			t.Fatalf("%s is not in the example", old)
		}
		return strings.Replace(signerText, old, new, 1)
	}
	for sentence, test := range map[string]struct{ data, says string }{
		"nothing":                         {"", "reading signer.json"},
		"two documents":                   {signerText + signerText, "something follows"},
		"the next version":                {edit(`"version":1`, `"version":2`), "version is 2"},
		"an unknown field":                {edit(`"version":1`, `"version":1,"extra":1`), "unknown field"},
		"a field twice":                   {edit(`"version":1`, `"version":1,"kid":"a"`), "occurs twice"},
		"no name":                         {edit(`"agent-es256"`, `""`), "signingKey: wants a name"},
		"no algorithm":                    {edit(`"algorithm":"ES256"`, `"algorithm":"none"`), `algorithm: "none" is none of`},
		"no lifetime":                     {edit(`"15m0s"`, `""`), "maxTokenLifetime: must be positive"},
		"a negative lifetime":             {edit(`"15m0s"`, `"-1m"`), "not a positive duration"},
		"a key id without a key":          {edit(`"value":"YSBwcml2YXRlIGtleSBpbiBQRU0",`, ""), "either both or neither"},
		"a key without a key id":          {edit(`"kid":"3-abcdefghij","value"`, `"value"`), "either both or neither"},
		"a private key among the public":  {edit(`"y":"AAAA"`, `"y":"AAAA","d":"AAAA"`), `publish[0].jwk: holds the private member "d"`},
		"a secret among the public":       {edit(`"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`, `"alg":"HS256","k":"AAAA"`), "shown to nobody"},
		"public keys of an HMAC":          {edit(`"algorithm":"ES256"`, `"algorithm":"HS256"`), "shown to nobody"},
		"one public key twice":            {edit(`"kid":"5-abcdefghij"`, `"kid":"3-abcdefghij"`), "publish[1].kid: must be set and occur once"},
		"a public key without id":         {edit(`"kid":"5-abcdefghij"`, `"kid":""`), "publish[1].kid: must be set and occur once"},
		"a signing key that is not shown": {edit(`"kid":"3-abcdefghij","value"`, `"kid":"4-abcdefghij","value"`), "lacks the key that signs"},
	} {
		got, err := ParseSigner([]byte(test.data))
		if err == nil || !strings.Contains(err.Error(), test.says) || !cmp.Equal(got, SignerFile{}) {
			t.Errorf("%s: %v, want an error that says %q", sentence, err, test.says)
		}
	}
}

func TestSignerFilePrintsNoKey(t *testing.T) {
	t.Parallel()
	f := exampleSigner()
	for _, text := range []string{f.String(), fmt.Sprintf("%v %+v %#v %s", f, f, f.Value, f)} {
		if strings.Contains(text, "private key") || strings.Contains(text, "YSBwcml2") {
			t.Errorf("prints its key: %s", text)
		}
	}
}

func TestSignerOfAStateHasTheActiveKeyAndShowsTheLiveOnes(t *testing.T) {
	t.Parallel()
	public := json.RawMessage(`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`)
	key := func(kid string, phase Phase, generation int64) Key {
		return Key{KID: kid, Phase: phase, Generation: generation, Material: Material{Value: Octets("private " + kid), Public: public}}
	}
	s := &State{Algorithm: "EdDSA", Keys: []Key{key("1-a", Retiring, 1), key("2-b", Active, 2), key("3-c", Published, 3)}}
	f := s.Signer("k", time.Minute)
	var shown []string
	for _, k := range f.Publish {
		shown = append(shown, k.KID)
		if len(k.K) > 0 {
			t.Errorf("%s is shown with its private half", k.KID)
		}
	}
	if diff := cmp.Diff([]string{"2-b", "3-c", "1-a"}, shown); diff != "" || f.KID != "2-b" || string(f.Value) != "private 2-b" {
		t.Errorf("signs with %s, shows (-want +got):\n%s", f, diff)
	}
	s.Keys[1].Phase = Retiring
	if f := s.Signer("k", time.Minute); f.KID != "" || len(f.Value) > 0 {
		t.Errorf("without an active key somebody signs: %s", f)
	}
	s.Algorithm = "HS256"
	if f := s.Signer("k", time.Minute); len(f.Publish) > 0 {
		t.Errorf("secrets are shown: %v", f.Publish)
	}
}

func TestJWKSOfASignerNamesKeys(t *testing.T) {
	t.Parallel()
	f := exampleSigner()
	f.Publish = f.Publish[:1]
	got, err := f.JWKS()
	want := `{"keys":[{"alg":"ES256","crv":"P-256","kid":"3-abcdefghij","kty":"EC","use":"sig","x":"AAAA","y":"AAAA"}]}`
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := (SignerFile{Algorithm: "HS256"}).JWKS(); err != nil || string(got) != `{"keys":[]}` {
		t.Errorf("of HMAC: %s, %v", got, err)
	}
}

// What is read is written again as it was, and nothing read is a private key
// that would be shown.
func FuzzParseSigner(f *testing.F) {
	f.Add([]byte(signerText))
	f.Add([]byte(`{"version":1,"signingKey":"s","algorithm":"HS256","maxTokenLifetime":"1m","kid":"1-a","value":"AAAA","publish":[]}`))
	f.Add([]byte(`{"version":1,"signingKey":"s","algorithm":"EdDSA","maxTokenLifetime":"1h","publish":[{"kid":"a","alg":"","jwk":{"kty":"OKP"}}]}`))
	f.Add([]byte(`{"version":1,"publish":[{"kid":"a","jwk":{"d":1}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseSigner(data)
		if err != nil {
			return
		}
		again, err := got.Marshal()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := ParseSigner(again)
		if err != nil || back.KID != got.KID || string(back.Value) != string(got.Value) || len(back.Publish) != len(got.Publish) {
			t.Fatalf("what was written is read otherwise: %v\n%s", err, again)
		}
		set, err := got.JWKS()
		if err != nil {
			t.Fatal(err)
		}
		var shown struct{ Keys []map[string]any }
		if err := json.Unmarshal(set, &shown); err != nil {
			t.Fatal(err)
		}
		for _, key := range shown.Keys {
			if _, private := key["d"]; private {
				t.Fatalf("a private key is shown: %s", set)
			}
		}
	})
}

func TestServiceAccountsFilesAreReadStrictly(t *testing.T) {
	t.Parallel()
	want := ServiceAccountsFile{Issuer: "https://kubernetes.default.svc", JWKS: json.RawMessage(`{"keys":[]}`)}
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseServiceAccounts(data)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for sentence, test := range map[string]struct{ data, says string }{
		"nothing":          {``, "reading serviceaccounts.json"},
		"no issuer":        {`{"jwks":{}}`, "issuer: wants"},
		"no keys":          {`{"issuer":"a"}`, "jwks: wants"},
		"keys that are no": {`{"issuer":"a","jwks":null}`, "jwks: wants"},
		"a list of keys":   {`{"issuer":"a","jwks":[]}`, "jwks: wants"},
		"an unknown field": {`{"issuer":"a","jwks":{},"x":1}`, "unknown field"},
		"an issuer twice":  {`{"issuer":"a","issuer":"b","jwks":{}}`, "occurs twice"},
		"more than one":    {`{"issuer":"a","jwks":{}}{}`, "something follows"},
	} {
		if _, err := ParseServiceAccounts([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want an error that says %q", sentence, err, test.says)
		}
	}
}

func FuzzParseServiceAccounts(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://kubernetes.default.svc","jwks":{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}}`))
	f.Add([]byte(`{"issuer":"a","jwks":{"keys":[],"keys":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseServiceAccounts(data)
		if err != nil {
			return
		}
		again, err := got.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseServiceAccounts(again); err != nil || back.Issuer != got.Issuer {
			t.Fatalf("what was written is read otherwise: %v\n%s", err, again)
		}
	})
}
