package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

func TestDecideScopes(t *testing.T) {
	const run = "POST /agents/a1/runs"
	runs := func() policy.Decision { return short("run", "tenant", "agents:run", "agents:a1:run") }
	decisions{
		{"an array of scopes", ask{run, "laravel", `{"scopes":["tenant","agents:run"]}`, ""}, allowed("run")},
		{"a text separated by blanks", ask{run, "laravel", `{"scope":"tenant  agents:run x"}`, ""}, allowed("run")},
		{"the variable stands for the segment", ask{run, "laravel", `{"scopes":["tenant","agents:a1:run"]}`, ""}, allowed("run")},
		{"a decoded variable", ask{"POST /agents/a%201/runs", "laravel", `{"scopes":["tenant","agents:a 1:run"]}`, ""}, allowed("run")},
		{"another agent's scope", ask{run, "laravel", `{"scopes":["tenant","agents:a2:run"]}`, ""}, runs()},
		{"a longer scope", ask{run, "laravel", `{"scopes":["tenant","agents:run:x","agents:a1:runx"]}`, ""}, runs()},
		{"allOf is needed too", ask{run, "laravel", `{"scopes":["agents:run"]}`, ""}, runs()},
		{"anyOf is needed too", ask{run, "laravel", `{"scopes":["tenant"]}`, ""}, runs()},
		{"no scopes at all", ask{run, "laravel", `{}`, ""}, runs()},
		{"scopes null, scope used", ask{run, "laravel", `{"scopes":null,"scope":"tenant agents:run"}`, ""}, allowed("run")},
		{"scopes present, scope not looked at", ask{run, "laravel", `{"scopes":[],"scope":"tenant agents:run"}`, ""}, runs()},
		{"a number is no scope", ask{run, "laravel", `{"scopes":7,"scope":"tenant agents:run"}`, ""}, runs()},
		{"a list with a number in it has no scopes", ask{run, "laravel", `{"scopes":["tenant","agents:run",7]}`, ""}, runs()},
		{"an object is no list", ask{run, "laravel", `{"scopes":{"tenant":true,"agents:run":true}}`, ""}, runs()},
		{"one text of the array is one scope", ask{run, "laravel", `{"scopes":["tenant agents:run"]}`, ""}, runs()},
		{"a claim behind a pointer", ask{"GET /deep", "laravel", `{"a":{"b/c":["deep"]}}`, ""}, allowed("deep")},
		{"a claim behind a pointer that is not there", ask{"GET /deep", "laravel", `{"a":["deep"]}`, ""}, short("deep", "deep")},
		{"the first rule that lacks only scopes is named", ask{"GET /two", "laravel", `{}`, ""}, short("two-first", "first")},
		{"a later rule may still allow", ask{"GET /two", "laravel", `{"scopes":["second"]}`, ""}, allowed("two-second")},
		{"a rule that fails on more than scopes is not named", ask{"GET /other", "auth", `{}`, ""}, denied("")},
		{"a scope that no header can carry is not named", ask{`POST /agents/a%22%20b/runs`, "laravel", `{}`, ""}, short("run", "tenant", "agents:run")},
		{"a scope beyond ASCII is not named", ask{`POST /agents/%C3%A9/runs`, "laravel", `{}`, ""}, short("run", "tenant", "agents:run")},
		{"an explicit denial is no lack of scopes", ask{"GET /closed", "laravel", `{}`, ""}, denied("closed")},
		{"a Deny rule with scopes meets who has them", ask{"GET /nobots", "laravel", `{"scope":"bot"}`, ""}, denied("nobots")},
		{"a Deny rule is no offer of scopes", ask{"GET /nobots", "laravel", `{}`, ""}, denied("")},
		{"without a credential there is nothing to step up from", ask{run, "", "", ""}, nobody},
	}.check(t, `
authorization:
  rules:
  - name: run
    operation: {methods: [POST], paths: [{type: Template, value: "/agents/{agent_id}/runs"}]}
    principal: {scopes: {anyOf: ["agents:run", "agents:{agent_id}:run"], allOf: [tenant]}}
  - {name: deep, operation: {paths: [{value: /deep}]}, principal: {scopes: {claim: /a/b~1c, anyOf: [deep]}}}
  - {name: two-first, operation: {paths: [{value: /two}]}, principal: {scopes: {allOf: [first]}}}
  - {name: two-second, operation: {paths: [{value: /two}]}, principal: {scopes: {anyOf: [second]}}}
  - {name: other, operation: {paths: [{value: /other}]}, principal: {providers: [laravel], scopes: {anyOf: [o]}}}
  - {name: closed-scoped, operation: {paths: [{value: /closed}]}, principal: {scopes: {anyOf: [c]}}}
  - {name: closed, action: Deny, operation: {paths: [{value: /closed}]}}
  - {name: nobots, action: Deny, operation: {paths: [{value: /nobots}]}, principal: {scopes: {anyOf: [bot]}}}
`)
}

