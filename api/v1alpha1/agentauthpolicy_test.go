package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

// spec is a policy with one provider and more fields at its top.
func spec(more string) string {
	return "jwt: {providers: [{name: own, algorithms: [HS256], signingKeyRef: {name: agent-tokens}}]}\n" + more
}

// provider is a policy whose one provider has these fields.
func provider(fields string) string {
	return fmt.Sprintf("jwt: {providers: [{name: own, %s}]}", fields)
}

// rule is a policy with one rule of these fields.
func rule(fields string) string {
	return spec(fmt.Sprintf("authorization: {rules: [{name: one, %s}]}", fields))
}

func TestPoliciesAreAdmitted(t *testing.T) {
	t.Parallel()
	runAdmissions(t, "agentauthpolicies", v1alpha1.KindAgentAuthPolicy, map[string]admission{
		"an empty policy guards nothing":                        {yaml: `{}`},
		"an empty selector selects all pods":                    {yaml: `{selector: {}}`},
		"a selector by labels and expressions":                  {yaml: `{selector: {matchLabels: {app: chat}, matchExpressions: [{key: tier, operator: In, values: [a, b]}]}}`},
		"one provider with a SigningKey":                        {yaml: spec(``)},
		"a name of 53 characters is refused":                    {yaml: "name: " + strings.Repeat("p", 53) + "\n{}", refused: "metadata.name may have at most 52 characters"},
		"a selector with 33 labels is refused":                  {yaml: `{selector: {matchLabels: {` + numbered(33, "l%d: v") + `}}}`, refused: "matchLabels may have at most 32 entries"},
		"ports by name and number":                              {yaml: `{capture: {ports: [http, 8000, "80-a"]}}`},
		"a port 0 is refused":                                   {yaml: `{capture: {ports: [0]}}`, refused: "ports that are numbers must be between 1 and 65535"},
		"a port 65536 is refused":                               {yaml: `{capture: {ports: [65536]}}`, refused: "ports that are numbers must be between 1 and 65535"},
		"a number written as text is refused":                   {yaml: `{capture: {ports: ["8000"]}}`, refused: "spec.capture.ports[0]"},
		"a port name of 16 letters is refused":                  {yaml: `{capture: {ports: [abcdefghijklmnop]}}`, refused: "Too long"},
		"a port that is listed twice is refused":                {yaml: `{capture: {ports: [http, http]}}`, refused: "Duplicate value"},
		"an empty list of ports is refused":                     {yaml: `{capture: {ports: []}}`, refused: "should have at least 1 items"},
		"17 ports are refused":                                  {yaml: `{capture: {ports: [` + numbered(17, "80%02d") + `]}}`, refused: "must have at most 16 items"},
		"NamedPort is a mode of the schema":                     {yaml: `{capture: {mode: NamedPort}}`},
		"a mode that nobody knows is refused":                   {yaml: `{mode: Warn}`, refused: `Unsupported value: "Warn"`},
		"a provider with two sources is refused":                {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, secretRef: {name: b, keys: [c]}`), refused: "exactly one of signingKeyRef, secretRef, localJWKS, remoteJWKS must be set"},
		"a provider without a source is refused":                {yaml: provider(`algorithms: [HS256]`), refused: "exactly one of signingKeyRef, secretRef, localJWKS, remoteJWKS must be set"},
		"secrets for a public algorithm are refused":            {yaml: provider(`algorithms: [RS256], secretRef: {name: a, keys: [k]}`), refused: "holds HMAC secrets"},
		"public keys for HMAC are refused":                      {yaml: provider(`algorithms: [HS256], remoteJWKS: {uri: "https://keys.example.com/jwks"}`), refused: "holds public keys"},
		"secrets and public keys together are refused":          {yaml: provider(`algorithms: [HS256, ES256], signingKeyRef: {name: a}`), refused: "may not mix"},
		"the algorithm none is refused":                         {yaml: provider(`algorithms: [none], signingKeyRef: {name: a}`), refused: `Unsupported value: "none"`},
		"no algorithms are refused":                             {yaml: provider(`signingKeyRef: {name: a}`), refused: "algorithms: Required value"},
		"a lifetime beside a SigningKey's is refused":           {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, maxTokenLifetime: 5m`), refused: "the lifetime cap is the SigningKey's"},
		"a leeway of a minute is accepted":                      {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, clockSkew: 1m`)},
		"a leeway of more than a minute is refused":             {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, clockSkew: 61s`), refused: "clockSkew must be between 0s and 60s"},
		"five issuers are refused":                              {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, issuers: [a, b, c, d, e]`), refused: "must have at most 4 items"},
		"a provider that is there twice is refused":             {yaml: `jwt: {providers: [{name: a, algorithms: [HS256], signingKeyRef: {name: a}}, {name: a, algorithms: [HS256], signingKeyRef: {name: b}}]}`, refused: "Duplicate value"},
		"nine providers are refused":                            {yaml: `jwt: {providers: [` + numbered(9, "{name: p%d, algorithms: [HS256], signingKeyRef: {name: a}}") + `]}`, refused: "must have at most 8 items"},
		"a key set over plain http is refused":                  {yaml: provider(`algorithms: [ES256], remoteJWKS: {uri: "http://keys.example.com/jwks"}`), refused: "uri must be https, or allowInsecureHTTP must be true"},
		"a key set over plain http on request":                  {yaml: provider(`algorithms: [ES256], remoteJWKS: {uri: "http://keys.default.svc/jwks", allowInsecureHTTP: true}`)},
		"credentials in an address are refused":                 {yaml: provider(`algorithms: [ES256], remoteJWKS: {uri: "https://me:pw@keys.example.com/jwks"}`), refused: "uri"},
		"a key set from two places is refused":                  {yaml: provider(`algorithms: [ES256], localJWKS: {inline: "{}", configMapRef: {name: a, key: b}}`), refused: "exactly one of inline, configMapRef must be set"},
		"a duration without a unit is refused":                  {yaml: provider(`algorithms: [HS256], secretRef: {name: a, keys: [k]}, maxTokenLifetime: "900"`), refused: "maxTokenLifetime"},
		"a duration no controller could read is refused":        {yaml: spec(`cors: {maxAge: 9999999999h}`), refused: "a duration is written like 90s, 10m or 720h"},
		"a time of revocation that is no time is refused":       {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, revokedBefore: yesterday`), refused: "revokedBefore"},
		"a time of revocation":                                  {yaml: provider(`algorithms: [HS256], signingKeyRef: {name: a}, revokedBefore: "2026-11-22T00:00:00Z"`)},
		"a template path with a tenant":                         {yaml: rule(`operation: {methods: [POST], paths: [{type: Template, value: "/agents/{agent_id}/runs"}]}, principal: {tenant: {match: {pathVariable: agent_id}}}`)},
		"a path without a slash is refused":                     {yaml: rule(`operation: {paths: [{value: agents}]}`), refused: "spec.authorization.rules[0].operation.paths[0].value"},
		"a path with a query is refused":                        {yaml: rule(`operation: {paths: [{value: "/a?b=c"}]}`), refused: "spec.authorization.rules[0].operation.paths[0].value"},
		"a method that is never forwarded is refused":           {yaml: rule(`operation: {methods: [CONNECT]}`), refused: `Unsupported value: "CONNECT"`},
		"anonymous with scopes is refused":                      {yaml: rule(`principal: {anonymous: true, scopes: {anyOf: [a]}}`), refused: "anonymous stands alone"},
		"scopes that ask for nothing are refused":               {yaml: rule(`principal: {scopes: {claim: scopes}}`), refused: "one of anyOf, allOf must be set"},
		"a tenant in two places is refused":                     {yaml: rule(`principal: {tenant: {match: {header: X-Tenant-ID, value: t-1}}}`), refused: "exactly one of header, pathVariable, value must be set"},
		"a rule that is there twice is refused":                 {yaml: spec(`authorization: {rules: [{name: a}, {name: a}]}`), refused: "Duplicate value"},
		"65 rules are refused":                                  {yaml: spec(`authorization: {rules: [` + numbered(65, "{name: r%d}") + `]}`), refused: "must have at most 64 items"},
		"every origin with cookies is refused":                  {yaml: spec(`cors: {allowOrigins: ["*"], allowCredentials: true}`), refused: "allowOrigins may not contain * when allowCredentials is true"},
		"every origin without cookies":                          {yaml: spec(`cors: {allowOrigins: ["*"]}`)},
		"an origin with a path is refused":                      {yaml: spec(`cors: {allowOrigins: ["https://chat.example.com/"]}`), refused: "spec.cors.allowOrigins[0]"},
		"an exemption by prefix is refused":                     {yaml: spec(`exemptions: [{methods: [GET], path: "health"}]`), refused: "spec.exemptions[0].path"},
		"an exemption without methods is refused":               {yaml: spec(`exemptions: [{path: /health}]`), refused: "methods: Required value"},
		"a token limit of 100 bytes is refused":                 {yaml: spec(`limits: {maxTokenBytes: 100}`), refused: "should be greater than or equal to 512"},
		"a status that is no failure is refused":                {yaml: spec(`responses: {apiKeyFailureStatus: 200}`), refused: "Unsupported value: 200"},
		"a token limit beyond the header limit is refused":      {yaml: spec(`limits: {maxTokenBytes: 8192, maxHeaderBytes: 4096}`), refused: "maxTokenBytes may not be more than maxHeaderBytes"},
		"every header with cookies is refused":                  {yaml: spec(`cors: {allowHeaders: ["*"], allowCredentials: true}`), refused: "allowHeaders and exposeHeaders may not contain *"},
		"a boolean that is neither is refused":                  {yaml: rule(`principal: {claims: [{name: a, valueType: Boolean, values: ["yes"]}]}`), refused: "values of a Boolean claim"},
		"a rule about an unknown provider is refused":           {yaml: rule(`principal: {providers: [other]}`), refused: "may only name providers of jwt.providers"},
		"a rule about a known provider":                         {yaml: rule(`principal: {providers: [own]}`)},
		"a rule about API keys without any is refused":          {yaml: rule(`principal: {apiKeys: [crm]}`), refused: "can match only with apiKeyAuth"},
		"a cache of a week is refused":                          {yaml: provider(`algorithms: [ES256], remoteJWKS: {uri: "https://keys.example.com/jwks", cacheDuration: 168h}`), refused: "cacheDuration must be between 1s and 24h"},
		"a lifetime of nothing at all is refused":               {yaml: provider(`algorithms: [HS256], secretRef: {name: a, keys: [k]}, maxTokenLifetime: 0s`), refused: "maxTokenLifetime must be between 1s and 87600h"},
		"a field in another case is noticed":                    {yaml: `{Mode: Audit}`, refused: "unknown field"},
		"fields that come later are types already":              {yaml: spec("mode: Audit\nprotectedResource: {resource: \"https://chat.example.com\"}")},
		"a policy may be changed in every field but its name's": {before: spec(``), yaml: provider(`algorithms: [EdDSA], remoteJWKS: {uri: "https://keys.example.com/jwks"}`)},
	})
}

