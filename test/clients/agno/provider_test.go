package agno_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// view is what the visitor of the example's page sees.
type view struct {
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	Alert   string   `json:"alert"`
	Console []string `json:"console"`
}

// visit opens the example's page, whose agent is at endpoint, and closes it with the test.
func (s *stage) visit(endpoint string) {
	s.t.Helper()
	s.scene("open", map[string]any{"endpoint": endpoint}, nil)
	s.t.Cleanup(func() { s.scene("close", map[string]any{}, nil) })
}

// say types and sends a message, and waits for an answer with the text until.
func (s *stage) say(text, until string) {
	s.t.Helper()
	s.scene("ask", map[string]any{"text": text, "until": until}, nil)
}

func (s *stage) view() view {
	s.t.Helper()
	var v view
	s.scene("view", map[string]any{}, &v)
	return v
}

func TestTheReactProviderInChromium(t *testing.T) {
	t.Parallel()
	s := open(t, true)
	s.on("a page of another origin streams an answer and preflights need no token", testPage)
	s.on("an expired token is refreshed before it is missed", testFreshBefore)
	s.on("a token that the sidecar calls expired is refreshed once and the message sent again", testResend)
	s.on("parallel calls of a page without a token source ask the back end twice", testParallelInPage)
	s.on("a page whose session ended says so", testSignedOut)
	s.on("an inline config brings the old token back", testInlineConfig)
}

func testPage(s *stage) {
	s.forget()
	s.backend(nil)
	before := s.count(`gatepost_cors_preflights_total{result="allowed"}`)
	wire := newTap(s.t, s.Address)
	s.visit("http://" + wire.address)
	s.say("good morning", "you said: good morning")
	s.scene("idle", map[string]any{}, nil)
	if got := s.view(); got.Alert != "" || len(got.Console) > 0 {
		s.t.Errorf("the page shows %q, its console %v", got.Alert, got.Console)
	}
	preflights, withToken, simple := 0, 0, 0
	for _, r := range wire.requests() {
		switch {
		case r.Method != http.MethodOptions:
			simple++
		case r.Header.Get("Authorization") != "":
			withToken++
			fallthrough
		default:
			preflights++
		}
	}
	if counted := s.count(`gatepost_cors_preflights_total{result="allowed"}`) - before; preflights == 0 || counted != preflights {
		s.t.Errorf("%d preflights on the wire, the sidecar counted %d", preflights, counted)
	}
	reached := 0
	requests, _ := s.seen()
	for _, r := range requests {
		if r.Method == http.MethodOptions {
			reached++
		}
		if r.Origin != s.pages {
			s.t.Errorf("%s %s came from %q", r.Method, r.Path, r.Origin)
		}
	}
	if reached != 0 || withToken != 0 || len(requests) != simple {
		s.t.Errorf("%d preflights reached the agent, %d carried a token; of %d requests %d arrived", reached, withToken, simple, len(requests))
	}
	live.Figure("preflights", preflights, "requests")
	live.Figure("preflights_with_token", withToken, "requests")
	live.Figure("preflights_that_reached_the_agent", reached, "requests")
}

func testFreshBefore(s *stage) {
	s.backend(map[string]any{"life": 6})
	before := s.expiries()
	s.visit(s.URL)
	s.say("one", "you said: one")
	_, expires := s.asked()
	time.Sleep(time.Until(expires) + time.Second)
	s.say("two", "you said: two")
	s.scene("idle", map[string]any{}, nil)
	if got := s.view(); got.Alert != "" || len(got.Messages) != 4 {
		s.t.Errorf("the page shows %+v", got)
	}
	if after := s.expiries(); after != before {
		s.t.Errorf("%d requests refused as expired, before %d; want none more", after, before)
	}
	if asked, _ := s.asked(); asked < 2 {
		s.t.Errorf("the back end was asked %d times", asked)
	}
}

// testResend plays a back end that hands out tokens from a cache, or a laptop that
// slept: the page takes its token for good, and the sidecar does not.
func testResend(s *stage) {
	s.backend(map[string]any{"life": 60, "age": 55})
	s.visit(s.URL)
	_, expires := s.asked()
	time.Sleep(time.Until(expires) + time.Second)
	s.backend(nil)
	s.forget()
	before := s.expiries()
	s.say("two", "you said: two")
	s.scene("idle", map[string]any{}, nil)
	asked, _ := s.asked()
	if asked != 1 || s.expiries() != before+1 {
		s.t.Errorf("the back end was asked %d times more, %d requests refused; want one each", asked, s.expiries()-before)
	}
	if _, runs := s.seen(); len(runs) != 1 || runs[0].End != "completed" {
		s.t.Errorf("runs: %+v, want one", runs)
	}
	if got := s.view(); got.Alert != "" || len(got.Messages) != 2 {
		s.t.Errorf("the page shows %+v", got)
	}
	live.Figure("agno_refreshes_in_the_browser", asked, "refreshes")
}

func testSignedOut(s *stage) {
	s.backend(map[string]any{"signedIn": false})
	s.scene("open", map[string]any{"endpoint": s.URL, "await": "alert"}, nil)
	s.t.Cleanup(func() { s.scene("close", map[string]any{}, nil) })
	if got := s.view(); got.Alert != "Please sign in again" {
		s.t.Errorf("the page shows %+v", got)
	}
}

// bare opens the page whose config is made anew at each render, and returns what runs
// JavaScript there.
func (s *stage) bare(set map[string]any) func(expression string) any {
	s.t.Helper()
	s.backend(set)
	s.scene("open", map[string]any{"endpoint": s.URL, "path": "inline"}, nil)
	s.t.Cleanup(func() { s.scene("close", map[string]any{}, nil) })
	return func(expression string) (result any) {
		s.t.Helper()
		s.scene("run", map[string]any{"expression": expression}, &result)
		return result
	}
}

func testParallelInPage(s *stage) {
	run := s.bare(map[string]any{"life": 60, "age": 120})
	s.backend(nil)
	if got := run(`client.initialize().then(({ agents }) => agents.length)`); got != 1.0 {
		s.t.Errorf("agents: %v, want one", got)
	}
	if asked, _ := s.asked(); asked != 2 {
		s.t.Errorf("the back end was asked %d times, want twice: the guide says so", asked)
	}
}

func testInlineConfig(s *stage) {
	run := s.bare(map[string]any{"life": 60, "age": 120})
	s.backend(nil)
	run(`client.fetchAgents().then(() => 0)`)
	if run(`client.getConfig().authToken === firstToken`) == true {
		s.t.Error("fetchAgents refreshed, and the client has the first token")
	}
	s.scene("press", map[string]any{"name": "Render"}, nil)
	s.scene("labelled", map[string]any{"text": "rendered 2 times"}, nil)
	if run(`client.getConfig().authToken === firstToken`) != true {
		s.t.Error("after a render the client kept its token: the provider has changed, and the guide with it")
	}
}

// expiries counts the requests that the sidecar refused because of an expired token.
func (s *stage) expiries() int {
	s.t.Helper()
	return s.count(`gatepost_requests_total{decision="deny",policy="chat",reason="expired"}`)
}

// count is a counter of the sidecar, zero without it.
func (s *stage) count(series string) int {
	s.t.Helper()
	text := s.Metric(series)
	n, err := strconv.Atoi(text)
	if err != nil && text != "" {
		s.t.Fatal(err)
	}
	return n
}