func TestDecideVariablesOfSeveralTemplates(t *testing.T) {
	decisions{
		{"the first template binds from its place", ask{"GET /agents/a1", "laravel", `{"scope":"use:a1"}`, ""}, allowed("use")},
		{"the second from another", ask{"GET /v1/x/agents/a2", "laravel", `{"scope":"use:a2"}`, ""}, allowed("use")},
		{"and not from the first one's", ask{"GET /v1/x/agents/a2", "laravel", `{"scope":"use:x"}`, ""}, short("use", "use:a2")},
		{"two variables in one scope", ask{"GET /pair/a/b", "laravel", `{"scope":"b-a"}`, ""}, allowed("pair")},
		{"their order matters", ask{"GET /pair/a/b", "laravel", `{"scope":"a-b"}`, ""}, short("pair", "b-a")},
	}.check(t, `
authorization:
  rules:
  - name: use
    operation: {paths: [{type: Template, value: "/agents/{id}"}, {type: Template, value: "/v1/{version}/agents/{id}/"}]}
    principal: {scopes: {anyOf: ["use:{id}"]}}
  - name: pair
    operation: {paths: [{type: Template, value: "/pair/{x}/{y}"}]}
    principal: {scopes: {anyOf: ["{y}-{x}"]}}
`)
}

