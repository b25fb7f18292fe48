package policy_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// agnoPreset is the preset as examples/agentos writes it: public routes first.
const agnoPreset = jwt + `
authorization:
  rules:
  - {name: agno-public, preset: agno-v2, principal: {anonymous: true}}
  - {name: agno, preset: agno-v2}
`

// agnoRow is one route of AgentOS and what AgentOS asks for there.
type agnoRow struct {
	method, path string
	gate         string // of its route map
	own          string // of the route's own check on one agent, team or workflow
}

func (r agnoRow) String() string { return r.method + " " + r.path }

func agnoRows(t *testing.T) []agnoRow {
	t.Helper()
	data, err := os.ReadFile("testdata/agno-v2.routes")
	if err != nil {
		t.Fatal(err)
	}
	var rows []agnoRow
	for line := range strings.Lines(string(data)) {
		if line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			t.Fatalf("a route is method, path and two scopes, not %q", line)
		}
		rows = append(rows, agnoRow{f[0], f[1], f[2], f[3]})
	}
	if len(rows) < 140 {
		t.Fatalf("%d routes: the file is not whole", len(rows))
	}
	return rows
}

// caller is a request of one row: the path with its variables filled in, and the
// scopes of a token; nil is no token.
type caller struct {
	path, id string
	scopes   []string
}

var pathVariable = regexp.MustCompile(`\{[a-z_]+\}`)

// callers are requests to a row with everything that could open it, and with
// what looks like it.
func (r agnoRow) callers() []caller {
	var out []caller
	for _, id := range []string{"a1", "a:1", "*"} {
		path := pathVariable.ReplaceAllString(strings.Replace(r.path, "{", "\x00", 1), "7")
		if before, after, ok := strings.Cut(path, "\x00"); ok {
			_, after, _ = strings.Cut(after, "}")
			path = before + id + after
		}
		out = append(out, caller{path, id, nil}, caller{path, id, []string{}})
		var single []string
		for _, resource := range r.resources() {
			for _, action := range []string{"read", "run", "write", "delete"} {
				for _, form := range []string{"%s:%s", "%s:*:%s", "%s:" + id + ":%s", "%s:other:%s", "%s:%s:x", "%s:%sx"} {
					single = append(single, fmt.Sprintf(form, resource, action))
				}
			}
		}
		single = append(single, "agent_os:admin", "agent_os:*:admin", "agent_os:a1:admin", "admin", "*", "*:*", "*:*:*")
		for _, a := range single {
			out = append(out, caller{path, id, []string{a}})
			for _, b := range single {
				if r.own != "-" && strings.HasSuffix(a, ":read") && strings.HasSuffix(b, ":run") {
					out = append(out, caller{path, id, []string{b, a}})
				}
			}
		}
	}
	return out
}

// resources are the names that scopes for the row may begin with.
func (r agnoRow) resources() []string {
	out := []string{"agents", "sessions", "system", "config"}
	for _, scope := range []string{r.gate, r.own} {
		if resource, _, ok := strings.Cut(scope, ":"); ok && !slices.Contains(out, resource) {
			out = append(out, resource)
		}
	}
	return out
}

// agentOS is AgentOS's decision on a request with authorization on, as its
// documentation and its matcher have it; without checks, that of its route map
// alone.
func (r agnoRow) agentOS(c caller, checks bool) bool {
	family := strings.Split(strings.TrimPrefix(r.path, "/a2a"), "/")[1]
	ofFamily := family == "agents" || family == "teams" || family == "workflows"
	switch {
	case r.gate == "public":
		return true
	case c.scopes == nil:
		return false
	case r.method == "GET" && ofFamily && r.path == "/"+family:
		return true // It answers with the ones that the caller may read.
	}
	id := ""
	if ofFamily && strings.Contains(r.path, "{") {
		id = c.id
	}
	return holds(c.scopes, r.gate, id) && (!checks || holds(c.scopes, r.own, id))
}

