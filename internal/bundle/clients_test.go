package bundle

import (
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testKey is the n-th of some keys.
func testKey(t *testing.T, n byte) apikey.Key {
	t.Helper()
	key, err := apikey.Generate(strings.NewReader(strings.Repeat(string(rune('a'+n)), 25)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// apiKeys is a policy with the selector and its APIKeys.
func apiKeys(labels map[string]string, keys ...manifest.APIKey) manifest.Document {
	return manifest.Document{
		Name:    "chat",
		Spec:    policy.Spec{APIKeyAuth: &policy.APIKeyAuth{CredentialSelector: policy.CredentialSelector{MatchLabels: labels}}},
		APIKeys: keys,
	}
}

func keyOf(client string, labels map[string]string, keys ...apikey.Key) manifest.APIKey {
	spec := policy.APIKeySpec{ClientID: client}
	for i, key := range keys {
		spec.Values = append(spec.Values, policy.APIKeyValue{Name: "v" + string(rune('1'+i)), KeyHash: key.Hash().String()})
	}
	return manifest.APIKey{Name: client, Labels: labels, Spec: spec}
}

func TestAPolicySelectsItsClientsByLabel(t *testing.T) {
	chat, other, both := map[string]string{"team": "chat"}, map[string]string{"team": "other"}, map[string]string{"team": "chat", "tier": "back"}
	crm, erp, batch := testKey(t, 0), testKey(t, 1), testKey(t, 2)
	keys := []manifest.APIKey{keyOf("crm", chat, crm), keyOf("erp", other, erp), keyOf("batch", both, batch)}
	for sentence, test := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"an empty selector selects all": {nil, "batch crm erp"},
		"a label":                       {chat, "batch crm"},
		"two labels":                    {both, "batch"},
		"a label that nobody has":       {map[string]string{"tier": ""}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			snapshot, err := Load(apiKeys(test.labels, keys...), Directory("keys", nil), Options{Now: noon})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, client := range snapshot.APIKeys.Clients() {
				got = append(got, client.ID)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("clients %q, want %s", got, test.want)
			}
			if warned := len(snapshot.Warnings) > 0; warned != (test.want == "") {
				t.Errorf("warnings %q", snapshot.Warnings)
			}
		})
	}
}

func TestLoadRefusesClients(t *testing.T) {
	a, b, c := testKey(t, 0), testKey(t, 1), testKey(t, 2)
	three := keyOf("crm", nil, a, b, c)
	soon := noon.Add(time.Minute).Format(time.RFC3339)
	three.Spec.Values[2].ExpiresAt = &soon
	for sentence, test := range map[string]struct {
		doc  manifest.Document
		now  time.Time
		want string
	}{
		"three live values":            {apiKeys(nil, three), noon, "APIKey crm: spec.values: 3 values are live"},
		"two after the third expired":  {apiKeys(nil, three), noon.Add(time.Minute), ""},
		"two clients of one id":        {apiKeys(nil, keyOf("crm", nil, a), keyOf("crm", nil, b)), noon, "client crm: spec.clientID: another client has this id"},
		"two clients of one key":       {apiKeys(nil, keyOf("crm", nil, a), keyOf("erp", nil, a)), noon, "client erp: spec.values[0].keyHash: client crm has this key too"},
		"what the selector leaves out": {apiKeys(map[string]string{"a": "b"}, three, keyOf("crm", nil, a)), noon, ""},
		"a policy that takes no keys":  {manifest.Document{Name: "chat", APIKeys: []manifest.APIKey{keyOf("crm", nil, a)}}, noon, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			snapshot, err := Load(test.doc, Directory("keys", nil), Options{Now: test.now})
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("err = %v, want %s", err, test.want)
			case test.want == "" && test.doc.Spec.APIKeyAuth == nil && (snapshot.APIKeys != nil || len(snapshot.Warnings) == 0):
				t.Errorf("keys %v, warnings %q", snapshot.APIKeys, snapshot.Warnings)
			}
		})
	}
}

// In a pod the clients come from keys.json alone, and a sidecar whose clock is
// behind takes what the controller counted by its own.
func TestClientsOfABundle(t *testing.T) {
	crm := testKey(t, 0)
	spec := keyOf("crm", nil, crm, testKey(t, 1), testKey(t, 2)).Spec
	past := noon.Add(-time.Second).Format(time.RFC3339)
	spec.Values[2].ExpiresAt = &past
	data, err := keyring.File{Revision: 1, APIKeys: []policy.APIKeySpec{spec}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := File(data)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := Load(apiKeys(map[string]string{"any": "label"}), keys, Options{Now: noon.Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if found := snapshot.APIKeys.Lookup(crm, noon); found.Reason != policy.OK || found.Client.ID != "crm" {
		t.Errorf("found %+v", found)
	}
	if _, err := Load(apiKeys(nil, keyOf("erp", nil, testKey(t, 3))), keys, Options{Now: noon}); err == nil || !strings.Contains(err.Error(), "remove the documents") {
		t.Errorf("two sources of clients: %v", err)
	}
	if snapshot, err = Load(manifest.Document{Name: "chat"}, keys, Options{}); err != nil || snapshot.APIKeys != nil {
		t.Errorf("a policy that takes no keys: %v %v", snapshot.APIKeys, err)
	}
}
