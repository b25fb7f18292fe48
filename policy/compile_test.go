package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

// base is a valid spec that mistakes are put into: providers[0] has HMAC
// secrets, [1] a remote key set, rules[0] a template.
func base(t testing.TB) policy.Spec {
	return parse(t, `
jwt:
  providers:
  - {name: laravel, algorithms: [HS256], secretRef: {name: laravel-jwt, keys: [current, previous]}}
  - {name: auth, issuers: ["https://a.example"], audiences: [chat], algorithms: [ES256, EdDSA], remoteJWKS: {uri: "https://a.example/jwks"}}
  extractFrom: {headers: [{name: Authorization, valuePrefix: "Bearer "}]}
authorization:
  rules:
  - name: run
    operation: {methods: [POST], paths: [{type: Template, value: "/agents/{agent_id}/runs"}]}
    principal: {providers: [auth], scopes: {anyOf: ["agents:{agent_id}:run"]}, claims: [{name: role, values: [admin]}], tenant: {match: {pathVariable: agent_id}}}
  - {name: rest, operation: {paths: [{value: /rest}]}}
exemptions: [{methods: [GET], path: /health}]
cors: {allowOrigins: ["https://app.example"]}
`)
}

// mistakes are edits of base and the one error that each must cause.
type mistakes []struct {
	sentence string
	edit     func(*policy.Spec)
	want     string
}

func (m mistakes) check(t *testing.T) {
	t.Helper()
	for _, test := range m {
		t.Run(test.sentence, func(t *testing.T) {
			s := base(t)
			test.edit(&s)
			p, err := policy.Compile(s)
			var errs policy.Errors
			if p != nil || !errors.As(err, &errs) || len(errs) != 1 {
				t.Fatalf("Compile = %v, %v; want one error %s", p, err, test.want)
			}
			if got := errs[0].Error(); !strings.HasPrefix(got, test.want) {
				t.Errorf("Compile = %s\nwant it to begin with %s", got, test.want)
			}
		})
	}
}

func provider(s *policy.Spec) *policy.Provider { return &s.JWT.Providers[0] }

func remote(s *policy.Spec) *policy.RemoteJWKS { return s.JWT.Providers[1].RemoteJWKS }

func principal(s *policy.Spec) *policy.Principal { return s.Authorization.Rules[0].Principal }

func paths(s *policy.Spec, list ...policy.PathMatch) {
	s.Authorization.Rules[1].Operation.Paths = list
}

