package sidecar

import (
	"strings"
	"testing"
)

// RFC 6455 section 11.3.4 lets a list of protocols have tokens only. What is
// none could be taken for another element by who trims more or cuts elsewhere.
func TestListsOfProtocolsAreTokens(t *testing.T) {
	text := teacher(t)
	protocols := func(list string) []string { return []string{"Sec-WebSocket-Protocol", list} }
	for name, c := range map[string]struct {
		policy string
		path   string
		header []string
		status int
	}{
		"bearer with a no-break space":              {"", "/ws", append(protocols("bearer\xa0, FORGED"), "Authorization", bearer(text)), 400},
		"bearer with one in UTF-8":                  {"", "/ws", append(protocols("bearer\u00a0, FORGED"), "Authorization", bearer(text)), 400},
		"bearer in quotes":                          {"", "/ws", append(protocols(`"bearer", FORGED`), "Authorization", bearer(text)), 400},
		"a blank inside":                            {"", "/ws", append(protocols("bearer FORGED"), "Authorization", bearer(text)), 400},
		"a semicolon inside":                        {"", "/ws", append(protocols("chat;bearer"), "Authorization", bearer(text)), 400},
		"in a second line":                          {"", "/ws", append(protocols("chat.v1"), "Sec-WebSocket-Protocol", "bearer\x85, FORGED", "Authorization", bearer(text)), 400},
		"behind the token":                          {"", "/ws", protocols("bearer, " + text + ", bearer\xa0, FORGED"), 400},
		"on a path that is deferred":                {"", "/workflows/ws", protocols("bearer\xa0, FORGED"), 400},
		"on a path that is exempt":                  {"", "/health", protocols("bearer\xa0, FORGED"), 400},
		"under Audit":                               {"  mode: Audit\n", "/ws", protocols("bearer\xa0, FORGED"), 400},
		"empty elements, RFC 9110 section 5.6.1":    {"", "/ws", protocols(",bearer,, " + text + ","), 101},
		"where protocols are no source, everything": {"header", "/ws", append(protocols("bearer\xa0, FORGED"), "Authorization", bearer(text)), 101},
	} {
		t.Run(name, func(t *testing.T) {
			policy := protocolPolicy + c.policy
			if c.policy == "header" {
				policy = testPolicy
			}
			g := start(t, setup{policy: policy, agent: offers})
			if _, _, got := g.handshakeOn(c.path, "", c.header...); got.status != c.status {
				t.Errorf("status %d, want %d", got.status, c.status)
			}
			if seen := g.agent.requests(); c.status != 101 && len(seen) > 0 {
				t.Errorf("the agent got %v", seen[0].Header)
			}
		})
	}
}

// A token that nobody verified is taken out of the list, wherever it stands.
func TestNoTokenAmongTheProtocolsOfAnAgent(t *testing.T) {
	text := teacher(t)
	lists := map[string]string{ // and what is left for the agent
		"bearer, bearer, " + text:                          "",
		"bearer, bearer, opaque, chat.v1":                  "chat.v1",
		"bearer, bearer, bearer, opaque, chat.v1":          "chat.v1",
		"bearer, opaque, " + text:                          "",
		"bearer, opaque, chat.v1, Bearer, other, v2.a.b":   "chat.v1, v2.a.b",
		text + ", bearer":                                  "",
		"chat.v1, " + text + ", bearer, opaque":            "chat.v1",
		"bearer, x, " + text + ".more.parts, v4.chat.v1.x": "v4.chat.v1.x",
		"v1.chat.example, chat.v1":                         "v1.chat.example, chat.v1",
	}
	for name, c := range map[string]struct{ policy, path string }{
		"deferred": {protocolPolicy, "/workflows/ws"},
		"audited":  {protocolPolicy + "  mode: Audit\n", "/ws"},
		"Always":   {strings.Replace(protocolPolicy, "  jwt:\n", "  jwt:\n    forward: Always\n", 1), "/workflows/ws"},
	} {
		g := start(t, setup{policy: c.policy, agent: offers})
		for list, want := range lists {
			_, _, got := g.handshakeOn(c.path, "", "Sec-WebSocket-Protocol", list)
			refused := name == "audited" && got.status == 400 // more than one token, which Audit refuses too
			if left := got.header.Get("X-Offered"); !refused && (got.status != 101 || left != want) {
				t.Errorf("%s: %s: %d, the agent was offered %q, want %q", name, list, got.status, left, want)
			}
		}
	}
}
