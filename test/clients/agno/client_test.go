package agno_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
)

// told is what came of the scene client.
type told struct {
	Steps []struct {
		Value any    `json:"value"`
		Error string `json:"error"`
	} `json:"steps"`
	Callbacks int      `json:"callbacks"` // calls of onTokenExpired
	Fetched   int      `json:"fetched"`   // tokens that the back end was asked for after the first
	Errors    []string `json:"errors"`    // events message:error
	Shown     []string `json:"shown"`     // the answer as it grew
}

var (
	good    = map[string]any{"life": 60}
	expired = map[string]any{"life": 60, "age": 120}
	forged  = map[string]any{"forged": true}
)

// client plays steps with a client that begins with the token first.
func (s *stage) client(first map[string]any, steps ...[]string) told {
	s.t.Helper()
	s.forget()
	var got told
	s.scene("client", map[string]any{"endpoint": s.URL, "first": first, "second": good, "steps": steps}, &got)
	return got
}

func step(name ...string) []string { return name }

func TestTheClientInNode(t *testing.T) {
	t.Parallel()
	s := open(t, false)
	s.on("a run is streamed and the agent knows who asks", testStream)
	s.on("a call that refreshes by itself does so once", testRefreshOnce)
	s.on("parallel calls ask twice and the source fetches once", testParallel)
	s.on("a bad signature starts no refresh", testNoRefresh)
	s.on("a token that stays expired is refreshed once and no loop starts", testNoLoop)
	s.on("sendMessage shows the sidecar's words and the way round works", testWayRound)
	s.on("which calls refresh by themselves, and which do not", testWhichRefresh)
	s.on("resumeRun does not refresh", testResume)
	s.on("fetch with the example's token source", testCall)
	s.on("where /health is guarded too, it refreshes for the calls after it", testGuardedHealth)
}

func testStream(s *stage) {
	got := s.client(good, step("initialize"), step("send", "good morning"), step("messages"))
	want := []any{
		map[string]any{"role": "user", "content": "good morning"},
		map[string]any{"role": "agent", "content": "you said: good morning "},
	}
	if diff := cmp.Diff(want, got.Steps[2].Value); diff != "" || len(got.Errors) > 0 {
		s.t.Errorf("messages (-want +got):\n%s\nerrors %v", diff, got.Errors)
	}
	if len(got.Shown) < 4 {
		s.t.Errorf("the answer came in %d pieces, want it to grow: %q", len(got.Shown), got.Shown)
	}
	requests, _ := s.seen()
	for _, r := range requests {
		if r.Path != "/health" && (r.Subject != "u-7" || r.Name != "Zo%C3%AB M%C3%BCller") {
			s.t.Errorf("%s %s reached the agent as %q, %q", r.Method, r.Path, r.Subject, r.Name)
		}
	}
	paths := make([]string, 0, len(requests))
	for _, r := range requests {
		paths = append(paths, r.Method+" "+r.Path)
	}
	for _, path := range []string{"GET /health", "GET /agents", "GET /teams", "POST /agents/echo one/runs"} {
		if !strings.Contains(strings.Join(paths, "\n"), path) {
			s.t.Errorf("%s did not reach the agent: %v", path, paths)
		}
	}
}

func testRefreshOnce(s *stage) {
	got := s.client(expired, step("fetchAgents"), step("fetchAgents"))
	if got.Steps[0].Error != "" || got.Steps[1].Error != "" {
		s.t.Errorf("fetchAgents: %+v, want success", got.Steps)
	}
	if requests, _ := s.seen(); len(requests) != 2 {
		s.t.Errorf("%d requests reached the agent, want the two with the new token: %v", len(requests), requests)
	}
	if got.Callbacks != 1 || got.Fetched != 1 {
		s.t.Errorf("onTokenExpired called %d times, %d tokens fetched; want 1 and 1", got.Callbacks, got.Fetched)
	}
	live.Figure("agno_refreshes_on_expiry", got.Callbacks, "refreshes")
}

func testParallel(s *stage) {
	got := s.client(expired, step("initialize"))
	if got.Steps[0].Error != "" {
		s.t.Errorf("initialize: %s", got.Steps[0].Error)
	}
	if got.Callbacks != 2 || got.Fetched != 1 {
		s.t.Errorf("onTokenExpired called %d times, %d tokens fetched; want 2 and 1", got.Callbacks, got.Fetched)
	}
	live.Figure("agno_parallel_callbacks", got.Callbacks, "calls")
	live.Figure("agno_parallel_refreshes", got.Fetched, "refreshes")
}

func testNoRefresh(s *stage) {
	got := s.client(forged, step("fetchAgents"), step("initialize"), step("sendMessage", "hello"), step("fetchMemories"))
	if got.Steps[0].Error != "Failed to fetch agents" || !strings.HasPrefix(got.Steps[1].Error, "Failed to fetch") {
		s.t.Errorf("%+v, want both to fail", got.Steps)
	}
	if diff := cmp.Diff([]string{"Error: Invalid token"}, got.Errors); diff != "" {
		s.t.Errorf("what the user sees (-want +got):\n%s", diff)
	}
	if got.Callbacks != 0 || got.Fetched != 0 {
		s.t.Errorf("onTokenExpired called %d times, %d tokens fetched; want none", got.Callbacks, got.Fetched)
	}
	if requests, _ := s.seen(); len(requests) != 1 || requests[0].Path != "/health" {
		s.t.Errorf("reached the agent: %v, want only the exempt /health", requests)
	}
	live.Figure("agno_refreshes_on_bad_signature", got.Callbacks, "refreshes")
}

