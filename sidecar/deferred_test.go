package sidecar

import (
	"net/http"
	"strings"
	"testing"
)

// deferredPolicy leaves handshakes to the agent, on two paths that rules deny.
var deferredPolicy = strings.Replace(testPolicy, "    rules:\n", "    rules:\n    - {name: closed, action: Deny, operation: {paths: [{type: Prefix, value: /closed}]}}\n", 1) +
	"  webSocket: {deferToApp: [/workflows/ws, /closed/ws, /admin/ws]}\n"

// What nobody may do is not left to the agent either.
func TestDenyRulesHoldForDeferredHandshakes(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		path   string
		status int
		reason string
	}{
		"no rule about it":               {deferredPolicy, "/workflows/ws", 101, "exempt"},
		"a rule that denies":             {deferredPolicy, "/closed/ws", 403, "rule_denied"},
		"one that denies all but admins": {deferredPolicy, "/admin/ws", 403, "rule_denied"},
		"under Audit":                    {deferredPolicy + "  mode: Audit\n", "/closed/ws", 101, "rule_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: c.policy, agent: offers})
			_, _, got := g.handshakeOn(c.path, "", "Authorization", bearer(teacher(t)))
			if got.status != c.status || (len(g.agent.requests()) > 0) != (c.status == 101) {
				t.Errorf("status %d, want %d; %d requests at the agent", got.status, c.status, len(g.agent.requests()))
			}
			if c.status == 101 {
				return
			}
			if denials := g.decided(); len(denials) != 1 || string(denials[0].Reason) != c.reason || denials[0].Rule == "" {
				t.Errorf("denials %+v, want one for %s with its rule", denials, c.reason)
			}
		})
	}
}

// An agent that has no WebSocket at a deferred path would answer a request that
// nobody judged: only a tunnel or an error comes back.
func TestDeferredHandshakesOpenTunnelsOrFail(t *testing.T) {
	for answered, want := range map[int]int{200: 502, 204: 502, 206: 502, 302: 502, 304: 502, 400: 400, 403: 403, 426: 426, 500: 500, 101: 101} {
		g := start(t, setup{policy: deferredPolicy, agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answered == 101 {
				offers(w, r)
				return
			}
			w.Header().Set("X-Secret", "of the agent")
			w.WriteHeader(answered)
		})})
		_, _, got := g.handshakeOn("/workflows/ws", "")
		if got.status != want || want == 502 && got.header.Get("X-Secret") != "" {
			t.Errorf("the agent answers %d: the client got %d %v, want %d", answered, got.status, got.header, want)
		}
		if answered != 200 {
			continue
		}
		audited := start(t, setup{policy: deferredPolicy + "  mode: Audit\n", agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusFound)
		})})
		if _, _, got := audited.handshakeOn("/workflows/ws", ""); got.status != http.StatusFound {
			t.Errorf("under Audit, which breaks nothing: %d, want 302", got.status)
		}
		if _, _, got := g.handshakeOn("/ws", "", "Authorization", bearer(teacher(t))); got.status != 200 {
			t.Errorf("a handshake that was judged: %d, want 200", got.status)
		}
	}
}