func TestCompileRefusesProviders(t *testing.T) {
	local := func(inline string) func(*policy.Spec) {
		return func(s *policy.Spec) {
			s.JWT.Providers[1].RemoteJWKS = nil
			s.JWT.Providers[1].LocalJWKS = &policy.LocalJWKS{Inline: inline}
		}
	}
	mistakes{
		{"an unknown algorithm", func(s *policy.Spec) { s.JWT.Providers[1].Algorithms[1] = "ES255" }, `spec.jwt.providers[1].algorithms[1]: unknown algorithm "ES255"; use one of HS256, HS384, `},
		{"the algorithm none", func(s *policy.Spec) { s.JWT.Providers[1].Algorithms[0] = "none" }, `spec.jwt.providers[1].algorithms[0]: unknown algorithm "none"; `},
		{"no algorithm", func(s *policy.Spec) { provider(s).Algorithms = nil }, `spec.jwt.providers[0].algorithms: is required`},
		{"the same algorithm twice", func(s *policy.Spec) { provider(s).Algorithms = []policy.Algorithm{"HS256", "HS256"} }, `spec.jwt.providers[0].algorithms[1]: "HS256" is in the list twice`},
		{"secrets and public keys in one provider", func(s *policy.Spec) { provider(s).Algorithms = []policy.Algorithm{"HS256", "RS256"} }, `spec.jwt.providers[0].algorithms: mixes HS*`},
		{"a secret with a public-key algorithm", func(s *policy.Spec) { provider(s).Algorithms = []policy.Algorithm{"RS256"} }, `spec.jwt.providers[0].algorithms: a provider with secretRef holds HMAC secrets`},
		{"a key set with an HMAC algorithm", func(s *policy.Spec) { s.JWT.Providers[1].Algorithms = []policy.Algorithm{"HS256"} }, `spec.jwt.providers[1].algorithms: a provider with a JWKS holds public keys`},
		{"no source of keys", func(s *policy.Spec) { provider(s).SecretRef = nil }, `spec.jwt.providers[0]: has 0 sources of keys: set exactly one of signingKeyRef, secretRef, localJWKS, remoteJWKS`},
		{"two sources of keys", func(s *policy.Spec) { provider(s).SigningKeyRef = &policy.SigningKeyRef{Name: "k"} }, `spec.jwt.providers[0]: has 2 sources of keys`},
		{"a lifetime beside a SigningKey", func(s *policy.Spec) {
			provider(s).SecretRef, provider(s).SigningKeyRef = nil, &policy.SigningKeyRef{Name: "k"}
			provider(s).MaxTokenLifetime = &policy.Duration{Duration: time.Hour}
		}, `spec.jwt.providers[0].maxTokenLifetime: is set by the SigningKey's maxTokenLifetime: remove it here`},
		{"a provider's name twice", func(s *policy.Spec) { s.JWT.Providers[1].Name, principal(s).Providers = "laravel", nil }, `spec.jwt.providers[1].name: "laravel" is taken by another entry`},
		{"a provider's name in capitals", func(s *policy.Spec) { provider(s).Name = "Laravel" }, `spec.jwt.providers[0].name: "Laravel" is no name`},
		{"a leeway of more than a minute", func(s *policy.Spec) { provider(s).ClockSkew = &policy.Duration{Duration: 61 * time.Second} }, `spec.jwt.providers[0].clockSkew: 1m1s is out of bounds: 0s to 1m`},
		{"a negative leeway", func(s *policy.Spec) { provider(s).ClockSkew = &policy.Duration{Duration: -1} }, `spec.jwt.providers[0].clockSkew: `},
		{"tokens that never live", func(s *policy.Spec) { provider(s).MaxTokenLifetime = &policy.Duration{} }, `spec.jwt.providers[0].maxTokenLifetime: 0s is out of bounds`},
		{"a Secret's name that leaves its directory", func(s *policy.Spec) { provider(s).SecretRef.Name = "../etc" }, `spec.jwt.providers[0].secretRef.name: "../etc" is no object name`},
		{"a data key that leaves its directory", func(s *policy.Spec) { provider(s).SecretRef.Keys[1] = "../../passwd" }, `spec.jwt.providers[0].secretRef.keys[1]: "../../passwd" is no data key`},
		{"a hidden data key", func(s *policy.Spec) { provider(s).SecretRef.Keys[1] = "..data" }, `spec.jwt.providers[0].secretRef.keys[1]: "..data" is no data key`},
		{"no data key", func(s *policy.Spec) { provider(s).SecretRef.Keys = nil }, `spec.jwt.providers[0].secretRef.keys: is required`},
		{"a time that is none", func(s *policy.Spec) { yesterday := "yesterday"; provider(s).RevokedBefore = &yesterday }, `spec.jwt.providers[0].revokedBefore: "yesterday" is no time`},
		{"refresh tokens", func(s *policy.Spec) { provider(s).Types = []string{"JWT", "Refresh+JWT"} }, `spec.jwt.providers[0].types[1]: refresh tokens never open an agent`},
		{"an empty issuer", func(s *policy.Spec) { provider(s).Issuers = []string{""} }, `spec.jwt.providers[0].issuers[0]: is required`},
		{"a key set that is no JSON", local("PEM"), `spec.jwt.providers[1].localJWKS.inline: is no key set`},
		{"a key set without keys", local(`{"keys":[]}`), `spec.jwt.providers[1].localJWKS.inline: is no key set`},
		{"a key set with a symmetric key", local(`{"keys":[{"kty":"RSA"},{"kty":"oct","k":"AA"}]}`), `spec.jwt.providers[1].localJWKS.inline: keys[1] has the private member "k"`},
		{"a key set with a private key", local(`{"keys":[{"kty":"EC","d":"AA"}]}`), `spec.jwt.providers[1].localJWKS.inline: keys[0] has the private member "d"`},
		{"a key set from nowhere", local(""), `spec.jwt.providers[1].localJWKS: set exactly one of inline, configMapRef`},
	}.check(t)
}