func TestDecideClaims(t *testing.T) {
	yes, no := allowed("string"), denied("")
	decisions{
		{"a text that is one of the values", ask{"GET /string", "laravel", `{"role":"teacher"}`, ""}, yes},
		{"another text", ask{"GET /string", "laravel", `{"role":"student"}`, ""}, no},
		{"a text in other letters", ask{"GET /string", "laravel", `{"role":"Teacher"}`, ""}, no},
		{"a claim named in other letters", ask{"GET /string", "laravel", `{"Role":"teacher"}`, ""}, no},
		{"an array is no text", ask{"GET /string", "laravel", `{"role":["teacher"]}`, ""}, no},
		{"a number is no text", ask{"GET /string", "laravel", `{"role":7}`, ""}, no},
		{"absent is no value", ask{"GET /string", "laravel", `{}`, ""}, no},
		{"null is no value", ask{"GET /string", "laravel", `{"role":null}`, ""}, no},
		{"values joined by a comma are one value", ask{"GET /string", "laravel", `{"role":"teacher,admin"}`, ""}, no},
		{"an array with one of the values", ask{"GET /array", "laravel", `{"roles":["x","admin"]}`, ""}, allowed("array")},
		{"an array with something else in it", ask{"GET /array", "laravel", `{"roles":["admin",{}]}`, ""}, no},
		{"an empty array", ask{"GET /array", "laravel", `{"roles":[]}`, ""}, no},
		{"a text is no array", ask{"GET /array", "laravel", `{"roles":"admin"}`, ""}, no},
		{"a word of a text", ask{"GET /words", "laravel", `{"groups":"a b"}`, ""}, allowed("words")},
		{"a part of a word", ask{"GET /words", "laravel", `{"groups":"ab"}`, ""}, no},
		{"true", ask{"GET /flag", "laravel", `{"verified":true}`, ""}, allowed("flag")},
		{"false is not true", ask{"GET /flag", "laravel", `{"verified":false}`, ""}, no},
		{"the text true is no boolean", ask{"GET /flag", "laravel", `{"verified":"true"}`, ""}, no},
		{"a pointer into an object", ask{"GET /deep", "laravel", `{"realm_access":{"roles":["admin"]}}`, ""}, allowed("deep")},
		{"a pointer to nothing", ask{"GET /deep", "laravel", `{"realm_access":["roles"]}`, ""}, no},
		{"a name that is a URL is a plain name", ask{"GET /url", "laravel", `{"https://x.example/role":"a"}`, ""}, allowed("url")},
		{"all claims must hold", ask{"GET /both", "laravel", `{"a":"1"}`, ""}, no},
		{"and do", ask{"GET /both", "laravel", `{"a":"1","b":"2"}`, ""}, allowed("both")},
		{"only of the named provider", ask{"GET /auth", "laravel", `{}`, ""}, no},
		{"which is this one", ask{"GET /auth", "auth", `{}`, ""}, allowed("auth")},
	}.check(t, `
authorization:
  rules:
  - {name: string, operation: {paths: [{value: /string}]}, principal: {claims: [{name: role, values: [admin, teacher]}]}}
  - {name: array, operation: {paths: [{value: /array}]}, principal: {claims: [{name: roles, valueType: StringArray, values: [admin]}]}}
  - {name: words, operation: {paths: [{value: /words}]}, principal: {claims: [{name: groups, valueType: SpaceDelimited, values: [b]}]}}
  - {name: flag, operation: {paths: [{value: /flag}]}, principal: {claims: [{name: verified, valueType: Boolean, values: ["true"]}]}}
  - {name: deep, operation: {paths: [{value: /deep}]}, principal: {claims: [{name: /realm_access/roles, valueType: StringArray, values: [admin]}]}}
  - {name: url, operation: {paths: [{value: /url}]}, principal: {claims: [{name: "https://x.example/role", values: [a]}]}}
  - {name: both, operation: {paths: [{value: /both}]}, principal: {claims: [{name: a, values: ["1"]}, {name: b, values: ["2"]}]}}
  - {name: auth, operation: {paths: [{value: /auth}]}, principal: {providers: [auth]}}
`)
}

func TestDecideAPIKeys(t *testing.T) {
	decisions{
		{"the named client", ask{"GET /crm", "key crm", "", ""}, allowed("crm")},
		{"another client", ask{"GET /crm", "key erp", "", ""}, denied("")},
		{"a token is no API key", ask{"GET /crm", "laravel", "", ""}, denied("")},
		{"not even of a provider of that name", ask{"GET /crm", "crm", "", ""}, denied("")},
		{"an API key is of no provider", ask{"GET /laravel", "key laravel", "", ""}, denied("")},
		{"a rule for both takes tokens", ask{"GET /both", "laravel", `{"scope":"use"}`, ""}, allowed("both")},
		{"and API keys", ask{"GET /both", "key crm", `{"scopes":["use"]}`, ""}, allowed("both")},
		{"an API key that lacks a scope", ask{"GET /both", "key crm", `{"scopes":[]}`, ""}, short("both", "use")},
		{"a claim and the tenant of an API key", ask{"GET /t/t-1", "key crm", `{"tenant_id":"t-1","plan":"pro"}`, ""}, allowed("tenant")},
		{"another tenant's path", ask{"GET /t/t-2", "key crm", `{"tenant_id":"t-1","plan":"pro"}`, ""}, denied("")},
		{"a client that is denied", ask{"GET /both", "key bot", `{"scopes":["use"]}`, ""}, denied("no-bots")},
	}.check(t, `
apiKeyAuth: {credentialSelector: {}}
authorization:
  rules:
  - {name: no-bots, action: Deny, principal: {apiKeys: [bot]}}
  - {name: crm, operation: {paths: [{value: /crm}]}, principal: {apiKeys: [crm]}}
  - {name: laravel, operation: {paths: [{value: /laravel}]}, principal: {providers: [laravel]}}
  - {name: both, operation: {paths: [{value: /both}]}, principal: {scopes: {anyOf: [use]}}}
  - {name: tenant, operation: {paths: [{type: Template, value: "/t/{t}"}]}, principal: {claims: [{name: plan, values: [pro]}], tenant: {match: {pathVariable: t}}}}
`)
}

