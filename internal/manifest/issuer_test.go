package manifest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

const (
	issuerHead = "apiVersion: gatepost.dev/v1alpha1\nkind: TokenIssuer\nmetadata: {name: auth}\n"
	issuerSpec = `spec:
  issuer: https://auth.example.com
  signingKeyRef: {name: agents}
  audiences: [https://chat.example.com]
  grants: [Session, ClientCredentials]
  session:
    providers:
    - name: laravel
      algorithms: [HS256]
      secretRef: {name: s, keys: [k]}
      extractFrom: {cookie: session}
  clients: {credentialSelector: {}}
  claims: [{name: role, value: ""}]
  cors: {allowOrigins: [https://app.example.com]}
  tokenLifetime: 90s
`
)

// auth is issuerHead and issuerSpec as a document.
func auth() manifest.IssuerDocument {
	return manifest.IssuerDocument{Name: "auth", Spec: grant.Spec{
		Issuer: "https://auth.example.com", SigningKeyRef: policy.SigningKeyRef{Name: "agents"},
		Audiences: []string{"https://chat.example.com"}, Grants: []grant.Grant{grant.GrantSession, grant.GrantClientCredentials},
		Session: &grant.Session{Providers: []grant.SessionProvider{{
			Provider:    policy.Provider{Name: "laravel", Algorithms: []policy.Algorithm{"HS256"}, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}},
			ExtractFrom: &grant.SessionSource{Cookie: "session"},
		}}},
		Clients: &grant.Clients{}, Claims: []grant.Claim{{Name: "role", Value: new("")}},
		CORS: &policy.CORS{AllowOrigins: []string{"https://app.example.com"}}, TokenLifetime: &policy.Duration{Duration: 90 * time.Second},
	}}
}

