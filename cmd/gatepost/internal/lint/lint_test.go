package lint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/cmd/gatepost/internal/lint"
	"gatepost.dev/gatepost/internal/manifest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const head = "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: chat}\nspec:\n"

const jwt = "  jwt: {providers: [{name: own, issuers: [\"https://auth.example.com\"], audiences: [chat], algorithms: [HS256], secretRef: {name: s, keys: [current]}}]}\n"

// Each pitfall is said of the field that has it, and a policy without them is
// passed over in silence.
func TestPitfalls(t *testing.T) {
	t.Parallel()
	rules := "  authorization: {rules: [{name: run, operation: {paths: [{value: /run}]}}]}\n"
	for sentence, test := range map[string]struct{ spec, field, says string }{
		"nothing":                              {jwt + rules, "", ""},
		"no rules at all":                      {jwt, "spec.authorization", "every verified principal may use every route"},
		"what no rule names is open":           {jwt + "  authorization: {defaultAction: Allow, rules: [{name: no, action: Deny, operation: {paths: [{value: /x}]}}]}\n", "spec.authorization.defaultAction", "is Allow"},
		"a pod may leave the sidecar out":      {jwt + rules + "  allowOptOut: true\n", "spec.allowOptOut", "leave the sidecar out"},
		"the root needs no credential":         {jwt + rules + "  exemptions: [{methods: [GET], path: /}]\n", "spec.exemptions[0].path", "root"},
		"everybody may delete":                 {jwt + rules + "  exemptions: [{methods: [DELETE], path: /x}]\n", "spec.exemptions[0].methods", "DELETE needs no credential"},
		"an exemption before a rule":           {jwt + rules + "  exemptions: [{methods: [GET], path: /run}]\n", "spec.exemptions[0]", "run names the path too"},
		"tokens for a month":                   {strings.Replace(jwt, "algorithms", "maxTokenLifetime: 720h, algorithms", 1) + rules, "spec.jwt.providers[0].maxTokenLifetime", "more than a day"},
		"an issuer of development":             {strings.Replace(jwt, "https://auth", "http://auth", 1) + rules, "spec.jwt.providers[0].issuers[0]", "begins with http"},
		"a list as a text":                     {jwt + "  authorization: {rules: [{name: run, principal: {claims: [{name: groups, values: [a]}]}}]}\n", "spec.authorization.rules[0].principal.claims[0]", "groups is a list"},
		"a page without TLS":                   {jwt + rules + "  cors: {allowOrigins: [\"http://app.example\"]}\n", "spec.cors.allowOrigins[0]", "begins with http"},
		"an APIKey that has expired":           {jwt + rules + "---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: crm}\nspec: {clientID: crm, values: [{name: a, keyHash: \"sha256:7b1e16669a2ea6ebc3e25695f47ea6d0eec48dd50959bf148846c6d2c332f1ea\", expiresAt: \"2026-01-01T00:00:00Z\"}]}\n", "APIKey crm", "every value has expired"},
		"a local page without TLS is no trap":  {jwt + rules + "  cors: {allowOrigins: [\"http://localhost:3000\"]}\n", "", ""},
		"an exemption of a health check is no": {jwt + rules + "  exemptions: [{methods: [GET], path: /health}]\n", "", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			found := lint.Check("policy.yaml", []byte(head+test.spec), noon)
			if test.field == "" {
				if len(found) > 0 {
					t.Errorf("said %+v", found)
				}
				return
			}
			for _, one := range found {
				if one.Field == test.field && strings.Contains(one.Says, test.says) && one.Severity == lint.Warning {
					return
				}
			}
			t.Errorf("%s %q is not among %+v", test.field, test.says, found)
		})
	}
}

// FuzzCheck: an error is found just where a sidecar would refuse the file. A file
// that it would take has nothing else said of it among other manifests.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(head + jwt))
	f.Add([]byte(head + jwt + "  protectedResource: {resource: \"https://a.example\"}\n"))
	f.Add([]byte(head + "  jwts: {}\n"))
	f.Add([]byte("kind: TokenIssuer\n"))
	f.Add([]byte("%YAML 1.1\n---\n" + head + jwt))
	f.Add([]byte("{\n\t\"apiVersion\": \"gatepost.dev/v1alpha1\", \"kind\": \"AgentAuthPolicy\", \"metadata\": {\"name\": \"a\"}, \"spec\": {\"apiKeyAuth\": {\"credentialSelector\": {}}}}"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, content []byte) {
		found := lint.Check("f", content, noon)
		refused := len(found) > 0 && found[0].Severity == lint.Error // errors come first
		_, wrongPolicy := manifest.Parse(content)
		_, wrongIssuer := manifest.ParseIssuer(content)
		if wrongPolicy != nil && wrongIssuer != nil && !refused {
			t.Errorf("no error is found in %q", content)
		}
		if wrongPolicy == nil || wrongIssuer == nil {
			var alone, among lint.Report
			alone.Add("f", content, false, noon)
			among.Add("f", append(slices.Clone(content), "\n---\nkind: Service\n"...), true, noon)
			if diff := cmp.Diff(found, alone.Findings); diff != "" || alone.Checked == 0 {
				t.Errorf("of %q something else is said by Add (-Check +Add):\n%s", content, diff)
			}
			if diff := cmp.Diff(found, among.Findings); diff != "" || among.Skipped != 1 {
				t.Errorf("of %q something else is said before a Service (-Check +Add):\n%s", content, diff)
			}
		}
		for _, one := range found {
			if one.Says == "" || one.File != "f" {
				t.Errorf("a finding that says nothing: %+v", one)
			}
		}
	})
}
