package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

const (
	keyHead = "---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: crm}\n" // four lines and its spec
	aHash   = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	aKey    = "gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"
	keySpec = "spec: {clientID: crm, values: [{name: v1, keyHash: '" + aHash + "'}]}\n"
	policed = head + "spec: {apiKeyAuth: {credentialSelector: {}}}\n"
)

func TestParseReadsAPIKeys(t *testing.T) {
	crm := manifest.APIKey{Name: "crm", Spec: policy.APIKeySpec{ClientID: "crm", Values: []policy.APIKeyValue{{Name: "v1", KeyHash: aHash}}}}
	full := manifest.APIKey{
		Name: "batch", Namespace: "agents", Labels: map[string]string{"tier": "back"},
		Spec: policy.APIKeySpec{
			ClientID: "batch", Scopes: []string{"agents:run"}, Claims: map[string]policy.ClaimText{"tenant_id": "t-1"}, Suspend: true,
			Values: []policy.APIKeyValue{{Name: "v2", KeyHash: "sha256:" + strings.Repeat("b", 64), ExpiresAt: new("2027-03-01T00:00:00Z")}},
		},
	}
	fullText := "---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: batch, namespace: agents, labels: {tier: back}, resourceVersion: '7'}\n" +
		"spec:\n  clientID: batch\n  values: [{name: v2, keyHash: '" + full.Spec.Values[0].KeyHash + "', expiresAt: 2027-03-01T00:00:00Z}]\n" +
		"  scopes: ['agents:run']\n  claims: {tenant_id: t-1}\n  suspend: true\nstatus: {liveValues: 1}\n"
	for sentence, test := range map[string]struct {
		text string
		want []manifest.APIKey
	}{
		"after the policy":  {policed + keyHead + keySpec, []manifest.APIKey{crm}},
		"before the policy": {keyHead + keySpec + "---\n" + policed, []manifest.APIKey{crm}},
		"several":           {policed + keyHead + keySpec + fullText, []manifest.APIKey{crm, full}},
		"none":              {policed, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			doc, err := manifest.Parse([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, doc.APIKeys); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			data, err := manifest.Marshal(doc)
			if err != nil || strings.Contains(string(data), "sha256:") {
				t.Errorf("policy.json holds hashes, which belong into keys.json: %s %v", data, err)
			}
		})
	}
}

func TestParseRefusesAPIKeys(t *testing.T) {
	for sentence, test := range map[string]struct{ text, want string }{
		"without a policy":      {keyHead + keySpec, "line 1: no AgentAuthPolicy in the file"},
		"without a spec":        {policed + keyHead, "line 6: spec: is required"},
		"without a name":        {policed + strings.Replace(keyHead, "name: crm", "", 1) + keySpec, "line 8: metadata.name: is required"},
		"with a name that isnt": {policed + strings.Replace(keyHead, "crm", "C", 1) + keySpec, "line 8: metadata.name: is no name"},
		"two of one name":       {policed + keyHead + keySpec + keyHead + keySpec, "line 13: metadata.name: a second APIKey crm"},
		"of another namespace": {
			strings.Replace(policed, "{name: chat}", "{name: chat, namespace: a}", 1) + strings.Replace(keyHead, "{name: crm}", "{name: crm, namespace: b}", 1) + keySpec,
			"line 8: metadata.namespace: is not the policy's",
		},
		"with an unknown field":   {policed + keyHead + strings.Replace(keySpec, "clientID", "clientId", 1), "line 9: unknown field spec.clientId; did you mean clientID?"},
		"with a number as label":  {policed + strings.Replace(keyHead, "{name: crm}", "{name: crm, labels: {tier: 1}}", 1) + keySpec, "line 8: metadata.labels.tier: must be a text, not 1: put it in quotes"},
		"with a number as claim":  {policed + keyHead + strings.Replace(keySpec, "crm,", "crm, claims: {level: 3},", 1), "line 9: spec.claims.level: must be a text, not 3: put it in quotes"},
		"with an empty list":      {policed + keyHead + "spec: {clientID: crm, values: }\n", "line 9: spec.values: is empty"},
		"with what Check refuses": {policed + keyHead + strings.Replace(keySpec, "sha256", "sha512", 1), "line 9: spec.values[0].keyHash: is no hash of a key"},
		"with a key as hash":      {policed + keyHead + strings.Replace(keySpec, aHash, aKey, 1), "line 9: spec.values[0].keyHash: is no hash of a key"},
		"with a key as value":     {policed + keyHead + "spec: {clientID: crm, values: [" + aKey + "]}\n", "line 9: spec.values[0]: must be a set of fields, not an API key"},
		"with a key as values":    {policed + keyHead + "spec: {clientID: crm, values: " + aKey + "}\n", "line 9: spec.values: must be a list, not an API key"},
		"with a key as client id": {policed + keyHead + strings.Replace(keySpec, "crm", aKey, 1), "line 9: spec.clientID: looks like a key"},
		"with a key as name":      {policed + keyHead + strings.Replace(keySpec, "v1", aKey, 1), "line 9: spec.values[0].name: looks like a key"},
		"with a key as object":    {policed + strings.Replace(keyHead, "crm", aKey, 1) + keySpec, "line 8: metadata.name: is no name"},
		"with a key as claim":     {policed + keyHead + strings.Replace(keySpec, "crm,", "crm, claims: {a: "+aKey+"},", 1), "line 9: spec.claims.a: looks like a key"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := manifest.Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Parse = %v, want %s", err, test.want)
			}
			if strings.Contains(err.Error(), aKey[13:30]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}