// holds reports whether a scope covers the needed one; id is what is asked for,
// if the route is about one.
func holds(scopes []string, need, id string) bool {
	if need == "-" {
		return true
	}
	resource, action, _ := strings.Cut(need, ":")
	return slices.ContainsFunc(scopes, func(scope string) bool {
		if scope == "agent_os:admin" {
			return true
		}
		parts := strings.Split(scope, ":")
		if parts[0] == "system" {
			parts[0] = "config"
		}
		switch {
		case len(parts) < 2 || len(parts) > 3 || parts[0] != resource || parts[len(parts)-1] != action:
			return false
		case len(parts) == 2 || parts[1] == "*":
			return true
		}
		return id != "" && parts[1] == id
	})
}

// gatepost is our decision on the same request.
func (r agnoRow) gatepost(p *policy.Policy, c caller) bool {
	who := policy.Who{Anonymous: c.scopes == nil}
	if c.scopes != nil {
		list := make([]any, len(c.scopes))
		for i, s := range c.scopes {
			list[i] = s
		}
		who = policy.Who{Provider: "laravel", Claims: map[string]any{"scopes": list}}
	}
	route := p.Route(policy.RequestLine{Method: r.method, Target: c.path})
	return p.Decide(route, nil, who).Reason == policy.OK
}

func TestAgnoPresetDecidesAsAgentOSDoes(t *testing.T) {
	p := compile(t, agnoPreset)
	looser := 0
	compare := func(checks bool) (equal int, stricter []string) {
		for _, row := range agnoRows(t) {
			differs := false
			for _, c := range row.callers() {
				theirs, ours := row.agentOS(c, checks), row.gatepost(p, c)
				differs = differs || theirs != ours
				if ours && !theirs {
					looser++
					t.Errorf("%s as %s with %q passes; AgentOS refuses it", row, c.path, c.scopes)
				}
			}
			if differs {
				stricter = append(stricter, row.String())
			} else {
				equal++
			}
		}
		return equal, stricter
	}
	equal, stricter := compare(true)
	want := []string{
		"POST /a2a/message/send", "POST /a2a/message/stream", // The body names the agent: admins only.
		"GET /agents", "GET /metrics/refresh/status", "GET /teams", "GET /workflows", // The list comes whole: agents:read.
		"GET /workflows/ws",                    // The handshake needs workflows:run, unless webSocket.deferToApp has the path.
		"GET /mcp", "POST /mcp", "DELETE /mcp", // The body names the tool: admins only.
	}
	if diff := cmp.Diff(want, stricter); diff != "" {
		t.Errorf("routes that are stricter than AgentOS (-want +got):\n%s", diff)
	}
	fmt.Println("figure: agno_rows_equal", equal, "rows")
	fmt.Println("figure: agno_rows_stricter", len(stricter), "rows")

	// Where AgentOS runs with its own authorization off, its route map is all
	// there is to compare with; the checks that its routes make are ours then.
	_, stricter = compare(false)
	for _, row := range agnoRows(t) {
		if row.own != "-" && row.own != row.gate {
			want = append(want, row.String())
		}
	}
	fmt.Println("figure: agno_rows_looser", looser, "requests")
	slices.Sort(want)
	slices.Sort(stricter)
	if diff := cmp.Diff(want, stricter); diff != "" {
		t.Errorf("routes that are stricter than AgentOS's route map (-want +got):\n%s", diff)
	}
}

func TestAgnoPresetOpensEveryRowToItsScope(t *testing.T) {
	p := compile(t, agnoPreset)
	for _, row := range agnoRows(t) {
		c := row.callers()[0]
		c.scopes = []string{}
		for _, scope := range []string{row.gate, row.own} {
			if resource, action, ok := strings.Cut(scope, ":"); ok {
				c.scopes = append(c.scopes, resource+":a1:"+action, resource+":"+action)
			}
		}
		admin := c
		admin.scopes = []string{"agent_os:admin"}
		if !row.gatepost(p, admin) {
			t.Errorf("%s is closed to agent_os:admin", row)
		}
		if strings.HasPrefix(row.path, "/a2a/message") || row.path == "/mcp" || row.path == "/workflows/ws" || row.path == "/metrics/refresh/status" {
			continue
		}
		if !row.gatepost(p, c) {
			t.Errorf("%s is closed to %q", row, c.scopes)
		}
	}
}