func TestDecideTenant(t *testing.T) {
	no := denied("")
	decisions{
		{"a tenant is enough where nothing is matched", ask{"GET /any", "laravel", `{"tenant_id":"t1"}`, ""}, allowed("any")},
		{"an empty tenant is none", ask{"GET /any", "laravel", `{"tenant_id":""}`, ""}, no},
		{"no tenant", ask{"GET /any", "laravel", `{}`, ""}, no},
		{"a null tenant", ask{"GET /any", "laravel", `{"tenant_id":null}`, ""}, no},
		{"a number is no tenant", ask{"GET /any", "laravel", `{"tenant_id":7}`, ""}, no},
		{"several tenants are enough, too", ask{"GET /any", "laravel", `{"tenant_id":["t1","t2"]}`, ""}, allowed("any")},
		{"an empty list of tenants", ask{"GET /any", "laravel", `{"tenant_id":[]}`, ""}, no},
		{"a list of an empty tenant", ask{"GET /any", "laravel", `{"tenant_id":[""]}`, ""}, no},
		{"the header names one of several", ask{"GET /header", "laravel", `{"org":["t1","t2"]}`, "X-Tenant-ID: t2"}, allowed("header")},
		{"the header names none of several", ask{"GET /header", "laravel", `{"org":["t1","t2"]}`, "X-Tenant-ID: t3"}, no},
		{"a list with something else in it", ask{"GET /header", "laravel", `{"org":["t1",7]}`, "X-Tenant-ID: t1"}, no},
		{"the header names the tenant", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1"}, allowed("header")},
		{"the header names another", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t2"}, no},
		{"in other letters it is another", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: T1"}, no},
		{"the header is absent", ask{"GET /header", "laravel", `{"org":"t1"}`, ""}, no},
		{"the header is there twice", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1\nX-Tenant-ID: t1"}, no},
		{"a list in the header is one value", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1, t2"}, no},
		{"an empty header is not a missing claim", ask{"GET /header", "laravel", `{}`, "X-Tenant-ID: "}, no},
		{"the path names the tenant", ask{"GET /t/t1/x", "laravel", `{"tenant_id":"t1"}`, ""}, allowed("path")},
		{"the path names one of several", ask{"GET /t/t2/x", "laravel", `{"tenant_id":["t1","t2"]}`, ""}, allowed("path")},
		{"the path names another", ask{"GET /t/t2/x", "laravel", `{"tenant_id":"t1"}`, ""}, no},
		{"the one tenant", ask{"GET /value", "laravel", `{"tenant_id":"t1"}`, ""}, allowed("value")},
		{"not the one tenant", ask{"GET /value", "laravel", `{"tenant_id":"t2"}`, ""}, no},
		{"null may pass where the rule says so", ask{"GET /null", "laravel", `{"tenant_id":null}`, "X-Tenant-ID: t9"}, allowed("null")},
		{"absent too", ask{"GET /null", "laravel", `{}`, ""}, allowed("null")},
		{"but no other tenant", ask{"GET /null", "laravel", `{"tenant_id":"t1"}`, "X-Tenant-ID: t9"}, no},
		{"nor a wrong form", ask{"GET /null", "laravel", `{"tenant_id":[]}`, "X-Tenant-ID: t9"}, no},
	}.check(t, `
authorization:
  rules:
  - {name: any, operation: {paths: [{value: /any}]}, principal: {tenant: {}}}
  - {name: header, operation: {paths: [{value: /header}]}, principal: {tenant: {claim: org, match: {header: x-tenant-ID}}}}
  - {name: path, operation: {paths: [{type: Template, value: "/t/{tenant}/{rest}"}]}, principal: {tenant: {match: {pathVariable: tenant}}}}
  - {name: value, operation: {paths: [{value: /value}]}, principal: {tenant: {match: {value: t1}}}}
  - {name: "null", operation: {paths: [{value: /null}]}, principal: {tenant: {match: {header: X-Tenant-ID}, onNull: Allow}}}
`)
}

func TestDecideWithoutHeadersATenantHeaderIsMissing(t *testing.T) {
	p := compile(t, jwt+`authorization: {rules: [{name: t, principal: {tenant: {match: {header: X-Tenant-ID}}}}]}`)
	route := p.Route(policy.RequestLine{Method: "GET", Target: "/"})
	who := policy.Who{Provider: "laravel", Claims: map[string]any{"tenant_id": "t1"}}
	if got := p.Decide(route, nil, who).Reason; got != policy.RuleDenied {
		t.Errorf("Decide = %q, want rule_denied", got)
	}
	if diff := cmp.Diff([]string{"X-Tenant-Id"}, p.JudgedHeaders()); diff != "" {
		t.Errorf("JudgedHeaders (-want +got):\n%s", diff)
	}
}

func TestDecideAnonymous(t *testing.T) {
	decisions{
		{"a page for all", ask{"GET /public/x", "", "", ""}, allowed("public")},
		{"is open to verified principals too", ask{"GET /public/x", "laravel", "", ""}, allowed("public")},
		{"only with its method", ask{"POST /public/x", "", "", ""}, nobody},
		{"a rule for principals does not meet nobody", ask{"GET /users", "", "", ""}, nobody},
		{"a Deny rule without a principal meets nobody too", ask{"GET /public/secret", "", "", ""}, policy.Decision{Reason: policy.MissingCredential, Rule: "secret"}},
		{"and everybody else", ask{"GET /public/secret", "laravel", "", ""}, denied("secret")},
		{"a Deny rule for the anonymous", ask{"GET /public/members", "", "", ""}, policy.Decision{Reason: policy.MissingCredential, Rule: "members"}},
		{"lets verified principals go on", ask{"GET /public/members", "laravel", "", ""}, allowed("public")},
	}.check(t, `
authorization:
  rules:
  - {name: secret, action: Deny, operation: {paths: [{value: /public/secret}]}}
  - {name: members, action: Deny, operation: {paths: [{value: /public/members}]}, principal: {anonymous: true}}
  - {name: users, operation: {paths: [{value: /users}]}, principal: {}}
  - {name: public, operation: {methods: [GET], paths: [{type: Prefix, value: /public}]}, principal: {anonymous: true}}
`)
}

func TestDecideARuleWithAnUnbuiltPartNeverOpens(t *testing.T) {
	decisions{
		{"mcp", ask{"GET /mcp", "laravel", "", ""}, denied("")},
		{"mcp on a rule that denies still denies", ask{"GET /deny", "laravel", "", ""}, denied("deny-mcp")},
	}.check(t, `
authorization:
  rules:
  - {name: mcp, operation: {paths: [{value: /mcp}]}, mcp: {methods: [{name: tools/list}]}}
  - {name: deny-mcp, action: Deny, operation: {paths: [{value: /deny}]}, mcp: {methods: [{name: tools/call}]}}
  - {name: rest, operation: {paths: [{value: /deny}]}}
`)
}