func TestCompileRefusesAddressesOfKeys(t *testing.T) {
	const field = "spec.jwt.providers[1].remoteJWKS.uri: "
	for want, uris := range map[string][]string{
		`is a link-local or metadata address`: {
			"https://169.254.169.254/latest", "https://[fe80::1]/", "https://[::ffff:169.254.169.254]/", "https://[fd00:ec2::254]/",
			"https://100.100.100.200/", "https://192.0.0.192/", "https://[64:ff9b::a9fe:a9fe]/", "https://[::169.254.1.1]/", "https://[fe80::1%25eth0]/",
		},
		`is a cloud's metadata service`: {"https://metadata.google.internal/x", "https://METADATA.google.internal./", "https://metadata/", "https://instance-data/"},
		`is this very pod`:              {"https://127.0.0.1/jwks", "https://127.9.9.9/", "https://[::1]/", "https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://[::ffff:127.0.0.1]/"},
		`has a number for a host`:       {"https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/", "https://0x7f000001/"},
		`is no address of a server`:     {"https://0.0.0.0/", "https://[::]/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[ff02::1]/"},
		`is plain http`:                 {"http://a.example/jwks"},
		`has a user or a password`:      {"https://u:p@a.example/", "https://u@a.example/"},
		`has a fragment or a blank`:     {"https://a.example/#x", "https://a.example/a b"},
		`has a port out of bounds`:      {"https://a.example:0/", "https://a.example:70000/"},
		`has a host that is neither`:    {"https://a_b-/", "https://a..example/", "https://-/", "https://:443/"},
		`"`:                             {"ftp://a.example/", "a.example", "https://", "file:///etc/passwd", "https://a b/", "//a.example/"},
		`is required`:                   {""},
	} {
		for _, uri := range uris {
			t.Run(want+" "+uri, func(t *testing.T) {
				mistakes{{"", func(s *policy.Spec) { remote(s).URI = uri }, field + want}}.check(t)
			})
		}
	}
	for _, uri := range []string{"http://127.0.0.1:9/jwks", "http://localhost/", "http://[::1]/", "https://a.example./jwks?x=1", "https://10.0.0.1:8443/", "https://auth.svc/", "https://xn--e1afmkfd.example/"} {
		t.Run("allowInsecureHTTP permits "+uri, func(t *testing.T) {
			s := base(t)
			remote(&s).URI, remote(&s).AllowInsecureHTTP = uri, true
			if _, err := policy.Compile(s); err != nil {
				t.Errorf("Compile = %v", err)
			}
		})
	}
	mistakes{
		{"metadata stays refused", func(s *policy.Spec) { remote(s).URI, remote(s).AllowInsecureHTTP = "http://169.254.169.254/", true }, field + "is a link-local or metadata address"},
		{"a cache of no time", func(s *policy.Spec) { remote(s).CacheDuration = &policy.Duration{} }, `spec.jwt.providers[1].remoteJWKS.cacheDuration: 0s is out of bounds: 1s to 24h`},
		{"a cache that is staler than a month", func(s *policy.Spec) { remote(s).MaxStale = &policy.Duration{Duration: 721 * time.Hour} }, `spec.jwt.providers[1].remoteJWKS.maxStale: 721h is out of bounds: 0s to 720h`},
	}.check(t)
}