func TestAgnoPreset(t *testing.T) {
	decisions{
		{"a scope for one agent", ask{"POST /agents/a1/runs", "laravel", `{"scopes":["agents:a1:run"]}`, ""}, allowed("agno")},
		{"a scope for another agent", ask{"POST /agents/a1/runs", "laravel", `{"scopes":["agents:a2:run"]}`, ""}, short("agno", "agents:a1:run")},
		{"an older name of config", ask{"GET /config", "laravel", `{"scopes":["system:read"]}`, ""}, allowed("agno")},
		{"which is none of another resource", ask{"GET /registry", "laravel", `{"scopes":["system:read"]}`, ""}, short("agno", "registry:read")},
		{"a run is read by who may read and run", ask{"GET /agents/a1/runs/r1", "laravel", `{"scopes":["agents:read","agents:a1:run"]}`, ""}, allowed("agno")},
		{"the scope that lacks is named", ask{"GET /agents/a1/runs/r1", "laravel", `{"scopes":["agents:a1:run"]}`, ""}, short("agno", "agents:a1:read")},
		{"a scope in a text", ask{"POST /agents/a1/runs", "laravel", `{"scopes":"x agents:run"}`, ""}, allowed("agno")},
		{"a scope in another claim", ask{"POST /agents/a1/runs", "laravel", `{"scope":"agents:run"}`, ""}, short("agno", "agents:a1:run")},
		{"an id with a colon has no scope of its own", ask{"POST /agents/a:1/runs", "laravel", `{"scopes":["agents:a:1:run"]}`, ""}, short("agno", "agents:a:1:run")},
		{"the handshake is no workflow by the name of ws", ask{"GET /workflows/ws", "laravel", `{"scopes":["workflows:read","workflows:ws:read"]}`, ""}, short("agno", "workflows:run")},
		{"a search is no write", ask{"POST /knowledge/search", "laravel", `{"scopes":["knowledge:write"]}`, ""}, short("agno", "knowledge:read")},
		{"a route that nobody knows", ask{"POST /agents/a1/erase", "laravel", `{"scopes":["agent_os:admin"]}`, ""}, denied("")},
		{"a method that nobody knows", ask{"PUT /sessions/s1", "laravel", `{"scopes":["agent_os:admin"]}`, ""}, denied("")},
		{"documentation is not opened", ask{"GET /docs", "", "", ""}, nobody},
		{"health is open to everybody", ask{"GET /health", "", "", ""}, allowed("agno-public")},
		{"so are webhooks that check their own secret", ask{"POST /slack/events", "", "", ""}, allowed("agno-public")},
		{"by their method alone", ask{"GET /slack/events", "", "", ""}, nobody},
		{"and not what is beside them", ask{"POST /slack/install", "", "", ""}, nobody},
		{"an API key with its scopes", ask{"POST /teams/t1/runs", "key crm", `{"scopes":["teams:t1:run"]}`, ""}, allowed("agno")},
	}.check(t, strings.TrimPrefix(agnoPreset, jwt))
}

func TestAgnoPresetAloneOpensNothingToNobody(t *testing.T) {
	p := compile(t, jwt+`authorization: {rules: [{name: agno, preset: agno-v2}]}`)
	for _, row := range agnoRows(t) {
		for _, c := range row.callers() {
			if c.scopes == nil && row.gatepost(p, c) {
				t.Errorf("%s passes without a credential", row)
			}
		}
	}
	if (agnoRow{method: "GET", path: "/health"}).gatepost(p, caller{path: "/health", scopes: []string{}}) == false {
		t.Error("a public route is closed to a verified principal")
	}
}

