package policy

import "strings"

// agnoV2 is what AgentOS of Agno 2.9 asks for, route by route: methods, paths,
// and after the arrow all that is needed. F stands for agents, teams and
// workflows in turn, {id} for the one that is asked for, a trailing /** for a
// path and all below it. The first line that is about a request decides.
//
//	public     no credential, where the rule says anonymous; any principal elsewhere
//	verified   any principal
//	admin      agent_os:admin
//	x:read     x:read, x:*:read or agent_os:admin
//	x:{id}:run the same, or x:<id>:run
//
// What AgentOS leaves to later and the guard cannot see is asked of an admin: the
// agent that the body of /a2a/message names, the tools called through /mcp.
const agnoV2 = `
GET / /health /info -> public
POST /slack/events /slack/interactions /telegram/webhook /whatsapp/webhook -> public
GET /telegram/status /whatsapp/status /whatsapp/webhook -> public
GET /status -> verified
GET /workflows/ws -> workflows:run
POST /agui -> agents:run
GET /F -> F:read
POST /F -> F:write
GET /F/{id} -> F:{id}:read
PATCH /F/{id} -> F:write
DELETE /F/{id} -> F:delete
GET /F/{id}/runs /F/{id}/runs/{run} -> F:{id}:read F:{id}:run
GET /F/{id}/runs/{run}/checkpoints /F/{id}/runs/{run}/checkpoints/{message} -> F:{id}:read F:{id}:run
POST /F/{id}/runs /F/{id}/runs/{run}/continue /F/{id}/runs/{run}/cancel /F/{id}/runs/{run}/resume -> F:{id}:run
POST /F/{id}/sessions/{session}/fork -> F:{id}:run
GET /a2a/F/{id}/.well-known/agent-card.json -> F:{id}:read
POST /a2a/F/{id}/v1/tasks:get -> F:{id}:read
POST /a2a/F/{id}/v1/message:send /a2a/F/{id}/v1/message:stream /a2a/F/{id}/v1/tasks:cancel -> F:{id}:run
POST /a2a/message/send /a2a/message/stream -> admin
GET POST DELETE /mcp -> admin
GET /sessions/** -> sessions:read
POST PATCH /sessions/** -> sessions:write
DELETE /sessions/** -> sessions:delete
GET /memories/** /memory_topics /user_memory_stats -> memories:read
POST PATCH /memories/** /optimize-memories -> memories:write
DELETE /memories/** -> memories:delete
POST /knowledge/search -> knowledge:read
GET /knowledge/** -> knowledge:read
POST PATCH /knowledge/** -> knowledge:write
DELETE /knowledge/** -> knowledge:delete
GET /learnings/** -> learnings:read
POST PATCH /learnings/** -> learnings:write
DELETE /learnings/** -> learnings:delete
GET /eval-runs/** -> evals:read
POST PATCH /eval-runs/** -> evals:write
DELETE /eval-runs/** -> evals:delete
GET /schedules/** -> schedules:read
POST PATCH /schedules/** -> schedules:write
DELETE /schedules/** -> schedules:delete
GET /approvals/** -> approvals:read
POST PATCH /approvals/** -> approvals:write
DELETE /approvals/** -> approvals:delete
GET /components/** -> components:read
POST PATCH /components/** -> components:write
DELETE /components/** -> components:delete
GET /service-accounts/** -> service_accounts:read
POST PATCH /service-accounts/** -> service_accounts:write
DELETE /service-accounts/** -> service_accounts:delete
GET /traces/** /trace_session_stats -> traces:read
POST /traces/search -> traces:read
GET /metrics /metrics/refresh/status -> metrics:read
POST /metrics/refresh -> metrics:write
GET /config /models -> config:read
POST /databases/** -> config:write
GET /registry -> registry:read
`

// agnoAdmin grants everything that a line asks for.
const agnoAdmin = "agent_os:admin"

// newPreset is a rule with a preset, checked and with its defaults, as ordinary
// rules: operations and scopes are the preset's, all else is the rule's own. The
// rules of one preset carry the same group.
func newPreset(r *Rule, group int) []rule {
	var out []rule
	for line := range strings.Lines(strings.TrimSpace(agnoV2)) {
		families := []string{""}
		if strings.Contains(line, "/F") {
			families = []string{"agents", "teams", "workflows"}
		}
		for _, family := range families {
			if one, ok := newPresetRule(r, strings.ReplaceAll(line, "F", family)); ok {
				one.group = group
				out = append(out, one)
			}
		}
	}
	return out
}

// newPresetRule compiles one line; false for one that the rule does not open.
func newPresetRule(r *Rule, line string) (rule, bool) {
	operation, needs, _ := strings.Cut(strings.TrimSpace(line), " -> ")
	public := needs == "public"
	if r.Principal != nil && r.Principal.Anonymous && !public {
		return rule{}, false
	}
	out := newRule(&Rule{Name: r.Name, Action: ActionAllow, Operation: readOperation(operation), Principal: r.Principal})
	if public || needs == "verified" {
		return out, true
	}
	if out.principal == nil {
		out.principal = &principal{}
	}
	for i := range out.paths {
		n, _ := out.paths[i].binds("id")
		out.paths[i].at = []int{n}
	}
	for need := range strings.FieldsSeq(needs) {
		out.principal.scopes = append(out.principal.scopes, newAgnoScope(need))
	}
	return out, true
}

// readOperation reads "GET POST /a /b/{c} /d/**".
func readOperation(text string) *Operation {
	o := &Operation{}
	for word := range strings.FieldsSeq(text) {
		prefix, below := strings.CutSuffix(word, "/**")
		switch {
		case word[0] != '/':
			o.Methods = append(o.Methods, Method(word))
		case below:
			o.Paths = append(o.Paths, PathMatch{Type: PathPrefix, Value: prefix})
		case strings.Contains(word, "{"):
			o.Paths = append(o.Paths, PathMatch{Type: PathTemplate, Value: word})
		default:
			o.Paths = append(o.Paths, PathMatch{Type: PathExact, Value: word})
		}
	}
	return o
}

// newAgnoScope is what AgentOS makes of one needed scope. The narrowest one is
// what a challenge offers. Older tokens say system for config.
func newAgnoScope(need string) scopeTest {
	claim, _ := newClaimRef("scopes")
	test := scopeTest{claims: []claimRef{claim}, anyOf: agnoPatterns(agnoAdmin), offered: agnoPatterns(need)}
	if need == "admin" {
		test.offered = test.anyOf
		return test
	}
	resource, action, _ := strings.Cut(strings.Replace(need, ":{id}", "", 1), ":")
	grants := []string{need, resource + ":" + action, resource + ":*:" + action}
	if resource == "config" {
		grants = append(grants, "system:"+action, "system:*:"+action)
	}
	test.anyOf = append(test.anyOf, agnoPatterns(grants...)...)
	return test
}

// agnoPatterns compiles scopes whose variable is the rule's only one. A colon in
// it would change what AgentOS reads, so such an id has no scope of its own.
func agnoPatterns(texts ...string) []textPattern {
	out := newTextPatterns(texts, []string{"id"})
	for _, pattern := range out {
		for i := range pattern {
			pattern[i].whole = pattern[i].variable
		}
	}
	return out
}
