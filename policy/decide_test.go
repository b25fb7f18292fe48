package policy_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

// ask is a request and who makes it: "POST /agents/a1/runs", a provider (none is
// anonymous), claims in JSON and headers as "Name: value" lines.
type ask struct {
	request, provider, claims, headers string
}

func (a ask) of(t testing.TB, p *policy.Policy) policy.Decision {
	t.Helper()
	method, target, _ := strings.Cut(a.request, " ")
	who := policy.Who{Anonymous: a.provider == "", Provider: a.provider}
	if a.claims != "" {
		decoder := json.NewDecoder(strings.NewReader(a.claims))
		decoder.UseNumber()
		if err := decoder.Decode(&who.Claims); err != nil {
			t.Fatalf("claims %s: %v", a.claims, err)
		}
	}
	header := http.Header{}
	for line := range strings.Lines(a.headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header.Add(name, value)
	}
	return p.Decide(p.Route(policy.RequestLine{Method: method, Target: target}), header, who)
}

func allowed(rule string) policy.Decision {
	return policy.Decision{Reason: policy.OK, Rule: rule}
}

func denied(rule string) policy.Decision {
	return policy.Decision{Reason: policy.RuleDenied, Rule: rule}
}

func short(rule string, scopes ...string) policy.Decision {
	return policy.Decision{Reason: policy.InsufficientScope, Rule: rule, Scopes: scopes}
}

var nobody = policy.Decision{Reason: policy.MissingCredential}

// decisions are what one policy says to several requests.
type decisions []struct {
	sentence string
	ask      ask
	want     policy.Decision
}

func (d decisions) check(t *testing.T, spec string) {
	t.Helper()
	p := compile(t, jwt+spec)
	for _, test := range d {
		t.Run(test.sentence, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.ask.of(t, p)); diff != "" {
				t.Errorf("Decide %+v (-want +got):\n%s", test.ask, diff)
			}
		})
	}
}

func TestDecideWithoutAuthorization(t *testing.T) {
	decisions{
		{"every verified principal passes", ask{"POST /x", "laravel", "", ""}, allowed("")},
		{"nobody else does", ask{"POST /x", "", "", ""}, nobody},
		{"an ambiguous path is refused first", ask{"POST /x/../y", "laravel", "", ""}, policy.Decision{Reason: policy.BadRequest}},
	}.check(t, "")
}

func TestDecideTheZeroWhoIsNobody(t *testing.T) {
	p := compile(t, "authorization: {defaultAction: Allow, rules: [{name: all, principal: {anonymous: true}}]}")
	route := p.Route(policy.RequestLine{Method: "GET", Target: "/"})
	for sentence, who := range map[string]policy.Who{
		"zero":                           {},
		"claims without a provider":      {Claims: map[string]any{"sub": "x"}},
		"anonymous and verified at once": {Anonymous: true, Provider: "laravel"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := p.Decide(route, nil, who); !cmp.Equal(got, nobody) {
				t.Errorf("Decide = %+v, want missing_credential", got)
			}
		})
	}
}

func TestDecideTheFirstMatchWins(t *testing.T) {
	decisions{
		{"a Deny rule before an Allow rule", ask{"GET /admin/x", "laravel", "", ""}, denied("no-admin")},
		{"the Allow rule for the rest", ask{"GET /x", "laravel", "", ""}, allowed("reading")},
		{"a method that no rule names", ask{"POST /x", "laravel", "", ""}, denied("")},
		{"HEAD is not implied by GET", ask{"HEAD /x", "laravel", "", ""}, denied("")},
		{"an unknown method matches no list of methods", ask{"PROPFIND /x", "laravel", "", ""}, denied("")},
		{"an unknown method is met by a rule without methods", ask{"PROPFIND /admin", "laravel", "", ""}, denied("no-admin")},
	}.check(t, `
authorization:
  rules:
  - {name: no-admin, action: Deny, operation: {paths: [{type: Prefix, value: /admin}]}}
  - {name: reading, operation: {methods: [GET]}}
`)
}

func TestDecideTheDefault(t *testing.T) {
	decisions{
		{"Allow lets verified principals through", ask{"GET /x", "laravel", "", ""}, allowed("")},
		{"Allow is not for those without a credential", ask{"GET /x", "", "", ""}, nobody},
		{"a Deny rule comes first", ask{"GET /admin", "laravel", "", ""}, denied("no-admin")},
		{"an Allow rule that fails on scopes changes nothing", ask{"GET /y", "laravel", "{}", ""}, allowed("")},
	}.check(t, `
authorization:
  defaultAction: Allow
  rules:
  - {name: no-admin, action: Deny, operation: {paths: [{value: /admin}]}}
  - {name: scoped, operation: {paths: [{value: /y}]}, principal: {scopes: {anyOf: [y]}}}
`)
	decisions{
		{"no rules and no default deny", ask{"GET /x", "laravel", "", ""}, denied("")},
	}.check(t, "authorization: {}")
}

