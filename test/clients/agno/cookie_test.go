package agno_test

import (
	"net/http"

	"gatepost.dev/gatepost/test/live"
)

// testCookies has the token where a browser sends it along for whatever page asks: a
// page of another origin on the same site is held back by its Origin alone.
func testCookies(s *stage) {
	s.guard(
		"    providers:", "    extractFrom: {headers: [{name: Authorization, valuePrefix: \"Bearer \"}, {name: Cookie, valuePrefix: session=}]}\n    providers:",
		"  cors:\n", "  cors:\n    allowCredentials: true\n",
		"  exemptions:", "  webSocket: {tokenSources: [Header, Subprotocol]}\n  exemptions:")
	s.on("the front end's page", testOwnCookie)
	s.on("a foreign page", testForeignCookie)
}

// form is a request that needs no preflight and changes something.
var form = map[string]any{
	"method": "POST", "credentials": "include", "body": "message=x&stream=true",
	"headers": map[string]any{"Content-Type": "application/x-www-form-urlencoded"},
}

// visitWith is fetch by a visitor with a session at the agent's host.
func (s *stage) visitWith(cookie, from, path string, init map[string]any) reading {
	s.t.Helper()
	var got reading
	s.scene("fetch", map[string]any{"from": from, "url": s.URL + path, "init": init, "cookie": cookie}, &got)
	return got
}

func testOwnCookie(s *stage) {
	s.forget()
	session := s.token(good)
	include := map[string]any{"credentials": "include"}
	if got := s.visitWith(session, "pages", "/agents", include); got.Status != http.StatusOK {
		s.t.Errorf("GET: %+v", got)
	}
	if got := s.visitWith(session, "pages", "/agents/echo/runs", form); got.Status != http.StatusOK {
		s.t.Errorf("POST: %+v", got)
	}
	s.wants(s.visitWith(session, "pages", "/agents", nil), 401, "Not authenticated")
	s.wants(s.visitWith(s.token(expired), "pages", "/agents", include), 401, "Token has expired")
	if got := s.dial(map[string]any{"protocols": []string{}, "cookie": session, "leaveAfter": 1}); !got.Opened {
		s.t.Errorf("a WebSocket: %+v", got)
	}
	requests, _ := s.seen()
	for _, r := range requests {
		if r.Subject != "u-7" && r.Method != "LEFT" || r.Cookie != "" {
			s.t.Errorf("the agent was told %+v", r)
		}
	}
}

func testForeignCookie(s *stage) {
	s.forget()
	session := s.token(good)
	if got := s.visitWith(session, "foreign", "/agents/echo/runs", form); got.Error == "" {
		s.t.Errorf("POST: the page reads %+v", got)
	}
	if got := s.dial(map[string]any{"from": "foreign", "protocols": []string{}, "cookie": session}); got.Opened {
		s.t.Errorf("a WebSocket: %+v", got)
	}
	requests, _ := s.seen()
	if len(requests) > 0 {
		s.t.Errorf("reached the agent: %+v", requests)
	}
	live.Figure("foreign_changes_by_cookie_at_the_agent", len(requests), "requests")

	// A GET travels with the cookie and is answered: the page may not read it. An
	// agent whose GET routes change something is not safe with cookies.
	if got := s.visitWith(session, "foreign", "/agents", map[string]any{"credentials": "include"}); got.Error == "" {
		s.t.Errorf("GET: the page reads %+v", got)
	}
}
