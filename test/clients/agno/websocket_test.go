package agno_test

import (
	"strings"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
)

// socket is what a page's WebSocket came to.
type socket struct {
	Opened   bool     `json:"opened"`
	Protocol string   `json:"protocol"` // selected in the handshake
	Got      []string `json:"got"`
	Code     int      `json:"code"` // of the end; 1006 when there was no handshake
	Reason   string   `json:"reason"`
	Console  []string `json:"console"`
}

// dial lets a page open a WebSocket.
func (s *stage) dial(args map[string]any) socket {
	s.t.Helper()
	if _, ok := args["from"]; !ok {
		args["from"] = "pages"
	}
	path, ok := args["path"].(string)
	if !ok {
		path = "/ws"
	}
	args["url"] = strings.Replace(s.URL, "http:", "ws:", 1) + path
	var got socket
	s.scene("socket", args, &got)
	return got
}

func testWebSockets(s *stage) {
	s.guard("  exemptions:", "  webSocket: {tokenSources: [Header, Subprotocol], deferToApp: [/workflows/ws]}\n  exemptions:",
		"onTokenExpiry: Continue", "onTokenExpiry: Close")
	s.on("a token among the protocols opens it and is not shown to the agent", testSubprotocol)
	s.on("a foreign page, a page without token and one with a dead token open nothing", testSocketRefused)
	s.on("a path left to the application opens without a token", testDeferred)
	s.on("with Close it ends with its token", testSocketEnds)
}

func testSubprotocol(s *stage) {
	for name, c := range map[string]struct {
		protocols []string
		selected  string
		agent     string // the protocols that the agent was offered
	}{
		"the token alone":     {[]string{"bearer", s.token(good)}, "bearer", ""},
		"and one of its own":  {[]string{"bearer", s.token(good), "chat.v1"}, "chat.v1", "chat.v1"},
		"own protocols first": {[]string{"chat.v1", "bearer", s.token(good)}, "chat.v1", "chat.v1"},
	} {
		s.forget()
		got := s.dial(map[string]any{"protocols": c.protocols, "say": []string{"hello"}, "leaveAfter": 2})
		if !got.Opened || got.Protocol != c.selected || got.Code != 1000 || len(got.Got) != 2 {
			s.t.Errorf("%s: %+v", name, got)
			continue
		}
		if diff := cmp.Diff([]string{`{"subject": "u-7", "protocols": "` + c.agent + `"}`, "hello"}, got.Got); diff != "" {
			s.t.Errorf("%s: messages (-want +got):\n%s", name, diff)
		}
		requests, _ := s.seen()
		for _, r := range requests {
			if r.Method == "WEBSOCKET" && r.Protocols != c.agent {
				s.t.Errorf("%s: the agent was offered %q, want %q", name, r.Protocols, c.agent)
			}
		}
		s.await("the agent learns that the page closed", func() bool {
			requests, _ := s.seen()
			last := requests[len(requests)-1]
			return last.Method == "LEFT" && last.Code == 1000
		})
	}
}

func testSocketRefused(s *stage) {
	s.forget()
	opened := 0
	for name, args := range map[string]map[string]any{
		"a foreign page with a good token": {"from": "foreign", "protocols": []string{"bearer", s.token(good)}},
		"a foreign page without token":     {"from": "foreign", "path": "/workflows/ws", "protocols": []string{}},
		"without token":                    {"protocols": []string{}},
		"with an expired token":            {"protocols": []string{"bearer", s.token(expired)}},
		"with a forged token":              {"protocols": []string{"bearer", s.token(forged)}},
		"with the token in the query":      {"protocols": []string{}, "path": "/ws?access_token=" + s.token(good)},
	} {
		if got := s.dial(args); got.Opened || got.Code != 1006 {
			opened++
			s.t.Errorf("%s: %+v", name, got)
		}
	}
	if requests, _ := s.seen(); len(requests) > 0 {
		s.t.Errorf("reached the agent: %+v", requests)
	}
	live.Figure("foreign_or_tokenless_websockets_opened", opened, "sockets")
}

func testDeferred(s *stage) {
	for text, want := range map[string]struct {
		event string
		code  int // with which the agent closes
	}{
		`{"action": "authenticate", "token": "x.y.z"}`: {`{"event": "authenticated"}`, 1000},
		`{"action": "hello"}`:                          {`{"event": "auth_error"}`, 4401},
	} {
		got := s.dial(map[string]any{"path": "/workflows/ws", "protocols": []string{}, "say": []string{text}})
		if diff := cmp.Diff([]string{want.event}, got.Got); diff != "" || !got.Opened || got.Code != want.code {
			s.t.Errorf("%+v, want the code %d (-want +got):\n%s", got, want.code, diff)
		}
	}
}

func testSocketEnds(s *stage) {
	got := s.dial(map[string]any{"protocols": []string{"bearer", s.token(map[string]any{"life": 5})}})
	if !got.Opened || got.Code != 1008 || got.Reason != "Token has expired" {
		s.t.Errorf("%+v, want the close code 1008 when the token expires", got)
	}
}