func numbered(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ", ")
}

// everything names each section once, so that each default has its place.
const everything = `
jwt:
  providers:
  - {name: own, algorithms: [HS256], signingKeyRef: {name: agent-tokens}}
  - {name: laravel, algorithms: [HS256], secretRef: {name: laravel-jwt, keys: [current]}}
  - {name: partner, algorithms: [ES256], remoteJWKS: {uri: "https://keys.example.com/jwks"}}
authorization:
  rules:
  - name: one
    operation: {paths: [{value: /agent}]}
    principal: {claims: [{name: role, values: [admin]}], tenant: {}}
apiKeyAuth: {credentialSelector: {}}
cors: {}
streaming: {}
upstream: {}
webSocket: {}
responses: {}
limits: {}
`

// A policy means the same in a cluster, where the API server fills in defaults,
// and in a file, where Compile does (decision 9).
func TestCompileFillsInWhatTheSchemaDoes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"nothing": `{}`, "one provider": spec(``), "every section": everything} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := object(t, v1alpha1.KindAgentAuthPolicy, text)
			stored := object(t, v1alpha1.KindAgentAuthPolicy, text)
			if errs := readCRD(t, "agentauthpolicies").admit(t.Context(), stored, nil); len(errs) > 0 {
				t.Fatal(errs)
			}
			fromFile, fromCluster := compile(t, plain), compile(t, stored)
			if diff := cmp.Diff(fromFile, fromCluster); diff != "" {
				t.Errorf("a file and a cluster differ (-file +cluster):\n%s", diff)
			}
			defaults, _ := stored["spec"].(map[string]any)
			delete(defaults, "capture") // not the judgement's
			contains(t, "spec", generic(t, fromFile), defaults)
		})
	}
}

