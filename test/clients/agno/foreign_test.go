package agno_test

import (
	"net/http"
	"strings"

	"gatepost.dev/gatepost/test/live"
)

// testForeignPage shows that a page of an origin that the policy does not name reads no
// answer, and can have nothing done either. What it can do: a request that needs no
// preflight travels, carries no token, and is refused unread.
func testForeignPage(s *stage) {
	s.on("by the sidecar it reads no answer", testForeign)
	s.on("by the agent's own middleware it would read everything", testForeignWithoutSidecar)
	s.on("the agent's own CORS headers are replaced", testReplaced)
	s.on("in Passthrough the agent's headers count and refusals stay readable", testPassthrough)
}

func testForeign(s *stage) {
	s.forget()
	stolen := bearing(s.token(good)) // whatever way it got it
	stolen["method"] = "POST"
	form := map[string]any{"Content-Type": "application/x-www-form-urlencoded"}
	read, tried := 0, 0
	for name, c := range map[string]struct {
		path string
		init map[string]any
	}{
		"a plain GET":                  {"/agents", nil},
		"a GET of an exempt path":      {"/health", nil},
		"a GET with cookies":           {"/agents", map[string]any{"credentials": "include"}},
		"a form, without preflight":    {"/agents/echo%20one/runs", map[string]any{"method": "POST", "headers": form, "body": "message=x&stream=true"}},
		"a GET with a stolen token":    {"/agents", bearing(s.token(good))},
		"a POST with a stolen token":   {"/agents/echo%20one/runs", stolen},
		"a GET with an expired token":  {"/agents", bearing(s.token(expired))},
		"a DELETE":                     {"/memories", map[string]any{"method": "DELETE"}},
		"a GET with the origin forged": {"/agents", map[string]any{"headers": map[string]any{"Origin": s.pages}}},
	} {
		tried++
		if got := s.fetch("foreign", c.path, c.init); got.Error != "TypeError: Failed to fetch" {
			read++
			s.t.Errorf("%s: the page reads %+v", name, got)
		}
	}
	requests, runs := s.seen()
	for _, r := range requests {
		if r.Authorization != "" || r.Subject != "" || r.Path != "/health" {
			s.t.Errorf("reached the agent: %+v", r)
		}
	}
	if len(runs) > 0 {
		s.t.Errorf("runs of a foreign page: %+v", runs)
	}
	opaque := s.fetch("foreign", "/agents", map[string]any{"mode": "no-cors"})
	if opaque.Status != 0 || opaque.Text != "" {
		s.t.Errorf("with no-cors it reads %+v", opaque)
	}
	live.Figure("foreign_requests_tried", tried, "requests")
	live.Figure("foreign_origin_answers_read", read, "answers")
	live.Figure("foreign_origin_authenticated_requests_at_the_agent", len(runs), "requests")
}

// The twin of testForeign: what the same page can do when nothing stands before the agent.
func testForeignWithoutSidecar(s *stage) {
	bare := *s.Sidecar
	bare.URL = "http://" + s.agent
	twin := *s
	twin.Sidecar = &bare
	for _, path := range []string{"/health", "/agents"} {
		if got := twin.fetch("foreign", path, nil); got.Status != http.StatusOK {
			s.t.Errorf("%s: %+v, so the test above shows nothing", path, got)
		}
	}
}

func testReplaced(s *stage) {
	got := s.fetch("pages", "/agents", bearing(s.token(good)))
	if got.Status != http.StatusOK {
		s.t.Errorf("the page reads %+v", got)
	}
	headers := s.headers("/agents", s.pages)
	if v := headers.Values("Access-Control-Allow-Origin"); len(v) != 1 || v[0] != s.pages {
		s.t.Errorf("Access-Control-Allow-Origin: %q, want %q once", v, s.pages)
	}
	if v := headers.Get("Access-Control-Allow-Credentials"); v != "" {
		s.t.Errorf("Access-Control-Allow-Credentials is the agent's %q", v)
	}
	for name := range s.headers("/agents", s.foreign) {
		if strings.HasPrefix(name, "Access-Control-Allow") {
			s.t.Errorf("%s for a foreign origin", name)
		}
	}
}

// headers are those of an answer to a request with a token and an Origin.
func (s *stage) headers(path, origin string) http.Header {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Authorization", "Bearer "+s.token(good))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Header
}

func testPassthrough(s *stage) {
	s.guard("    allowOrigins:", "    mode: Passthrough\n    allowOrigins:")
	if got := s.fetch("pages", "/agents", bearing(s.token(good))); got.Status != http.StatusOK {
		s.t.Errorf("the page reads %+v", got)
	}
	s.wants(s.fetch("pages", "/agents", bearing(s.token(expired))), 401, "Token has expired")
	if v := s.headers("/agents", s.pages).Values("Access-Control-Allow-Origin"); len(v) != 1 {
		s.t.Errorf("Access-Control-Allow-Origin: %q, want the agent's alone", v)
	}
	// The preflight is the sidecar's, so a foreign page still sends no token.
	if got := s.fetch("foreign", "/agents", bearing(s.token(good))); got.Error == "" {
		s.t.Errorf("a foreign page reads %+v", got)
	}
}
