package sidecar

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cookiePolicy takes tokens from the cookie `session` too.
var cookiePolicy = strings.Replace(testPolicy, "  jwt:\n", "  jwt:\n    extractFrom: {headers: [{name: Authorization, valuePrefix: \"Bearer \"}, {name: Cookie, valuePrefix: session=}]}\n", 1)

func TestTokensInCookies(t *testing.T) {
	g := start(t, setup{policy: cookiePolicy})
	text := teacher(t)
	page, foreign := []string{"Origin", appOrigin}, []string{"Origin", "https://evil.example"}
	for name, c := range map[string]struct {
		method string
		header []string
		cookie []string
		status int
		reason string
		agent  []string // the Cookie lines that the agent gets
	}{
		"alone":                                {"GET", nil, []string{"session=" + text}, 200, "ok", nil},
		"between others":                       {"GET", nil, []string{"a=1; session=" + text + ";b=2"}, 200, "ok", []string{"a=1; b=2"}},
		"whose name ends another's":            {"GET", nil, []string{"my-session=x; session=" + text + "; sessions=y"}, 200, "ok", []string{"my-session=x; sessions=y"}},
		"under another name":                   {"GET", nil, []string{"token=" + text}, 401, "missing_credential", nil},
		"in other letter case":                 {"GET", nil, []string{"Session=" + text}, 401, "missing_credential", nil},
		"with nothing in it":                   {"GET", nil, []string{"session="}, 401, "missing_credential", nil},
		"with a wrong token":                   {"GET", nil, []string{"session=a.b.c"}, 401, "malformed_token", nil},
		"in quotes":                            {"GET", nil, []string{`session="` + text + `"`}, 401, "malformed_token", nil},
		"twice":                                {"GET", nil, []string{"session=" + text + "; session=" + text}, 400, "ambiguous_credentials", nil},
		"in two lines":                         {"GET", nil, []string{"session=" + text, "session=" + text}, 400, "ambiguous_credentials", nil},
		"twice for lenient readers":            {"GET", nil, []string{"session=" + text + "; a=b, session =x"}, 400, "ambiguous_credentials", nil},
		"twice in one pair":                    {"GET", nil, []string{"session=x session=" + text}, 400, "ambiguous_credentials", nil},
		"alone, found by lenient readers only": {"GET", nil, []string{":session=" + text}, 400, "ambiguous_credentials", nil},
		"alone, with a blank behind its name":  {"GET", nil, []string{"session =" + text}, 400, "ambiguous_credentials", nil},
		"alone, behind a comma":                {"GET", nil, []string{"a=b,session=" + text}, 400, "ambiguous_credentials", nil},
		"beside an Authorization header":       {"GET", []string{"Authorization", bearer(text)}, []string{"session=" + text}, 400, "ambiguous_credentials", nil},
		"beside the header, other cookies":     {"GET", []string{"Authorization", bearer(text)}, []string{"a=1"}, 200, "ok", []string{"a=1"}},
		"by a page, to change something":       {"POST", page, []string{"session=" + text}, 200, "ok", nil},
		"by a foreign page, to change":         {"POST", foreign, []string{"session=" + text}, 403, "origin_denied", nil},
		"by nobody knows, to change":           {"POST", nil, []string{"session=" + text}, 403, "origin_denied", nil},
		"by the opaque origin, to delete":      {"DELETE", []string{"Origin", "null"}, []string{"session=" + text}, 403, "origin_denied", nil},
		"by two origins":                       {"PUT", append(page, foreign...), []string{"session=" + text}, 403, "origin_denied", nil},
		"by a page, with a method of its own":  {"M-SEARCH", foreign, []string{"session=" + text}, 403, "origin_denied", nil},
		"by a foreign page, to read":           {"GET", foreign, []string{"session=" + text}, 200, "ok", nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.agent.requests())
			header := c.header
			for _, line := range c.cookie {
				header = append(slices.Clip(header), "Cookie", line)
			}
			got := g.do(c.method, "/x", nil, header...)
			if got.status != c.status {
				t.Fatalf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			await(t, "the record", func() bool {
				record := g.logs.find("request")
				return record != nil && record["reason"] == c.reason
			})
			if passed := len(g.agent.requests()) - before; (passed == 1) != (c.status == 200) {
				t.Fatalf("%d requests reached the agent", passed)
			}
			if c.status != 200 {
				return
			}
			if diff := cmp.Diff(c.agent, g.agent.last(t).Header["Cookie"]); diff != "" {
				t.Errorf("cookies of the agent (-want +got)\n%s", diff)
			}
		})
	}
	if strings.Contains(g.logs.String(), text[len(text)-20:]) {
		t.Error("a token is in the log")
	}
}

