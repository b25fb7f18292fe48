package sidecar

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever guesses keys is held back; who has one is not, from the same address.
func TestGuessingAPIKeysIsHeldBack(t *testing.T) {
	crm := newKey(t)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, "") + "  limits: {rejections: {rate: 1/m, burst: 3}}\n" + keyDocument("crm", "", crm)})
	var got []int
	for range 5 {
		got = append(got, g.do("GET", "/", nil, "X-API-Key", newKey(t).Reveal()).status)
	}
	if want := "[401 401 401 429 429]"; fmt.Sprint(got) != want {
		t.Errorf("guesses are answered %v, want %s", got, want)
	}
	if reply := g.do("GET", "/", nil, "X-API-Key", crm.Reveal()); reply.status != 200 {
		t.Errorf("the client's own key is answered %d", reply.status)
	}
	if reply := g.do("GET", "/", nil, "X-API-Key", crm.Reveal(), "X-API-Key", crm.Reveal()); reply.status != 429 {
		t.Errorf("two keys are answered %d", reply.status)
	}
}

// Under Audit a wrong key is counted and goes on as nobody's, and is not shown
// to the agent though verified keys are.
func TestAWrongAPIKeyUnderAudit(t *testing.T) {
	crm, stranger := newKey(t), newKey(t)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, ", sanitize: false") + "  mode: Audit\n" + keyDocument("crm", "", crm)})
	lies := []string{"X-Auth-Client", "root"}
	if got := g.do("GET", "/", nil, append(lies, "X-API-Key", stranger.Reveal())...); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	seen := g.agent.last(t).Header
	if seen.Get("X-Api-Key") != "" || seen.Get("X-Auth-Client") != "" {
		t.Errorf("the agent got %q", seen)
	}
	if got := g.metric(`gatepost_requests_total{decision="audit_deny",policy="chat",reason="api_key_invalid"}`); got != "1" {
		t.Errorf("audit_deny = %q", got)
	}
	if got := g.do("GET", "/", nil, append(lies, "X-API-Key", crm.Reveal())...); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if seen := g.agent.last(t).Header; seen.Get("X-Api-Key") != crm.Reveal() || seen.Get("X-Auth-Client") != "crm" {
		t.Errorf("the agent got %q of a verified client", seen)
	}
	if got := g.do("GET", "/", nil, "X-API-Key", crm.Reveal(), "X-API-Key", crm.Reveal()); got.status != 400 {
		t.Errorf("what is ambiguous goes on under Audit: %d", got.status)
	}
}

// A program may open a WebSocket with a key; the agent does not see it.
func TestAWebSocketWithAnAPIKey(t *testing.T) {
	crm := newKey(t)
	g := start(t, setup{agent: echo, policy: fmt.Sprintf(keyPolicy, "") + keyDocument("crm", "", crm)})
	if _, _, got := g.handshake("", "X-API-Key", crm.Reveal()); got.status != 101 {
		t.Errorf("%d %s", got.status, got.body)
	}
	seen := g.agent.last(t).Header
	if seen.Get("X-Auth-Client") != "crm" || seen.Get("X-Api-Key") != "" {
		t.Errorf("the agent got %q", seen)
	}
	if _, _, got := g.handshake("", "X-API-Key", newKey(t).Reveal()); got.status != 401 || !strings.Contains(got.body, "Invalid API key") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, _, got := g.handshake(""); got.status != 401 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
