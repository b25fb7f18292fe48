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

// ask is a request and who makes it: "POST /agents/a1/runs", a provider or "key "
// and the client of an API key (none is anonymous), claims in JSON and headers as "Name: value" lines.
type ask struct {
	request, provider, claims, headers string
}

func (a ask) of(t testing.TB, p *policy.Policy) policy.Decision {
	t.Helper()
	method, target, _ := strings.Cut(a.request, " ")
	who := policy.Who{Anonymous: a.provider == "", Provider: a.provider}
	if client, ok := strings.CutPrefix(a.provider, "key "); ok {
		who.Provider, who.Client = "", client
	}
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
		"anonymous with an API key":      {Anonymous: true, Client: "crm"},
		"a token and an API key at once": {Provider: "laravel", Client: "crm"},
		"all three at once":              {Anonymous: true, Provider: "laravel", Client: "crm"},
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