func TestParseIssuerReads(t *testing.T) {
	withKey := auth()
	withKey.Namespace = "agents"
	withKey.APIKeys = []manifest.APIKey{{Name: "crm", Namespace: "agents", Spec: policy.APIKeySpec{
		ClientID: "crm", Values: []policy.APIKeyValue{{Name: "v1", KeyHash: "sha256:" + strings.Repeat("1", 64)}},
	}}}
	text, err := manifest.MarshalIssuer(withKey)
	if err != nil {
		t.Fatal(err)
	}
	const key = "---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: crm, namespace: agents}\nspec: {clientID: crm, values: [{name: v1, keyHash: \"sha256:1111111111111111111111111111111111111111111111111111111111111111\"}]}\n"
	alone := withKey
	alone.APIKeys = nil
	for sentence, test := range map[string]struct {
		text string
		want manifest.IssuerDocument
	}{
		"YAML":                              {issuerHead + issuerSpec, auth()},
		"JSON that was written":             {string(text), alone},
		"an issuer with a client":           {strings.Replace(issuerHead, "name: auth", "name: auth, namespace: agents", 1) + issuerSpec + key, withKey},
		"an issuer behind its client":       {key + "---\n" + strings.Replace(issuerHead, "name: auth", "name: auth, namespace: agents", 1) + issuerSpec, withKey},
		"what an API server adds to both":   {strings.Replace(issuerHead, "{name: auth}", "{name: auth, uid: x, managedFields: []}", 1) + issuerSpec + "status: {replicas: 2}\n", auth()},
		"a generation":                      {strings.Replace(issuerHead, "name: auth", "name: auth, generation: 4", 1) + issuerSpec, func() manifest.IssuerDocument { d := auth(); d.Generation = 4; return d }()},
		"replicas, which mean nothing here": {issuerHead + issuerSpec + "  replicas: 3\n", func() manifest.IssuerDocument { d := auth(); d.Spec.Replicas = new(int32(3)); return d }()},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := manifest.ParseIssuer([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ParseIssuer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseIssuerNamesTheLineAndTheField(t *testing.T) {
	spec := func(from, to string) string { return issuerHead + strings.Replace(issuerSpec, from, to, 1) }
	for _, test := range []struct{ sentence, text, want string }{
		{"a field that is not there", spec("  tokenLifetime", "  verifierURL: x\n  tokenLifetime"), "line 18: unknown field spec.verifierURL"},
		{"a field of a provider, whose fields stand beside extractFrom", spec("algorithms:", "algorithm:"), "line 12: unknown field spec.session.providers[0].algorithm; did you mean algorithms?"},
		{"a place of tokens as policies have it", spec("{cookie: session}", "{headers: []}"), "line 14: unknown field spec.session.providers[0].extractFrom.headers; did you mean header?"},
		{"an unknown algorithm", spec("HS256", "HS255"), `line 12: spec.session.providers[0].algorithms[0]: unknown algorithm "HS255"; use one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`},
		{"a cookie without origins", spec("[https://app.example.com]", "[]"), "line 17: spec.cors.allowOrigins: a session in a cookie speaks only for pages whose origin is named: list them"},
		{"no name of the key", spec("signingKeyRef: {name: agents}", "signingKeyRef: {}"), "line 6: spec.signingKeyRef.name: is required"},
		{"no key", spec("  signingKeyRef: {name: agents}\n", ""), "line 4: spec.signingKeyRef.name: is required"},
		{"no selector", spec("{credentialSelector: {}}", "{}"), "line 15: spec.clients.credentialSelector: is required: write credentialSelector: {} if it should hold nothing"},
		{"a lifetime that is too short", spec("90s", "9s"), "line 18: spec.tokenLifetime: 9s is out of bounds: 10s to 24h"},
		{"a name with a dot", strings.Replace(issuerHead, "auth", "a.b", 1) + issuerSpec, `line 3: metadata.name: "a.b" is no name: use at most 52 lower-case letters, digits and hyphens, the first a letter`},
		{"no name", strings.Replace(issuerHead, "name: auth", "", 1) + issuerSpec, "line 3: metadata.name: is required: it names the issuer in metrics and logs"},
		{"a policy", head + "spec: {}\n", `line 2: kind: "AgentAuthPolicy" is not expected here: an issuer file holds one TokenIssuer, and APIKeys; move other objects to another file`},
		{"two issuers", issuerHead + issuerSpec + "---\n" + issuerHead + issuerSpec, "line 20: kind: a second TokenIssuer: a file holds one; the first begins at line 1"},
		{"a list", "- a\n", "line 1: this document is a list, not a TokenIssuer"},
		{"an empty file", "", "line 1: no TokenIssuer in the file: it begins with apiVersion: gatepost.dev/v1alpha1 and kind: TokenIssuer"},
		{"broken YAML", "a: [\n", "reading an issuer: line 1: did not find expected node content"},
		{"a client of another namespace", strings.Replace(issuerHead, "name: auth", "name: auth, namespace: a", 1) + issuerSpec + "---\n" + strings.Replace(keyHead, "name: crm", "name: crm, namespace: b", 1) + keySpec, "metadata.namespace: is not the issuer's: an issuer selects APIKeys of its own namespace only"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			doc, err := manifest.ParseIssuer([]byte(test.text))
			if err == nil {
				t.Fatalf("ParseIssuer = %+v, want an error", doc)
			}
			if !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("ParseIssuer = %v\nwant %s", err, test.want)
			}
		})
	}
}

// FuzzParseIssuer reads anything; what it accepts compiles, and survives being
// written and read again.
func FuzzParseIssuer(f *testing.F) {
	f.Add([]byte(issuerHead + issuerSpec))
	f.Add([]byte(issuerHead + issuerSpec + keyHead + keySpec))
	f.Add([]byte(`{"apiVersion":"gatepost.dev/v1alpha1","kind":"TokenIssuer","metadata":{"name":"a"},"spec":{"issuer":"https://a","signingKeyRef":{"name":"k"},"audiences":["a"],"grants":["Session"],"session":{"anonymous":{"rateLimit":"1/s"}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := manifest.ParseIssuer(data)
		if err != nil {
			if err.Error() == "" || !cmp.Equal(doc, manifest.IssuerDocument{}) {
				t.Fatalf("ParseIssuer = %+v, %q", doc, err)
			}
			return
		}
		if _, err := grant.Compile(doc.Spec); err != nil {
			t.Fatalf("ParseIssuer accepts what Compile does not: %v", err)
		}
		text, err := manifest.MarshalIssuer(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.ParseIssuer(text)
		if err != nil {
			t.Fatalf("ParseIssuer does not read %s: %v", text, err)
		}
		twice, err := manifest.MarshalIssuer(again)
		if err != nil || string(twice) != string(text) {
			t.Fatalf("MarshalIssuer is not canonical: %s\n%s %v", text, twice, err)
		}
	})
}