// A cookie that nobody looked at does not reach the agent either.
func TestCookiesOfExemptRequestsAreStripped(t *testing.T) {
	for name, policy := range map[string]string{"": cookiePolicy, "Always": strings.Replace(cookiePolicy, "  jwt:\n", "  jwt:\n    forward: Always\n", 1)} {
		g := start(t, setup{policy: policy})
		g.do("GET", "/health", nil, "Cookie", "a=1; session=x.y.z; b=session=x; session\xa0=x; session\"=x; \u3000session\u2003=x")
		if got := g.agent.last(t).Header["Cookie"]; len(got) != 1 || got[0] != "a=1" {
			t.Errorf("forward %s: cookies %q, want a=1 alone", name, got)
		}
	}
}

// Browsers send cookies with the handshakes of every page.
func TestCookiesOpenWebSocketsForListedPagesOnly(t *testing.T) {
	g := start(t, setup{policy: cookiePolicy, agent: echo})
	cookie := []string{"Cookie", "session=" + teacher(t)}
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"a listed page":  {append(cookie, "Origin", appOrigin), 101},
		"another page":   {append(cookie, "Origin", "https://evil.example"), 403},
		"without origin": {cookie, 403},
	} {
		if _, _, got := g.handshake("", c.header...); got.status != c.status {
			t.Errorf("%s: %d, want %d", name, got.status, c.status)
		}
	}
}

// The origin * allows pages to read; it names none that a cookie could speak for.
func TestCookiesWithEveryOrigin(t *testing.T) {
	policy := strings.Replace(cookiePolicy, `["https://app.example"], allowCredentials: true`, `["*"]`, 1)
	g := start(t, setup{policy: policy})
	for _, origin := range []string{appOrigin, "*"} {
		if got := g.do("POST", "/x", nil, "Cookie", "session="+teacher(t), "Origin", origin); got.status != 403 {
			t.Errorf("origin %s: %d, want 403", origin, got.status)
		}
	}
}

// protocolPolicy takes tokens from the offered protocols too.
const protocolPolicy = testPolicy + "  webSocket: {tokenSources: [Header, Subprotocol], deferToApp: [/workflows/ws]}\n"

// offers is an agent that selects the protocol chat.v1 when it is offered, and
// shows what it was offered.
var offers = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Offered", strings.Join(r.Header["Sec-Websocket-Protocol"], "|"))
	if strings.Contains(w.Header().Get("X-Offered"), "chat.v1") {
		w.Header().Set("Sec-WebSocket-Protocol", "chat.v1")
	}
	w.Header().Set("X-Auth-Seen", r.Header.Get("X-Auth-Subject")+r.Header.Get("Authorization"))
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	w.WriteHeader(http.StatusSwitchingProtocols)
})

func TestTokensInSubprotocols(t *testing.T) {
	g := start(t, setup{policy: protocolPolicy, agent: offers})
	text := teacher(t)
	for name, c := range map[string]struct {
		header   []string
		status   int
		selected string // by the answer
		offered  string // to the agent
	}{
		"alone":                       {[]string{"Sec-WebSocket-Protocol", "bearer, " + text}, 101, "bearer", ""},
		"before another":              {[]string{"Sec-WebSocket-Protocol", "bearer, " + text + ", chat.v1"}, 101, "chat.v1", "chat.v1"},
		"after another":               {[]string{"Sec-WebSocket-Protocol", "chat.v1,bearer," + text}, 101, "chat.v1", "chat.v1"},
		"before one the agent leaves": {[]string{"Sec-WebSocket-Protocol", "bearer, " + text + ", other"}, 101, "bearer", "other"},
		"in several lines":            {[]string{"Sec-WebSocket-Protocol", "bearer", "Sec-WebSocket-Protocol", text + ", chat.v1"}, 101, "chat.v1", "chat.v1"},
		"with capital letters":        {[]string{"Sec-WebSocket-Protocol", "Bearer, " + text}, 101, "Bearer", ""},
		"without a token":             {[]string{"Sec-WebSocket-Protocol", "bearer"}, 401, "", ""},
		"with a wrong one":            {[]string{"Sec-WebSocket-Protocol", "bearer, a.b.c"}, 401, "", ""},
		"without bearer":              {[]string{"Sec-WebSocket-Protocol", "chat.v1, " + text}, 401, "", ""},
		"twice":                       {[]string{"Sec-WebSocket-Protocol", "bearer, " + text + ", bearer, " + text}, 400, "", ""},
		"beside an Authorization":     {[]string{"Authorization", bearer(text), "Sec-WebSocket-Protocol", "bearer, " + text}, 400, "", ""},
		"a header beside protocols":   {[]string{"Authorization", bearer(text), "Sec-WebSocket-Protocol", "chat.v1"}, 101, "chat.v1", "chat.v1"},
		"a header beside none":        {[]string{"Authorization", bearer(text)}, 101, "", ""},
		"of another origin":           {[]string{"Sec-WebSocket-Protocol", "bearer, " + text, "Origin", "https://evil.example"}, 403, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, got := g.handshake("", c.header...)
			if got.status != c.status {
				t.Fatalf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			if selected := strings.Join(got.header["Sec-Websocket-Protocol"], "|"); selected != c.selected {
				t.Errorf("selected %q, want %q", selected, c.selected)
			}
			if c.status == 101 && (got.header.Get("X-Offered") != c.offered || !strings.HasPrefix(got.header.Get("X-Auth-Seen"), "u-1")) {
				t.Errorf("the agent was offered %q by %q, want %q", got.header.Get("X-Offered"), got.header.Get("X-Auth-Seen"), c.offered)
			}
		})
	}
	if strings.Contains(g.logs.String(), text[len(text)-20:]) {
		t.Error("a token is in the log")
	}
	// An ordinary request has no such place.
	if got := g.do("GET", "/x", nil, "Sec-WebSocket-Protocol", "bearer, "+text); got.status != 401 {
		t.Errorf("without a handshake: %d, want 401", got.status)
	}
}

