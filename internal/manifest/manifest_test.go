package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

const head = "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: chat}\n"

const provider = "    - {name: laravel, algorithms: [HS256], secretRef: {name: s, keys: [k]}}\n"

// chat is head and provider as a document.
func chat() manifest.Document {
	return manifest.Document{Name: "chat", Spec: policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{
		{Name: "laravel", Algorithms: []policy.Algorithm{"HS256"}, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}},
	}}}}
}

func TestParseReads(t *testing.T) {
	with := func(edit func(*manifest.Document)) manifest.Document {
		doc := chat()
		edit(&doc)
		return doc
	}
	for _, test := range []struct {
		sentence, text string
		want           manifest.Document
	}{
		{"YAML", head + "spec:\n  jwt:\n    providers:\n" + provider, chat()},
		{"JSON with tabs", "{\n\t\"apiVersion\": \"gatepost.dev/v1alpha1\", \"kind\": \"AgentAuthPolicy\",\n\t\"metadata\": {\"name\": \"ch\\u0061t\"},\n\t\"spec\": {\"jwt\": {\"providers\": [{\"name\": \"laravel\", \"algorithms\": [\"HS256\"], \"secretRef\": {\"name\": \"s\", \"keys\": [\"k\"]}}]}}}\n", chat()},
		{"a file that begins with a byte order mark", "\ufeff" + head + "spec:\n  jwt:\n    providers:\n" + provider, chat()},
		{"empty documents around it", "---\n# nothing\n---\n" + head + "spec:\n  jwt:\n    providers:\n" + provider + "---\n", chat()},
		{"what only a cluster needs", head + "spec:\n  selector: {matchLabels: {app: chat}}\n  capture: {mode: SamePort, ports: [http, 8000]}\n  jwt:\n    providers:\n" + provider + "status: {conditions: []}\n", chat()},
		{
			"what an API server adds", strings.Replace(head, "{name: chat}", "{name: chat, namespace: agents, generation: 7, uid: x, creationTimestamp: 2026-11-22T00:00:00Z, labels: {a: b}, managedFields: []}", 1) + "spec:\n  jwt:\n    providers:\n" + provider,
			with(func(d *manifest.Document) { d.Namespace, d.Generation = "agents", 7 }),
		},
		{"a null scalar as if it were absent", head + "spec:\n  mode: null\n  jwt:\n    forward: ~\n    providers:\n" + provider, chat()},
		{
			"durations, numbers and booleans", head + "spec:\n  allowOptOut: True\n  streaming: {grace: 1m30s}\n  limits: {maxTokenBytes: 1024}\n  jwt:\n    providers:\n" + provider,
			with(func(d *manifest.Document) {
				d.Spec.AllowOptOut = true
				d.Spec.Streaming = &policy.Streaming{Grace: &policy.Duration{Duration: 90 * time.Second}}
				d.Spec.Limits = &policy.Limits{MaxTokenBytes: new(int32(1024))}
			}),
		},
		{
			"a time without quotes", head + "spec:\n  jwt:\n    providers:\n" + strings.Replace(provider, "name: laravel", "name: laravel, revokedBefore: 2026-11-22T00:00:00Z", 1),
			with(func(d *manifest.Document) { d.Spec.JWT.Providers[0].RevokedBefore = new("2026-11-22T00:00:00Z") }),
		},
		{
			"an alias", head + "spec:\n  trustedProxies: &nets [10.0.0.0/8]\n  webSocket: {tokenSources: &h [Header]}\n  jwt:\n    providers:\n" + strings.Replace(provider, "name: laravel", "name: laravel, types: *h", 1),
			with(func(d *manifest.Document) {
				d.Spec.TrustedProxies = []string{"10.0.0.0/8"}
				d.Spec.WebSocket = &policy.WebSocket{TokenSources: []string{"Header"}}
				d.Spec.JWT.Providers[0].Types = []string{"Header"}
			}),
		},
		{
			"words that old YAML took for booleans", head + "spec:\n  jwt:\n    providers:\n" + strings.Replace(provider, "[k]", "[yes, on, n]", 1),
			with(func(d *manifest.Document) { d.Spec.JWT.Providers[0].SecretRef.Keys = []string{"yes", "on", "n"} }),
		},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got, err := manifest.Parse([]byte(test.text))
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNamesTheLineAndTheField(t *testing.T) {
	spec := func(lines string) string { return head + "spec:\n" + lines }
	jwt := func(lines string) string { return spec("  jwt:\n    providers:\n" + provider + lines) }
	for _, test := range []struct{ sentence, text, want string }{
		{
			"an unknown algorithm", spec("  jwt:\n    providers:\n    - name: a\n      algorithms:\n      - HS256\n      - HS255\n      secretRef: {name: s, keys: [k]}\n"),
			`line 10: spec.jwt.providers[0].algorithms[1]: unknown algorithm "HS255"; use one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`,
		},
		{"an unknown field", spec("  jwt:\n    provider:\n" + provider), "line 6: unknown field spec.jwt.provider; did you mean providers?"},
		{"a field in other letters", spec("  JWT: {}\n"), "line 5: unknown field spec.JWT; did you mean jwt?"},
		{"a field in other letters deep inside", jwt("    extractfrom: {}\n"), "line 8: unknown field spec.jwt.extractfrom; did you mean extractFrom?"},
		{"a field like no other", spec("  colour: red\n"), "line 5: unknown field spec.colour"},
		{"a field beside the spec", head + "specs: {}\nspec: {}\n", "line 4: unknown field specs; did you mean spec?"},
		{"a field of metadata", strings.Replace(head, "{name: chat}", "{name: chat, label: {}}", 1) + "spec: {}\n", "line 3: unknown field metadata.label; did you mean labels?"},
		{"a field twice", spec("  mode: Enforce\n  mode: Audit\n"), "reading a policy: line 6: field mode is there twice: remove one"},
		{"a text for a list", spec("  trustedProxies: 10.0.0.0/8\n"), `line 5: spec.trustedProxies: must be a list, not "10.0.0.0/8": begin each entry with a hyphen`},
		{"a list for fields", spec("  cors: []\n"), "line 5: spec.cors: must be a set of fields, not a list"},
		{"a number for a text", jwt("    forward: 1\n"), "line 8: spec.jwt.forward: must be a text, not 1: put it in quotes"},
		{"a text for a boolean", spec("  allowOptOut: yes\n"), `line 5: spec.allowOptOut: must be true or false, not "yes"`},
		{"a text for a number", spec("  limits: {maxTokenBytes: 16k}\n"), `line 5: spec.limits.maxTokenBytes: must be a whole number, not "16k"`},
		{"a fraction for a number", spec("  limits: {maxTokenBytes: 1.5}\n"), "line 5: spec.limits.maxTokenBytes: must be a whole number, not 1.5"},
		{"a number that is too large", spec("  limits: {maxTokenBytes: 99999999999}\n"), "line 5: spec.limits.maxTokenBytes: must be a whole number, not 99999999999"},
		{"a number for a duration", spec("  streaming: {grace: 30}\n"), "line 5: spec.streaming.grace: must be a duration such as 90s, not 30"},
		{"a duration that is none", spec("  streaming: {grace: 30d}\n"), `line 5: spec.streaming.grace: "30d" is no duration: write it like 90s, 10m or 720h`},
		{"an empty entry", spec("  trustedProxies:\n  -\n"), "line 6: spec.trustedProxies[0]: is empty: remove the entry or fill it"},
		{"a number among labels", spec("  apiKeyAuth: {credentialSelector: {matchLabels: {tier: 1}}}\n"), "line 5: spec.apiKeyAuth.credentialSelector.matchLabels.tier: must be a text, not 1: put it in quotes"},
		{"a file cut off below authorization", spec("  authorization:\n"), "line 5: spec.authorization: is empty: remove the line, or write below it what it should hold"},
		{"a principal that is null", spec("  authorization: {rules: [{name: any, principal: ~}]}\n"), "line 5: spec.authorization.rules[0].principal: is empty: remove the line, or write below it what it should hold"},
		{"a list that is null", jwt("    extractFrom: {headers: null}\n"), "line 8: spec.jwt.extractFrom.headers: is empty: remove the line, or write below it what it should hold"},
		{"a required field that is absent", spec("  jwt: {}\n"), "line 5: spec.jwt.providers: is required: give at least one"},
		{"no spec", head, "line 1: spec: is required"},
		{"no name", strings.Replace(head, "{name: chat}", "{}", 1) + "spec: {}\n", "line 3: metadata.name: is required: it names the policy in metrics and logs"},
		{"a name that is none", strings.Replace(head, "chat", "Chat", 1) + "spec: {}\n", `line 3: metadata.name: "Chat" is no name: use at most 52 lower-case letters, digits, hyphens and dots`},
		{"another version", strings.Replace(head, "v1alpha1", "v1", 1) + "spec: {}\n", `line 1: apiVersion: "gatepost.dev/v1" is not known: write gatepost.dev/v1alpha1`},
		{"another kind", head + "spec: {}\n---\napiVersion: v1\nkind: Secret\n", `line 7: kind: "Secret" is not expected here: a policy file holds one AgentAuthPolicy, and APIKeys; move other objects to another file`},
		{"an API key of another version", head + "spec: {}\n---\napiVersion: gatepost.dev/v1\nkind: APIKey\n", `line 6: apiVersion: "gatepost.dev/v1" is not known: write gatepost.dev/v1alpha1`},
		{"two policies", head + "spec: {}\n---\n" + head + "spec: {}\n", "line 6: kind: a second AgentAuthPolicy: a file holds one; the first begins at line 1"},
		{"a list of objects", "- a\n- b\n", "line 1: this document is a list, not an AgentAuthPolicy"},
		{"an empty file", "", "line 1: no AgentAuthPolicy in the file: it begins with apiVersion: gatepost.dev/v1alpha1 and kind: AgentAuthPolicy"},
		{"a merge key", spec("  <<: {mode: Audit}\n"), "reading a policy: line 5: merge keys (<<) are not accepted: write the fields out"},
		{"a field named by a number", spec("  1: x\n"), "reading a policy: line 5: the name of a field must be a text"},
		{"a tag", spec("  mode: !!binary RW5mb3JjZQ==\n"), "reading a policy: line 5: the YAML tag !!binary is not accepted here"},
		{"a tagged set", spec("  cors: !!set {a}\n"), "reading a policy: line 5: the YAML tag !!set is not accepted here"},
		{"broken YAML", "a: [\n", "reading a policy: line 1: did not find expected node content"},
		{"a tab in YAML", spec("\tmode: Audit\n"), "reading a policy: line 5: found character that cannot start any token"},
		{"JSON with a field twice", `{"kind": "AgentAuthPolicy",` + "\n" + `"kind": "AgentAuthPolicy"}`, "reading a policy: line 2: field kind is there twice: remove one"},
		{"JSON with an unknown field", "{\"apiVersion\": \"gatepost.dev/v1alpha1\", \"kind\": \"AgentAuthPolicy\", \"metadata\": {\"name\": \"x\"},\n\"spec\": {\n\"Mode\": \"Audit\"}}", "line 3: unknown field spec.Mode; did you mean mode?"},
		{"no text at all", "\xff\xfe", "reading a policy: the file is not UTF-8 text"},
		{"a NUL byte", head + "\x00", "reading a policy: the file has NUL bytes in it"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			doc, err := manifest.Parse([]byte(test.text))
			if err == nil {
				t.Fatalf("Parse = %+v, want an error", doc)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNamesEverythingInTheOrderOfTheLines(t *testing.T) {
	_, err := manifest.Parse([]byte(head + "spec:\n  modes: x\n  cors: {allowOrigin: []}\n  allowOptOut: 1\n"))
	want := manifest.Errors{
		{Line: 5, Detail: "unknown field spec.modes; did you mean mode?"},
		{Line: 6, Detail: "unknown field spec.cors.allowOrigin; did you mean allowOrigins?"},
		{Line: 7, Field: "spec.allowOptOut", Detail: "must be true or false, not 1"},
	}
	var got manifest.Errors
	if !errors.As(err, &got) {
		t.Fatalf("Parse = %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseKeepsItsBounds(t *testing.T) {
	bomb := head + "spec:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		bomb += fmt.Sprintf("  %c: &%c [%s]\n", 'b'+i, 'b'+i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", 'a'+i), 10), ", "))
	}
	for sentence, test := range map[string]struct{ text, want string }{
		"a file of more than a megabyte": {head + "#" + strings.Repeat("x", manifest.MaxBytes), "bytes are more than 1048576"},
		"aliases that multiply":          {bomb, "grows beyond 50000 values by its aliases"},
		"an alias of itself":             {head + "spec: &a\n  jwt: *a\n", "nested deeper than 32 levels"},
		"YAML nested without end":        {strings.Repeat("[", 5000), "did not find expected node content"},
		"YAML nested too deep":           {strings.Repeat("[", 40) + strings.Repeat("]", 40) + "#", "nested deeper than 32 levels"},
		"JSON nested too deep":           {strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 32 levels"},
		"JSON with too many values":      {"[" + strings.Repeat("0,", 60_000) + "0]", "more than 50000 values"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := manifest.Parse([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse = %v, want %s", err, test.want)
			}
		})
	}
}

func TestMarshalIsCanonical(t *testing.T) {
	doc := chat()
	doc.Namespace, doc.Generation = "agents", 3
	doc.Spec.Streaming = &policy.Streaming{Grace: &policy.Duration{Duration: 90 * time.Second}}
	const want = `{"apiVersion":"gatepost.dev/v1alpha1","kind":"AgentAuthPolicy","metadata":{"name":"chat","namespace":"agents","generation":3},` +
		`"spec":{"jwt":{"providers":[{"name":"laravel","algorithms":["HS256"],"secretRef":{"name":"s","keys":["k"]}}]},"streaming":{"grace":"1m30s"}}}` + "\n"
	got, err := manifest.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("Marshal (-want +got):\n%s", diff)
	}
	again, err := manifest.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc, again); diff != "" {
		t.Errorf("Parse of Marshal (-want +got):\n%s", diff)
	}
}

// FuzzParse reads anything; what it accepts compiles, and survives being
// written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "spec:\n  jwt:\n    providers:\n" + provider))
	f.Add([]byte(head + "spec: {authorization: {rules: [{name: a, operation: {paths: [{value: /a}]}}]}}\n---\nkind: APIKey\n"))
	f.Add([]byte(`{"apiVersion":"gatepost.dev/v1alpha1","kind":"AgentAuthPolicy","metadata":{"name":"a"},"spec":{"limits":{"maxTokenBytes":512}}}`))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte(policed + keyHead + keySpec))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := manifest.Parse(data)
		if err != nil {
			if err.Error() == "" || !cmp.Equal(doc, manifest.Document{}) {
				t.Fatalf("Parse = %+v, %q", doc, err)
			}
			return
		}
		if _, err := policy.Compile(doc.Spec); err != nil {
			t.Fatalf("Parse accepts what Compile does not: %v", err)
		}
		for _, key := range doc.APIKeys {
			if err := policy.CheckAPIKey(key.Spec); err != nil {
				t.Fatalf("Parse accepts what CheckAPIKey does not: %v", err)
			}
		}
		text, err := manifest.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Parse(text)
		if err != nil {
			t.Fatalf("Parse does not read %s: %v", text, err)
		}
		twice, err := manifest.Marshal(again)
		if err != nil || string(twice) != string(text) {
			t.Fatalf("Marshal is not canonical: %s\n%s %v", text, twice, err)
		}
	})
}