func compile(t *testing.T, object map[string]any) policy.Spec {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var typed v1alpha1.AgentAuthPolicy
	if err := json.Unmarshal(data, &typed); err != nil {
		t.Fatal(err)
	}
	compiled, err := policy.Compile(typed.Spec.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Spec()
}

func generic(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return integers(out)
}

// contains reports every value of part that whole lacks. A default of false or
// "" is not written by Go and needs no counterpart.
func contains(t *testing.T, path string, whole, part any) {
	t.Helper()
	switch part := part.(type) {
	case map[string]any:
		have, _ := whole.(map[string]any)
		for name, value := range part {
			contains(t, path+"."+name, have[name], value)
		}
	case []any:
		have, _ := whole.([]any)
		if len(have) != len(part) {
			t.Errorf("%s has %d elements, the schema's %d", path, len(have), len(part))
			return
		}
		for i, value := range part {
			contains(t, fmt.Sprintf("%s[%d]", path, i), have[i], value)
		}
	default:
		unwritten := whole == nil && (part == false || part == "" || part == nil)
		if !unwritten && !cmp.Equal(whole, part) {
			t.Errorf("%s: Compile says %v, the schema %v", path, whole, part)
		}
	}
}

// Examples are read by people who have no error message at hand.
func TestExamplesAreAdmitted(t *testing.T) {
	t.Parallel()
	plural := map[string]string{
		v1alpha1.KindSigningKey: "signingkeys", v1alpha1.KindAgentAuthPolicy: "agentauthpolicies", v1alpha1.KindTokenIssuer: "tokenissuers",
	}
	seen := 0
	err := filepath.WalkDir("../../examples", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || (filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq("\n"+string(data), "\n---") {
			var example map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &example); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			kind, _ := example["kind"].(string)
			if group, _ := example["apiVersion"].(string); !strings.HasPrefix(group, v1alpha1.Group+"/") || plural[kind] == "" {
				continue
			}
			seen++
			integers(example)
			for _, err := range readCRD(t, plural[kind]).admit(t.Context(), example, nil) {
				t.Errorf("%s: %s: %s", path, kind, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no example has a resource of ours")
	}
}