func TestAgnoPresetKeepsTheConditionsOfItsRule(t *testing.T) {
	run := "POST /agents/a1/runs"
	decisions{
		{"all hold", ask{run, "auth", `{"scopes":["agents:run"],"plan":"pro","tenant_id":"t1"}`, "X-Tenant-ID: t1"}, allowed("agno")},
		{"another provider", ask{run, "laravel", `{"scopes":["agents:run"],"plan":"pro","tenant_id":"t1"}`, "X-Tenant-ID: t1"}, denied("")},
		{"another claim", ask{run, "auth", `{"scopes":["agents:run"],"plan":"free","tenant_id":"t1"}`, "X-Tenant-ID: t1"}, denied("")},
		{"another tenant", ask{run, "auth", `{"scopes":["agents:run"],"plan":"pro","tenant_id":"t1"}`, "X-Tenant-ID: t2"}, denied("")},
		{"even where no scope is asked for", ask{"GET /status", "auth", `{"plan":"free","tenant_id":"t1"}`, "X-Tenant-ID: t1"}, denied("")},
		{"a later rule is asked where the preset's is not", ask{run, "laravel", `{"scopes":["agents:run"]}`, "X-Tenant-ID: t2"}, denied("")},
		{"and may allow", ask{"GET /agents", "laravel", `{}`, ""}, allowed("lists")},
	}.check(t, `
authorization:
  rules:
  - {name: agno, preset: agno-v2, principal: {providers: [auth], claims: [{name: plan, values: [pro]}], tenant: {match: {header: X-Tenant-ID}}}}
  - {name: lists, operation: {methods: [GET], paths: [{value: /agents}]}, principal: {providers: [laravel]}}
`)
	p := compile(t, jwt+`authorization: {rules: [{name: agno, preset: agno-v2, principal: {tenant: {match: {header: x-tenant-id}}}}]}`)
	if diff := cmp.Diff([]string{"X-Tenant-Id"}, p.JudgedHeaders()); diff != "" {
		t.Errorf("JudgedHeaders (-want +got):\n%s", diff)
	}
}

func TestDecideAllocatesNothingByAPreset(t *testing.T) {
	p := compile(t, agnoPreset)
	who := policy.Who{Provider: "laravel", Claims: map[string]any{"scopes": []any{"registry:read"}}}
	allocations := testing.AllocsPerRun(100, func() {
		if got := p.Decide(p.Route(policy.RequestLine{Method: "GET", Target: "/registry"}), nil, who); got.Reason != policy.OK {
			t.Fatalf("Decide = %+v, want ok", got)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for an allowed request, want none", allocations)
	}
}

func TestTheExampleOfAgentOSCompiles(t *testing.T) {
	data, err := os.ReadFile("../examples/agentos/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	document, err := manifest.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(document.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if remarks := slices.Concat(policy.Unsupported(document.Spec), p.Warnings()); len(remarks) > 0 {
		t.Errorf("the example has remarks: %q", remarks)
	}
	who := policy.Who{Provider: "backend", Claims: map[string]any{"scopes": []any{"agents:support:run"}}}
	route := p.Route(policy.RequestLine{Method: "POST", Target: "/agents/support/runs"})
	if diff := cmp.Diff(allowed("agno"), p.Decide(route, nil, who)); diff != "" {
		t.Errorf("Decide (-want +got):\n%s", diff)
	}
}

// BenchmarkDecideByAPreset asks for the last line of the preset.
func BenchmarkDecideByAPreset(b *testing.B) {
	p := compile(b, agnoPreset)
	who := policy.Who{Provider: "laravel", Claims: map[string]any{"scopes": []any{"registry:read"}}}
	line := policy.RequestLine{Method: "GET", Target: "/registry"}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(p.Route(line), nil, who)
	}
}