func testNoLoop(s *stage) {
	s.forget()
	var got told
	s.scene("client", map[string]any{"endpoint": s.URL, "first": expired, "second": expired, "steps": [][]string{{"fetchAgents"}}}, &got)
	if got.Steps[0].Error != "Failed to fetch agents" || got.Callbacks != 1 || got.Fetched != 1 {
		s.t.Errorf("%+v, want one refresh and then an error", got)
	}
}

func testWayRound(s *stage) {
	got := s.client(expired, step("sendMessage", "first"), step("refresh"), step("sendMessage", "second"))
	if diff := cmp.Diff([]string{"Error: Token has expired"}, got.Errors); diff != "" {
		s.t.Errorf("what the user sees (-want +got):\n%s", diff)
	}
	if got.Callbacks != 0 {
		s.t.Errorf("sendMessage called onTokenExpired %d times; clients.md and the guide say it does not", got.Callbacks)
	}
	if _, runs := s.seen(); len(runs) != 1 || runs[0].Message != "second" || runs[0].User != "u-7" {
		s.t.Errorf("runs: %+v, want the second only", runs)
	}

	got = s.client(expired, step("send", "once"), step("messages"))
	if got.Steps[0].Error != "" || got.Fetched != 1 || len(got.Steps[1].Value.([]any)) != 2 {
		s.t.Errorf("the example's send: %+v, want success with one refresh, one question and one answer", got)
	}
	got = s.client(expired, step("sendFile", "a file"))
	_, runs := s.seen()
	if got.Steps[0].Error != "" || len(runs) != 1 || fmt.Sprint(runs[0].Files) != "map[note.txt:12]" {
		s.t.Errorf("the example's send with a file: %+v, runs %+v", got, runs)
	}
	got = s.client(forged, step("send", "never"))
	if got.Steps[0].Error != "Error: Invalid token" || got.Fetched != 0 {
		s.t.Errorf("the example's send with a forged token: %+v, want its error and no refresh", got)
	}
}

// refreshing are the calls of the client that refresh by themselves, as the guide
// lists them; others is one of each kind that do not.
var (
	refreshing = [][]string{{"fetchAgents"}, {"fetchTeams"}, {"fetchMetrics"}, {"refreshMetrics"}}
	others     = [][]string{
		{"fetchSessions"},
		{"getSessionById", "s-1"},
		{"renameSession", "s-1", "x"},
		{"fetchMemories"},
		{"getKnowledgeConfig"},
		{"listEvalRuns"},
		{"fetchTraces"},
		{"fetchSchedules"},
		{"fetchApprovals"},
		{"fetchComponents"},
	}
)

func testWhichRefresh(s *stage) {
	var steps [][]string
	for _, call := range refreshing {
		steps = append(steps, step("expire"), call)
	}
	got := s.client(good, steps...)
	if got.Callbacks != len(refreshing) {
		s.t.Errorf("%d calls refreshed of %v", got.Callbacks, refreshing)
	}
	got = s.client(expired, others...)
	for i, call := range others {
		if text := got.Steps[i].Error; !strings.HasPrefix(text, "Failed to ") || !strings.HasSuffix(text, ": Unauthorized") {
			s.t.Errorf("%v: %q, want the client's words for an expired token", call, text)
		}
	}
	if got.Callbacks != 0 {
		s.t.Errorf("%d of %v called onTokenExpired; the guide says that none does", got.Callbacks, others)
	}
}

func testResume(s *stage) {
	var got told
	s.scene("client", map[string]any{"endpoint": s.URL, "first": expired, "second": good, "steps": []any{
		[]any{"resumeRun", map[string]any{"runId": "r-1", "sessionId": "s-1"}},
	}}, &got)
	if diff := cmp.Diff([]string{"Error: Token has expired"}, got.Errors); diff != "" || got.Callbacks != 0 || got.Steps[0].Error != "" {
		s.t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
}

func testCall(s *stage) {
	got := s.client(expired, step("call", "/agents"), step("call", "/agents"))
	if got.Steps[0].Value != 200.0 || got.Steps[1].Value != 200.0 || got.Fetched != 1 {
		s.t.Errorf("%+v, want 200 twice and one refresh", got)
	}
	if got = s.client(forged, step("call", "/agents")); got.Steps[0].Value != 401.0 || got.Fetched != 0 {
		s.t.Errorf("with a forged token: %+v, want 401 and no refresh", got)
	}
}

func testGuardedHealth(s *stage) {
	s.guard("  exemptions:\n  - methods: [GET]\n    path: /health\n", "")
	got := s.client(expired, step("initialize"))
	if got.Steps[0].Error != "" || got.Callbacks != 1 {
		s.t.Errorf("%+v, want one call of onTokenExpired", got)
	}
	got = s.client(forged, step("initialize"))
	if got.Steps[0].Error != "" || fmt.Sprint(got.Steps[0].Value) != "map[agents:[] teams:[]]" {
		s.t.Errorf("with a forged token: %+v, want no error and no agents; the guide says so", got)
	}
}
