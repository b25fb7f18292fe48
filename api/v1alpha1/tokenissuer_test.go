package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// What a file cannot say: names, defaults and updates. The rules of the spec are
// those of test/corpus/issuer.
func TestTokenIssuersAreAdmitted(t *testing.T) {
	t.Parallel()
	const spec = `{issuer: "https://a.example", signingKeyRef: {name: k}, audiences: [a], grants: [Session], session: {anonymous: {rateLimit: 1/s}}}`
	const other = `{issuer: "https://b.example", signingKeyRef: {name: l}, audiences: [b], grants: [ClientCredentials], clients: {credentialSelector: {}}}`
	runAdmissions(t, "tokenissuers", v1alpha1.KindTokenIssuer, map[string]admission{
		"an issuer":                       {yaml: spec},
		"another key, address and grant":  {before: spec, yaml: other},
		"a name of 52 characters":         {yaml: "name: " + fiftyTwo + "\n" + spec},
		"a name of 53 characters":         {yaml: "name: " + fiftyTwo + "a\n" + spec, refused: "metadata.name may have at most 52 characters"},
		"a name with a dot":               {yaml: "name: a.b\n" + spec, refused: "because a Service is named after it"},
		"a name that begins with a digit": {yaml: "name: 1a\n" + spec, refused: "because a Service is named after it"},
		"two pods with passwords by default": {
			yaml:    `{issuer: "https://a.example", signingKeyRef: {name: k}, audiences: [a], grants: [Password], password: {usersSecretRef: {name: u, key: k}}, legacyPasswordGrant: true}`,
			refused: "set replicas: 1",
		},
		"users in a Secret of an issuer": {
			yaml:    `{issuer: "https://a.example", signingKeyRef: {name: k}, audiences: [a], grants: [Password], password: {usersSecretRef: {name: a.gatepost-issuer, key: keys.json}}, legacyPasswordGrant: true, replicas: 1}`,
			refused: "name may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer",
		},
	})
}

const fiftyTwo = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"

// A stored object says what an issuer without an API server takes by default.
func TestAnIssuersDefaultsAreStored(t *testing.T) {
	t.Parallel()
	c := readCRD(t, "tokenissuers")
	stored := object(t, v1alpha1.KindTokenIssuer, `{issuer: "https://a.example", signingKeyRef: {name: k}, audiences: [a], grants: [Session], session: {introspection: {uri: "https://a.example", forwardCookie: c}}, cors: {allowOrigins: ["https://a.example"]}}`)
	if errs := c.admit(t.Context(), stored, nil); len(errs) > 0 {
		t.Fatal(errs)
	}
	spec := stored["spec"].(map[string]any)
	want := map[string]any{
		"tokenLifetime": "2m", "tokenType": "JWT", "replicas": int64(2), "legacyPasswordGrant": false,
		"rateLimit": map[string]any{"perClient": "10/s", "perIP": "20/s"},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, spec[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNamesOfAnIssuersObjects(t *testing.T) {
	t.Parallel()
	if got := v1alpha1.IssuerName("auth"); got != "auth.gatepost-issuer" {
		t.Errorf("IssuerName = %s", got)
	}
	if len(fiftyTwo) != v1alpha1.MaxNameLength {
		t.Errorf("the longest name has %d characters", v1alpha1.MaxNameLength)
	}
}