func TestDecidePaths(t *testing.T) {
	exact, prefix, template, fold, root := allowed("exact"), allowed("prefix"), allowed("template"), allowed("fold"), allowed("root")
	no := denied("")
	decisions{
		{"an exact path", ask{"GET /exact", "laravel", "", ""}, exact},
		{"an exact path with a trailing slash", ask{"GET /exact/", "laravel", "", ""}, exact},
		{"an exact path written with escapes", ask{"GET /%65xact?q", "laravel", "", ""}, exact},
		{"an exact path in capitals is another", ask{"GET /EXACT", "laravel", "", ""}, no},
		{"below an exact path", ask{"GET /exact/x", "laravel", "", ""}, no},
		{"a value with a trailing slash means the same", ask{"GET /slash", "laravel", "", ""}, exact},
		{"a prefix itself", ask{"GET /public", "laravel", "", ""}, prefix},
		{"a prefix with a trailing slash", ask{"GET /public/", "laravel", "", ""}, prefix},
		{"below a prefix", ask{"GET /public/a/b", "laravel", "", ""}, prefix},
		{"a prefix ends at a segment", ask{"GET /publicx", "laravel", "", ""}, no},
		{"a template with its variable", ask{"GET /agents/a1/runs", "laravel", "", ""}, template},
		{"a template with a trailing slash", ask{"GET /agents/a1/runs/", "laravel", "", ""}, template},
		{"a variable takes a blank and other letters", ask{"GET /agents/a%201%C3%A9/runs", "laravel", "", ""}, template},
		{"a template is not a prefix", ask{"GET /agents/a1/runs/r1", "laravel", "", ""}, no},
		{"a template needs all its segments", ask{"GET /agents/a1", "laravel", "", ""}, no},
		{"a variable is one segment", ask{"GET /agents/a1/b/runs", "laravel", "", ""}, no},
		{"a variable in the last place", ask{"GET /a2a/x/v1/message:send", "laravel", "", ""}, template},
		{"a variable is not empty", ask{"GET /a2a/x/v1/", "laravel", "", ""}, no},
		{"ignoreCase folds a path", ask{"GET /MCP/Tools", "laravel", "", ""}, fold},
		{"ignoreCase folds a prefix", ask{"GET /FOLD/x", "laravel", "", ""}, fold},
		{"ignoreCase folds the text of a template", ask{"GET /Tpl/X/END", "laravel", "", ""}, fold},
		{"ignoreCase folds ASCII alone", ask{"GET /%E2%84%AAelvin", "laravel", "", ""}, no},
		{"the root is exact", ask{"GET /", "laravel", "", ""}, root},
	}.check(t, `
authorization:
  rules:
  - {name: exact, operation: {paths: [{value: /exact}, {type: Exact, value: /slash/}]}}
  - {name: prefix, operation: {paths: [{type: Prefix, value: /public}]}}
  - {name: template, operation: {paths: [{type: Template, value: "/agents/{agent_id}/runs"}, {type: Template, value: "/a2a/{id}/v1/{call}"}]}}
  - {name: fold, operation: {paths: [{value: /mcp/tools, ignoreCase: true}, {type: Prefix, value: /fold, ignoreCase: true}, {type: Template, value: "/tpl/{x}/end", ignoreCase: true}, {value: /kelvin, ignoreCase: true}]}}
  - {name: root, operation: {paths: [{value: /}]}}
`)
	decisions{
		{"the prefix / is every path", ask{"GET /x/y", "laravel", "", ""}, allowed("all")},
		{"and the root", ask{"GET /", "laravel", "", ""}, allowed("all")},
	}.check(t, `authorization: {rules: [{name: all, operation: {paths: [{type: Prefix, value: /}]}}]}`)
}

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