func TestCompileRefusesHeaders(t *testing.T) {
	to := func(headers ...string) func(*policy.Spec) {
		return func(s *policy.Spec) {
			for _, h := range headers {
				s.JWT.ClaimToHeaders = append(s.JWT.ClaimToHeaders, policy.ClaimToHeader{Claim: "sub", Header: h})
			}
		}
	}
	const field = "spec.jwt.claimToHeaders[0].header: "
	for want, headers := range map[string][]string{
		"belongs to HTTP itself": {"Host", "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Content-Length", "content-type", "Expect"},
		"carries the token":      {"Authorization", "AUTHORIZATION"},
		"is not for identities":  {"X-Gatepost-Decision", "X-Forwarded-For", "Cookie", "Origin", "X-HTTP-Method-Override", "X-Original-URL", "X-Real-IP", "Forwarded", "Sec-WebSocket-Protocol"},
		"is no header name":      {"X_Auth", "X Auth", "X-Auth:", "X-Auth\r\nX", "é"},
	} {
		for _, header := range headers {
			t.Run(want+" "+header, func(t *testing.T) {
				s := base(t)
				to(header)(&s)
				_, err := policy.Compile(s)
				if err == nil || !strings.HasPrefix(err.Error(), field) || !strings.Contains(err.Error(), want) {
					t.Errorf("Compile = %v, want %s... %s", err, field, want)
				}
			})
		}
	}
	mistakes{
		{"the same output twice in other letters", to("X-Auth-Team", "x-auth-team"), `spec.jwt.claimToHeaders[1].header: "x-auth-team" is set by an entry before`},
		{"the header of the token as an output", func(s *policy.Spec) {
			s.JWT.ExtractFrom.Headers[0].Name = "X-Token"
			to("x-token")(s)
		}, `spec.jwt.claimToHeaders[0].header: "x-token" carries the token`},
		{"a malformed pointer", func(s *policy.Spec) {
			s.JWT.ClaimToHeaders = []policy.ClaimToHeader{{Claim: "/a~2", Header: "X-Auth-A"}}
		}, `spec.jwt.claimToHeaders[0].claim: "/a~2" is no JSON pointer`},
		{"a token in the Host header", func(s *policy.Spec) { s.JWT.ExtractFrom.Headers[0].Name = "host" }, `spec.jwt.extractFrom.headers[0].name: "host" cannot carry a token`},
		{"the same source twice", func(s *policy.Spec) {
			s.JWT.ExtractFrom.Headers = append(s.JWT.ExtractFrom.Headers, policy.TokenHeader{Name: "AUTHORIZATION"})
		}, `spec.jwt.extractFrom.headers[1].name: "AUTHORIZATION" is in the list twice`},
		{"a prefix with a line break", func(s *policy.Spec) { s.JWT.ExtractFrom.Headers[0].ValuePrefix = "Bearer\r\n" }, `spec.jwt.extractFrom.headers[0].valuePrefix: "Bearer\r\n" has a character`},
		{"a cookie without a name", func(s *policy.Spec) { s.JWT.ExtractFrom.Headers[0] = policy.TokenHeader{Name: "Cookie"} }, `spec.jwt.extractFrom.headers[0].valuePrefix: "" names no cookie`},
		{"a cookie with a value", func(s *policy.Spec) {
			s.JWT.ExtractFrom.Headers[0] = policy.TokenHeader{Name: "cookie", ValuePrefix: "a=b"}
		}, `spec.jwt.extractFrom.headers[0].valuePrefix: "a=b" names no cookie`},
		{"a token in the offered protocols by its header", func(s *policy.Spec) { s.JWT.ExtractFrom.Headers[0].Name = "Sec-WebSocket-Protocol" }, `spec.jwt.extractFrom.headers[0].name: "Sec-WebSocket-Protocol" cannot carry a token`},
		{"an extraction from nowhere", func(s *policy.Spec) { s.JWT.ExtractFrom.Headers = nil }, `spec.jwt.extractFrom.headers: is required`},
	}.check(t)
}