func TestSubprotocolsAreLookedAtOnlyWherePoliciesSaySo(t *testing.T) {
	text := teacher(t)
	for name, c := range map[string]struct {
		sources             string
		header, subprotocol int
	}{
		"nothing said": {"", 101, 401},
		"headers":      {"  webSocket: {tokenSources: [Header]}\n", 101, 401},
		"subprotocols": {"  webSocket: {tokenSources: [Subprotocol]}\n", 401, 101},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: testPolicy + c.sources, agent: offers})
			if _, _, got := g.handshake("", "Authorization", bearer(text)); got.status != c.header {
				t.Errorf("in the header: %d, want %d", got.status, c.header)
			}
			if _, _, got := g.handshake("", "Sec-WebSocket-Protocol", "bearer, "+text); got.status != c.subprotocol {
				t.Errorf("in the protocols: %d, want %d", got.status, c.subprotocol)
			}
			if got := g.do("GET", "/x", nil, "Authorization", bearer(text)); got.status == 401 {
				t.Error("requests other than handshakes are affected")
			}
		})
	}
}

// An agent that has its own authentication gets a handshake and nothing by
// which it could take the client for anybody.
func TestHandshakesThatTheAgentJudges(t *testing.T) {
	g := start(t, setup{policy: protocolPolicy, agent: offers})
	text := teacher(t)
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", webSocketKey}
	for name, c := range map[string]struct {
		method, target string
		header         []string
		status         int
	}{
		"the path":                  {"GET", "/workflows/ws", upgrade, 101},
		"with a query":              {"GET", "/workflows/ws?x=1", upgrade, 101},
		"with a token, ignored":     {"GET", "/workflows/ws", append(upgrade, "Authorization", bearer(text), "X-Auth-Subject", "root"), 101},
		"with a wrong token":        {"GET", "/workflows/ws", append(upgrade, "Authorization", "Bearer a.b.c"), 101},
		"with one in its protocols": {"GET", "/workflows/ws", append(upgrade, "Sec-WebSocket-Protocol", "bearer, "+text), 101},
		"of an allowed origin":      {"GET", "/workflows/ws", append(upgrade, "Origin", appOrigin), 101},
		"of another origin":         {"GET", "/workflows/ws", append(upgrade, "Origin", "https://evil.example"), 403},
		"with a slash more":         {"GET", "/workflows/ws/", upgrade, 401},
		"another path":              {"GET", "/workflows/wss", upgrade, 401},
		"in other letter case":      {"GET", "/Workflows/ws", upgrade, 401},
		"without a handshake":       {"GET", "/workflows/ws", nil, 401},
		"with half of one":          {"GET", "/workflows/ws", upgrade[:4], 401},
		"of an old version":         {"GET", "/workflows/ws", append(upgrade[:4:4], "Sec-WebSocket-Version", "8", "Sec-WebSocket-Key", webSocketKey), 401},
		"by POST":                   {"POST", "/workflows/ws", upgrade, 401},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(c.method + " " + c.target + " HTTP/1.1\r\nHost: a\r\n")
			for i := 0; i < len(c.header); i += 2 {
				b.WriteString(c.header[i] + ": " + c.header[i+1] + "\r\n")
			}
			if c.status != 101 && len(c.header) < 4 {
				b.WriteString("Connection: close\r\n")
			}
			conn := g.dial()
			if _, err := conn.Write([]byte(b.String() + "\r\n")); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 4096)
			n, err := conn.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			head := string(answer[:n])
			if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Fatalf("want %d, got\n%s", c.status, head)
			}
			if c.status != 101 {
				return
			}
			if seen := g.agent.last(t); seen.Header.Get("Authorization") != "" || seen.Header.Get("X-Auth-Subject") != "" || strings.Contains(strings.Join(seen.Header["Sec-Websocket-Protocol"], ""), text) {
				t.Errorf("the agent got %v", seen.Header)
			}
		})
	}
	await(t, "they are counted", func() bool {
		return g.metric(`gatepost_requests_total{decision="exempt",policy="chat",reason="exempt"}`) == "6"
	})
}