func TestDecideTenant(t *testing.T) {
	no := denied("")
	decisions{
		{"a tenant is enough where nothing is matched", ask{"GET /any", "laravel", `{"tenant_id":"t1"}`, ""}, allowed("any")},
		{"an empty tenant is none", ask{"GET /any", "laravel", `{"tenant_id":""}`, ""}, no},
		{"no tenant", ask{"GET /any", "laravel", `{}`, ""}, no},
		{"a null tenant", ask{"GET /any", "laravel", `{"tenant_id":null}`, ""}, no},
		{"a number is no tenant", ask{"GET /any", "laravel", `{"tenant_id":7}`, ""}, no},
		{"the header names the tenant", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1"}, allowed("header")},
		{"the header names another", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t2"}, no},
		{"in other letters it is another", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: T1"}, no},
		{"the header is absent", ask{"GET /header", "laravel", `{"org":"t1"}`, ""}, no},
		{"the header is there twice", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1\nX-Tenant-ID: t1"}, no},
		{"a list in the header is one value", ask{"GET /header", "laravel", `{"org":"t1"}`, "X-Tenant-ID: t1, t2"}, no},
		{"an empty header is not a missing claim", ask{"GET /header", "laravel", `{}`, "X-Tenant-ID: "}, no},
		{"the path names the tenant", ask{"GET /t/t1/x", "laravel", `{"tenant_id":"t1"}`, ""}, allowed("path")},
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
		{"a preset", ask{"GET /preset", "laravel", "", ""}, denied("")},
		{"API keys", ask{"GET /keys", "laravel", "", ""}, denied("")},
		{"mcp on a rule that denies still denies", ask{"GET /deny", "laravel", "", ""}, denied("deny-mcp")},
	}.check(t, `
apiKeyAuth: {credentialSelector: {}}
authorization:
  rules:
  - {name: mcp, operation: {paths: [{value: /mcp}]}, mcp: {methods: [{name: tools/list}]}}
  - {name: preset, operation: {paths: [{value: /preset}]}, preset: agno-v2}
  - {name: keys, operation: {paths: [{value: /keys}]}, principal: {apiKeys: [crm]}}
  - {name: deny-mcp, action: Deny, operation: {paths: [{value: /deny}]}, mcp: {methods: [{name: tools/call}]}}
  - {name: rest, operation: {paths: [{value: /deny}]}}
`)
}

// agno is a policy of the size that an AgentOS really has.
const agno = jwt + `
exemptions: [{methods: [GET], path: /health}]
authorization:
  rules:
  - {name: lists, operation: {methods: [GET], paths: [{value: /agents}, {value: /teams}, {value: /workflows}]}, principal: {scopes: {anyOf: ["agents:read"]}}}
  - {name: admin, principal: {scopes: {anyOf: ["agent_os:admin"]}}}
  - {name: config, operation: {paths: [{type: Prefix, value: /config}, {type: Prefix, value: /databases}]}, principal: {scopes: {anyOf: ["config:write"]}}}
  - name: run
    operation: {methods: [POST], paths: [{type: Template, value: "/teams/{id}/runs"}, {type: Template, value: "/agents/{id}/runs"}]}
    principal:
      providers: [laravel]
      scopes: {anyOf: ["agents:run", "agents:{id}:run"]}
      claims: [{name: role, values: [admin, teacher]}]
      tenant: {match: {header: X-Tenant-ID}}
`

// allowedRun passes the last rule of agno, after all the others were tried.
func allowedRun() (policy.RequestLine, http.Header, policy.Who) {
	return policy.RequestLine{Method: "POST", Target: "/agents/support/runs?stream=true", Port: 8000},
		http.Header{"X-Tenant-Id": {"t1"}},
		policy.Who{Provider: "laravel", Claims: map[string]any{
			"role": "teacher", "tenant_id": "t1", "scopes": []any{"agents:read", "agents:support:run"},
		}}
}

func TestDecideAllocatesNothingOnTheWayToOK(t *testing.T) {
	p := compile(t, agno)
	line, header, who := allowedRun()
	allocations := testing.AllocsPerRun(100, func() {
		if got := p.Decide(p.Route(line), header, who); got.Reason != policy.OK {
			t.Fatalf("Decide = %+v, want ok", got)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for an allowed request, want none", allocations)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := compile(b, agno)
	line, header, who := allowedRun()
	b.ReportAllocs()
	for b.Loop() {
		if p.Decide(p.Route(line), header, who).Reason != policy.OK {
			b.Fatal("refused")
		}
	}
}

// pathModel says what a path of a rule means, the long way round.
func pathModel(t *testing.T, m policy.PathMatch) *regexp.Regexp {
	t.Helper()
	value := strings.TrimSuffix(m.Value, "/")
	quoted := regexp.QuoteMeta(value)
	switch m.Type {
	case policy.PathPrefix:
		quoted += `(/.*)?`
	case policy.PathTemplate:
		quoted = regexp.MustCompile(`\\\{[A-Za-z_][A-Za-z0-9_]*\\\}`).ReplaceAllString(quoted, `[^/]+`)
	}
	return regexp.MustCompile(`(?s)\A` + quoted + `/?\z`)
}

// FuzzPaths holds the matching of paths against regular expressions.
func FuzzPaths(f *testing.F) {
	for _, seed := range [][2]string{{"/agents", "/agents/"}, {"/agents/{id}/runs", "/agents/a%20b/runs?x"}, {"/", "/x"}, {"/a/", "/a"}, {"/public", "/publicx"}, {"/{x}", "/"}, {"/{x}/{y}/", "/a/b"}} {
		for kind := range byte(3) {
			f.Add(kind, seed[0], seed[1])
		}
	}
	kinds := []string{policy.PathExact, policy.PathPrefix, policy.PathTemplate}
	f.Fuzz(func(t *testing.T, kind byte, value, target string) {
		m := policy.PathMatch{Type: kinds[int(kind)%len(kinds)], Value: value}
		p, err := policy.Compile(policy.Spec{Authorization: &policy.Authorization{
			Rules: []policy.Rule{{Name: "r", Operation: &policy.Operation{Paths: []policy.PathMatch{m}}}},
		}})
		if err != nil {
			return
		}
		route := p.Route(policy.RequestLine{Method: "GET", Target: target})
		if route.Reason() != "" {
			return
		}
		got := p.Decide(route, nil, policy.Who{Provider: "a"}).Reason == policy.OK
		if want := pathModel(t, m).MatchString(route.Path()); got != want {
			t.Fatalf("%s %q matches %q: %t, want %t", m.Type, m.Value, route.Path(), got, want)
		}
	})
}