func TestCompileRefusesRules(t *testing.T) {
	mistakes{
		{"a rule's name twice", func(s *policy.Spec) { s.Authorization.Rules[1].Name = "run" }, `spec.authorization.rules[1].name: "run" is taken by another entry`},
		{"an unknown action", func(s *policy.Spec) { s.Authorization.Rules[1].Action = "allow" }, `spec.authorization.rules[1].action: unknown action "allow"; use one of Allow, Deny`},
		{"an unknown default", func(s *policy.Spec) { s.Authorization.DefaultAction = "Audit" }, `spec.authorization.defaultAction: unknown action "Audit"`},
		{"a method in other letters", func(s *policy.Spec) { s.Authorization.Rules[0].Operation.Methods[0] = "post" }, `spec.authorization.rules[0].operation.methods[0]: unknown method "post"; use one of GET,`},
		{"a provider that is not there", func(s *policy.Spec) { principal(s).Providers[0] = "okta" }, `spec.authorization.rules[0].principal.providers[0]: unknown provider "okta"; spec.jwt.providers has laravel, auth`},
		{"a provider without any", func(s *policy.Spec) { s.JWT = nil }, `spec.authorization.rules[0].principal.providers[0]: unknown provider "auth": the policy has no spec.jwt.providers`},
		{"API keys without apiKeyAuth", func(s *policy.Spec) { *principal(s) = policy.Principal{APIKeys: []string{"crm"}} }, `spec.authorization.rules[0].principal.apiKeys: cannot match: the policy has no apiKeyAuth`},
		{"a token and an API key at once", func(s *policy.Spec) {
			s.APIKeyAuth = &policy.APIKeyAuth{}
			principal(s).APIKeys = []string{"crm"}
		}, `spec.authorization.rules[0].principal.apiKeys: nobody has a token of providers and one of apiKeys at once: make two rules`},
		{"anonymous with conditions", func(s *policy.Spec) { principal(s).Anonymous = true }, `spec.authorization.rules[0].principal.anonymous: stands alone`},
		{"scopes without any", func(s *policy.Spec) { principal(s).Scopes.AnyOf = nil }, `spec.authorization.rules[0].principal.scopes: set one of anyOf, allOf`},
		{"a scope with a blank", func(s *policy.Spec) { principal(s).Scopes.AnyOf[0] = "agents run" }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: "agents run" is no scope`},
		{"a scope with a lone brace", func(s *policy.Spec) { principal(s).Scopes.AnyOf[0] = "agents:{agent_id" }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: "agents:{agent_id" has braces`},
		{"a scope with a variable without a name", func(s *policy.Spec) { principal(s).Scopes.AnyOf[0] = "agents:{}" }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: "agents:{}" has braces`},
		{"a scope with a closing brace", func(s *policy.Spec) { principal(s).Scopes.AnyOf[0] = "agents}" }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: "agents}" has braces`},
		{"a scope with a variable of no path", func(s *policy.Spec) { principal(s).Scopes.AnyOf[0] = "agents:{id}:run" }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: {id} is no variable of operation.paths[0], "/agents/{agent_id}/runs"`},
		{"a variable that one of the paths has not", func(s *policy.Spec) {
			principal(s).Scopes = &policy.Scopes{AllOf: []string{"x"}}
			s.Authorization.Rules[0].Operation.Paths = append(s.Authorization.Rules[0].Operation.Paths, policy.PathMatch{Value: "/agents"})
		}, `spec.authorization.rules[0].principal.tenant.match.pathVariable: {agent_id} is no variable of operation.paths[1], "/agents"`},
		{"a variable without any path", func(s *policy.Spec) { s.Authorization.Rules[0].Operation, principal(s).Tenant = nil, nil }, `spec.authorization.rules[0].principal.scopes.anyOf[0]: {agent_id} stands for nothing`},
		{"a claim without a value", func(s *policy.Spec) { principal(s).Claims[0].Values = nil }, `spec.authorization.rules[0].principal.claims[0].values: is required`},
		{"a claim of an unknown form", func(s *policy.Spec) { principal(s).Claims[0].ValueType = "Number" }, `spec.authorization.rules[0].principal.claims[0].valueType: unknown valueType "Number"`},
		{"a boolean that is none", func(s *policy.Spec) { principal(s).Claims[0].ValueType = policy.ClaimBoolean }, `spec.authorization.rules[0].principal.claims[0].values[0]: "admin" is no boolean`},
		{"a word with a blank", func(s *policy.Spec) {
			principal(s).Claims[0] = policy.ClaimMatch{Name: "g", ValueType: policy.ClaimSpaceDelimited, Values: []string{"a b"}}
		}, `spec.authorization.rules[0].principal.claims[0].values[0]: "a b" has a blank`},
		{"a tenant matched twice", func(s *policy.Spec) { principal(s).Tenant.Match.Header = "X-Tenant-ID" }, `spec.authorization.rules[0].principal.tenant.match: set exactly one of header, pathVariable, value`},
		{"a tenant matched by nothing", func(s *policy.Spec) { principal(s).Tenant.Match.PathVariable = "" }, `spec.authorization.rules[0].principal.tenant.match: set exactly one of header, pathVariable, value`},
		{"a tenant in a header that is replaced", func(s *policy.Spec) { principal(s).Tenant.Match = &policy.TenantMatch{Header: "X-Auth-Tenant"} }, `spec.authorization.rules[0].principal.tenant.match.header: "X-Auth-Tenant" cannot name a tenant`},
		{"an unknown preset", func(s *policy.Spec) { s.Authorization.Rules[1] = policy.Rule{Name: "rest", Preset: "agno-v3"} }, `spec.authorization.rules[1].preset: unknown preset "agno-v3"; use one of agno-v2`},
		{"a preset with an operation", func(s *policy.Spec) { s.Authorization.Rules[1].Preset = "agno-v2" }, `spec.authorization.rules[1].operation: a preset brings its own operation and scopes: remove operation, mcp and principal.scopes, or the preset`},
		{"a preset with scopes", func(s *policy.Spec) {
			s.Authorization.Rules[1] = policy.Rule{Name: "rest", Preset: "agno-v2", Principal: &policy.Principal{Scopes: &policy.Scopes{AnyOf: []string{"x"}}}}
		}, `spec.authorization.rules[1].principal.scopes: a preset brings its own operation and scopes`},
		{"a preset with calls of MCP", func(s *policy.Spec) {
			s.Authorization.Rules[1] = policy.Rule{Name: "rest", Preset: "agno-v2", MCP: &policy.MCP{Methods: []policy.MCPMethod{{Name: "x"}}}}
		}, `spec.authorization.rules[1].mcp: a preset brings its own operation and scopes`},
		{"a preset that denies", func(s *policy.Spec) {
			s.Authorization.Rules[1] = policy.Rule{Name: "rest", Preset: "agno-v2", Action: policy.ActionDeny}
		}, `spec.authorization.rules[1].action: a preset only allows`},
		{"a preset with a tenant in its paths", func(s *policy.Spec) {
			s.Authorization.Rules[1] = policy.Rule{Name: "rest", Preset: "agno-v2", Principal: &policy.Principal{Tenant: &policy.Tenant{Match: &policy.TenantMatch{PathVariable: "id"}}}}
		}, `spec.authorization.rules[1].principal.tenant.match.pathVariable: the paths of a preset have no variable to name`},
		{"calls of MCP without a method", func(s *policy.Spec) { s.Authorization.Rules[1].MCP = &policy.MCP{} }, `spec.authorization.rules[1].mcp.methods: is required`},
	}.check(t)
}

func TestCompileRefusesPaths(t *testing.T) {
	const field = "spec.authorization.rules[1].operation.paths[0].value: "
	for want, list := range map[string][]policy.PathMatch{
		"is required":             {{Value: ""}},
		"must begin with a slash": {{Value: "agents"}, {Type: policy.PathTemplate, Value: "{x}"}},
		"has a query":             {{Value: "/a?b"}, {Value: "/a#b"}},
		"has an escape":           {{Value: "/a%20b"}, {Value: "/a%2fb"}, {Type: policy.PathPrefix, Value: "/%61"}},
		"never matches":           {{Value: "/a/../b"}, {Value: "//a"}, {Value: "/a//b"}, {Value: "/."}, {Value: "/a;b"}, {Value: `/a\b`}, {Value: "/a\nb"}, {Value: "/\xff"}},
		"has a wildcard":          {{Value: "/a/*"}, {Type: policy.PathPrefix, Value: "/*"}, {Value: "/**"}},
		"has braces":              {{Value: "/agents/{id}"}, {Type: policy.PathPrefix, Value: "/{x}"}},
		"is no variable":          {{Type: policy.PathTemplate, Value: "/a/{id}.json"}, {Type: policy.PathTemplate, Value: "/{}"}, {Type: policy.PathTemplate, Value: "/{a-b}"}, {Type: policy.PathTemplate, Value: "/{a"}, {Type: policy.PathTemplate, Value: "/a}"}, {Type: policy.PathTemplate, Value: "/{{a}}"}, {Type: policy.PathTemplate, Value: "/{1}"}},
		"is there twice":          {{Type: policy.PathTemplate, Value: "/{a}/{a}"}},
		"is longer than":          {{Value: "/" + strings.Repeat("a", 1024)}},
	} {
		for _, m := range list {
			t.Run(want+" "+m.Value, func(t *testing.T) {
				s := base(t)
				paths(&s, m)
				_, err := policy.Compile(s)
				if err == nil || !strings.HasPrefix(err.Error(), field) || !strings.Contains(err.Error(), want) {
					t.Errorf("Compile = %v, want %s... %s", err, field, want)
				}
			})
		}
	}
	mistakes{
		{"an unknown type", func(s *policy.Spec) { paths(s, policy.PathMatch{Type: "Regex", Value: "/a"}) }, `spec.authorization.rules[1].operation.paths[0].type: unknown type "Regex"; use one of Exact, Prefix, Template`},
		{"an exemption that never matches", func(s *policy.Spec) { s.Exemptions[0].Path = "/a/../b" }, `spec.exemptions[0].path: "/a/../b" never matches`},
		{"an exemption for all below", func(s *policy.Spec) { s.Exemptions[0].Path = "/public/*" }, `spec.exemptions[0].path: "/public/*" has a wildcard`},
		{"an exemption for all that begins so", func(s *policy.Spec) { s.Exemptions[0].Path = "/health*" }, `spec.exemptions[0].path: "/health*" has a wildcard: one exact path stands here`},
		{"an exemption with a variable", func(s *policy.Spec) { s.Exemptions[0].Path = "/{x}" }, `spec.exemptions[0].path: "/{x}" has braces`},
		{"an exemption without a method", func(s *policy.Spec) { s.Exemptions[0].Methods = nil }, `spec.exemptions[0].methods: is required`},
		{"an exemption of TRACE", func(s *policy.Spec) { s.Exemptions[0].Methods[0] = "TRACE" }, `spec.exemptions[0].methods[0]: unknown method "TRACE"`},
	}.check(t)
}

func TestCompileRefusesTheRest(t *testing.T) {
	origin := func(o string) func(*policy.Spec) { return func(s *policy.Spec) { s.CORS.AllowOrigins[0] = o } }
	network := func(n string) func(*policy.Spec) { return func(s *policy.Spec) { s.TrustedProxies = []string{n} } }
	small, large := int32(1024), int32(8192)
	mistakes{
		{"an unknown mode", func(s *policy.Spec) { s.Mode = "enforce" }, `spec.mode: unknown mode "enforce"; use one of Enforce, Audit`},
		{"an unknown forward", func(s *policy.Spec) { s.JWT.Forward = "Never" }, `spec.jwt.forward: unknown forward "Never"; use one of Original, Strip, Always`},
		{"every origin with credentials", func(s *policy.Spec) { s.CORS.AllowOrigins[0], s.CORS.AllowCredentials = "*", true }, `spec.cors.allowOrigins: may not contain * when allowCredentials is true: list the origins`},
		{"every header with credentials", func(s *policy.Spec) { s.CORS.AllowHeaders, s.CORS.AllowCredentials = []string{"*"}, true }, `spec.cors.allowHeaders: may not contain * when allowCredentials is true`},
		{"every exposed header with credentials", func(s *policy.Spec) { s.CORS.ExposeHeaders, s.CORS.AllowCredentials = []string{"*"}, true }, `spec.cors.exposeHeaders: may not contain * when allowCredentials is true`},
		{"the origin null", origin("null"), `spec.cors.allowOrigins[0]: null is the origin of sandboxed pages`},
		{"an origin in capitals", origin("https://App.example"), `spec.cors.allowOrigins[0]: "https://App.example" has capital letters: browsers send https://app.example`},
		{"an origin with a slash", origin("https://app.example/"), `spec.cors.allowOrigins[0]: "https://app.example/" has a path: browsers send https://app.example`},
		{"an origin without a scheme", origin("app.example"), `spec.cors.allowOrigins[0]: "app.example" is no origin`},
		{"an origin with a wildcard", origin("https://*.example"), `spec.cors.allowOrigins[0]: "https://*.example" is no origin`},
		{"an origin with a wrong port", origin("https://app.example:70000"), `spec.cors.allowOrigins[0]: "https://app.example:70000" is no origin`},
		{"an origin of another scheme", origin("ftp://app.example"), `spec.cors.allowOrigins[0]: "ftp://app.example" is no origin`},
		{"a header name with a colon", func(s *policy.Spec) { s.CORS.AllowHeaders = []string{"A:"} }, `spec.cors.allowHeaders[0]: "A:" is no header name`},
		{"a preflight remembered for two days", func(s *policy.Spec) { s.CORS.MaxAge = &policy.Duration{Duration: 48 * time.Hour} }, `spec.cors.maxAge: 48h is out of bounds: 0s to 24h`},
		{"an address for a network", network("10.0.0.1"), `spec.trustedProxies[0]: "10.0.0.1" is no network: write 10.0.0.1/32 for the one address`},
		{"a network with bits beyond its mask", network("10.0.0.1/8"), `spec.trustedProxies[0]: "10.0.0.1/8" has bits beyond its mask: write 10.0.0.0/8`},
		{"no network", network("private"), `spec.trustedProxies[0]: "private" is no network: write it like 10.0.0.0/8 or fd00::/8`},
		{"a token that no head can hold", func(s *policy.Spec) {
			s.Limits = &policy.Limits{MaxTokenBytes: &large, MaxHeaderBytes: new(int32(4096))}
		}, `spec.limits.maxTokenBytes: 8192 is more than maxHeaderBytes, 4096`},
		{"a head that holds nothing", func(s *policy.Spec) { s.Limits = &policy.Limits{MaxHeaderBytes: &small} }, `spec.limits.maxHeaderBytes: 1024 is out of bounds: 4096 to 1048576`},
		{"a rate that is none", func(s *policy.Spec) {
			s.Limits = &policy.Limits{Rejections: &policy.RejectionLimit{Rate: "20", Burst: 1}}
		}, `spec.limits.rejections.rate: "20" is no rate: write 20/s or 100/m`},
		{"a status of its own", func(s *policy.Spec) { s.Responses = &policy.Responses{APIKeyFailureStatus: 418} }, `spec.responses.apiKeyFailureStatus: 418 is not possible: use 401 or 403`},
		{"an unknown end of streams", func(s *policy.Spec) { s.Streaming = &policy.Streaming{OnTokenExpiry: "Kill"} }, `spec.streaming.onTokenExpiry: unknown action "Kill"`},
		{"an unknown host", func(s *policy.Spec) { s.Upstream = &policy.Upstream{Host: "agent"} }, `spec.upstream.host: unknown host "agent"`},
		{"an unknown token source", func(s *policy.Spec) { s.WebSocket = &policy.WebSocket{TokenSources: []string{"Query"}} }, `spec.webSocket.tokenSources[0]: unknown token source "Query"; use one of Header, Subprotocol`},
		{"a resource with a query", func(s *policy.Spec) {
			s.ProtectedResource = &policy.ProtectedResource{Resource: "https://a.example/?x"}
		}, `spec.protectedResource.resource: "https://a.example/?x" is no address`},
	}.check(t)
}

func TestCompileNamesEverythingThatIsWrong(t *testing.T) {
	s := base(t)
	s.Mode = "x"
	provider(&s).Algorithms[0] = "HS255"
	s.Exemptions[0].Path = "health"
	_, err := policy.Compile(s)
	var errs policy.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("Compile = %v", err)
	}
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	want := []string{"spec.mode", "spec.jwt.providers[0].algorithms[0]", "spec.exemptions[0].path"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestCompileRefusesProbes(t *testing.T) {
	for want, probe := range map[string]policy.Probe{
		"probes[0].port: 0 is out of bounds":         {Method: "GET", Path: "/"},
		`probes[0].method: unknown method ""`:        {Port: 1, Path: "/"},
		`probes[0].method: unknown method "CONNECT"`: {Port: 1, Method: "CONNECT", Path: "/"},
		`probes[0].path: "/a/../b" would be refused`: {Port: 1, Method: "GET", Path: "/a/../b"},
		`probes[0].path: "/a//b" would be refused`:   {Port: 1, Method: "GET", Path: "/a//b"},
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := policy.Compile(base(t), probe); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Compile = %v, want %s", err, want)
			}
		})
	}
}
