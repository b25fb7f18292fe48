package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/adminport"
)

func TestTargetIsForwardedByteForByte(t *testing.T) {
	g := start(t, setup{})
	for _, target := range []string{
		"/", "/a", "/a/", "/a%41b", "/a%c3%a9", "/a?", "/a?b=%zz&c;d=1&&e", "/a??b", "/a:b@c,d=e+f*g(h)!", "/?%2e%2e/%00", "/~a/$b&c'", "/a?" + strings.Repeat("x=1&", 3000),
	} {
		reply := g.raw("GET " + target + " HTTP/1.1\r\nHost: a.example\r\nAuthorization: " + bearer(teacher(t)) + "\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(reply, "HTTP/1.1 200 ") {
			t.Errorf("%.100s: %.200s", target, reply)
			continue
		}
		if got := g.agent.last(t); got.Target != target || got.Host != "a.example" {
			t.Errorf("sent %.100s for a.example, the agent got %.100s for %s", target, got.Target, got.Host)
		}
	}
}

func TestIdentityBelongsToTheSidecar(t *testing.T) {
	g := start(t, setup{})
	token := mint(t, map[string]any{"sub": 42, "role": "teacher", "email": "zoë@x.example", "name": "100% Zoë", "scope": "a:b c:d", "tenant_id": nil})
	forged := []string{
		"X-Auth-Subject", "X_Auth_Subject", "X-Auth_Subject", "X.Auth.Subject", "x-auth-anything", "X-Auth-Tenant", "X-Gatepost-Decision", "X_Gatepost_Id",
		"X-User-ID", "X_User_Id", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Envoy-Original-Path", "X-HTTP-Method-Override", "X-Method-Override", "X_HTTP_Method",
		"Transfer_Encoding", "Content_Length", "Transfer.Encoding", "Proxy-Authorization", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-IP", "X_Real_IP", "X_Tenant_ID",
	}
	for name, c := range map[string]struct {
		target string
		auth   bool
	}{"with a token": {"/x", true}, "exempt": {"/health", false}, "anonymous": {"/public", false}} {
		for _, connection := range []string{"", "X-Auth-Subject, X-Auth-Roles, X-Forwarded-For, Authorization, X-Tenant-ID"} {
			t.Run(name+" "+connection, func(t *testing.T) {
				header := []string{"X-Keep", "kept"}
				for _, h := range forged {
					header = append(header, h, "evil")
				}
				if c.auth {
					header = append(header, "Authorization", bearer(token))
				}
				if connection != "" {
					header = append(header, "Connection", connection)
				}
				if got := g.do("GET", c.target, nil, header...); got.status != 200 {
					t.Fatalf("%d %s", got.status, got.body)
				}
				got := g.agent.last(t).Header
				for name, values := range got {
					if strings.Contains(strings.Join(values, ""), "evil") {
						t.Errorf("%s: %q reached the agent", name, values)
					}
				}
				want := http.Header{"X-Keep": {"kept"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {g.addr}, "User-Agent": got["User-Agent"], "Accept-Encoding": got["Accept-Encoding"]}
				if c.auth {
					want["Authorization"] = []string{bearer(token)}
					want["X-Auth-Subject"] = []string{"42"}
					want["X-Auth-Email"] = []string{"zo%C3%AB@x.example"}
					want["X-Auth-Name"] = []string{"100%25 Zo%C3%AB"}
					want["X-Auth-Roles"] = []string{`["teacher"]`}
					want["X-Auth-Scopes"] = []string{`["a:b","c:d"]`}
					want["X-Auth-Provider"] = []string{"local"}
					want["X-Auth-Expires"] = got["X-Auth-Expires"]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("headers at the agent (-want +got)\n%s", diff)
				}
			})
		}
	}
}

func TestCredentialsReachTheAgentOnlyAsThePolicySays(t *testing.T) {
	for name, c := range map[string]struct {
		forward, target string
		want            bool
	}{
		"Original, verified":        {"Original", "/x", true},
		"Original, exempt":          {"Original", "/health", false},
		"Strip, verified":           {"Strip", "/x", false},
		"Strip, exempt":             {"Strip", "/health", false},
		"Always, verified":          {"Always", "/x", true},
		"Always, exempt":            {"Always", "/health", true},
		"Original, other scheme":    {"Original", "/public", false},
		"Always, other scheme":      {"Always", "/public", true},
		"Original, decided by rule": {"Original", "/x?a", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: strings.Replace(testPolicy, "  jwt:\n", "  jwt:\n    forward: "+c.forward+"\n", 1)})
			auth := bearer(teacher(t))
			if strings.Contains(name, "scheme") {
				auth = "Basic dTpw"
			}
			if got := g.do("GET", c.target, nil, "Authorization", auth); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if got := g.agent.last(t).Header.Get("Authorization"); (got == auth) != c.want || got != "" && got != auth {
				t.Errorf("the agent got Authorization %q, want it %v", got, c.want)
			}
		})
	}
}

func TestTokensInOtherHeaders(t *testing.T) {
	policy := strings.Replace(testPolicy, "  jwt:\n", "  jwt:\n    extractFrom: {headers: [{name: x-token}, {name: Authorization, valuePrefix: \"Bearer \"}]}\n    claimToHeaders: [{claim: /org/id, header: X-Org}, {claim: email, header: X-Auth-Subject}]\n", 1)
	g := start(t, setup{policy: policy})
	token := mint(t, map[string]any{"role": "teacher", "email": "a@b", "org": map[string]any{"id": 7}})
	if got := g.do("GET", "/x", nil, "X-Token", token, "X_Token", "evil", "X_Org", "evil"); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	h := g.agent.last(t).Header
	if h.Get("X-Token") != token || h["X_token"] != nil || h.Get("X-Org") != "7" || h.Get("X-Auth-Subject") != "a@b" || h["X_org"] != nil {
		t.Errorf("the agent got %v", h)
	}
	if got := g.do("GET", "/x", nil, "X-Token", token, "Authorization", bearer(token)); got.status != 400 {
		t.Errorf("a token in each of two headers: %d, want 400", got.status)
	}
}

func TestForwardedIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	for name, c := range map[string]struct {
		trusted string
		want    http.Header
	}{
		"nobody trusted": {"10.0.0.0/8", http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}}},
		"peer trusted":   {"127.0.0.0/8", http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.2, 127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"www.example"}, "X-Forwarded-Port": {"443"}, "Forwarded": {"for=192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: testPolicy + "  trustedProxies: [" + c.trusted + "]\n"})
			g.do("GET", "/health", nil, "X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "www.example",
				"X-Forwarded-Port", "443", "Forwarded", "for=192.0.2.1", "X-Real-IP", "192.0.2.1", "X_Forwarded_For", "evil", "X-Forwarded-Uri", "/evil", "X-Forwarded-User", "root", "X-Forwarded-Client-Cert", "evil")
			if c.want["X-Forwarded-Host"] == nil {
				c.want["X-Forwarded-Host"] = []string{g.addr}
			}
			got := g.agent.last(t).Header
			for name := range got {
				if !isForwarding(name) {
					delete(got, name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("forwarding headers (-want +got)\n%s", diff)
			}
		})
	}
}

func TestHostOfTheAgent(t *testing.T) {
	g := start(t, setup{policy: testPolicy + "  upstream: {host: Localhost}\n"})
	g.do("GET", "/health", nil, "Host", "www.example")
	_, port, _ := net.SplitHostPort(g.agent.addr())
	if got := g.agent.last(t).Host; got != "localhost:"+port {
		t.Errorf("the agent's host is %s, want localhost:%s", got, port)
	}
}

func TestRequestTrailersAreDropped(t *testing.T) {
	g := start(t, setup{})
	reply := g.raw("POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: " + bearer(teacher(t)) + "\r\nTE: trailers\r\nTrailer: X-Auth-Subject, X-T\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Auth-Subject: evil\r\nX-T: evil\r\n\r\n")
	got := g.agent.last(t)
	if !strings.HasPrefix(reply, "HTTP/1.1 200 ") || got.Body != "abc" || len(got.Trailer) != 0 || got.Header["Trailer"] != nil {
		t.Errorf("%.100s; the agent got %+v", reply, got)
	}
}

// An agent that closes without an answer was perhaps already at work: nothing
// is sent to it a second time.
func TestNothingUnsafeIsSentTwice(t *testing.T) {
	for name, request := range map[string]string{
		"a POST":                                  "POST /x HTTP/1.1\r\nContent-Length: 1\r\n%s\r\na",
		"a POST without a body":                   "POST /x HTTP/1.1\r\nContent-Length: 0\r\n%s\r\n",
		"a POST that claims to be repeatable":     "POST /x HTTP/1.1\r\nContent-Length: 0\r\nIdempotency-Key: 1\r\n%s\r\n",
		"a POST that claims so in another header": "POST /x HTTP/1.1\r\nContent-Length: 0\r\nX-Idempotency-Key: 1\r\n%s\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			closing := false
			g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !closing {
					closing = true // the connection is now one that was used before
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					conn.Close()
				}
			})})
			head := "Host: a\r\nAuthorization: " + bearer(teacher(t)) + "\r\n"
			conn := g.dial()
			in := bufio.NewReader(conn)
			for i, want := range []int{200, 502} {
				if _, err := fmt.Fprintf(conn, request, head); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != want || len(g.agent.requests()) != i+1 {
					t.Errorf("request %d: status %d, the agent got %d requests", i+1, res.StatusCode, len(g.agent.requests()))
				}
			}
		})
	}
}

func TestUpgradesOtherThanWebSocketAreDropped(t *testing.T) {
	g := start(t, setup{})
	key := "dGhlIHNhbXBsZSBub25jZQ=="
	for name, headers := range map[string]string{
		"h2c":                       "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
		"an unknown protocol":       "Connection: Upgrade\r\nUpgrade: foo\r\n",
		"a list of protocols":       "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n",
		"a WebSocket without key":   "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
		"a WebSocket, bad version":  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: " + key + "\r\n",
		"a WebSocket, bad key":      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n",
		"a WebSocket, not upgraded": "Connection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			reply := g.raw("GET /health HTTP/1.1\r\nHost: a\r\n" + strings.Replace(headers, "Connection: Upgrade", "Connection: close, Upgrade", 1) + "\r\n")
			h := g.agent.last(t).Header
			if !strings.HasPrefix(reply, "HTTP/1.1 200 ") || h["Upgrade"] != nil || h["Connection"] != nil || h["Http2-Settings"] != nil {
				t.Errorf("%.60q; the agent got %v", reply, h)
			}
		})
	}
}

func TestAgentsOwnUpgradeIsRefused(t *testing.T) {
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
			time.Sleep(100 * time.Millisecond)
			conn.Close()
		}
	})})
	if got := g.do("GET", "/health", nil); got.status != 502 {
		t.Errorf("an agent that switches unasked: %d, want 502", got.status)
	}
}

func TestBadAnswersOfTheAgent(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
		body   string
	}{
		"two framings":         {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502, `{"detail":"Agent unavailable"}`},
		"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 502, `{"detail":"Agent unavailable"}`},
		"no HTTP":              {"SSH-2.0-OpenSSH\r\n", 502, `{"detail":"Agent unavailable"}`},
		"a very long head":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 8<<20) + "\r\n\r\n", 502, `{"detail":"Agent unavailable"}`},
		"hop-by-hop headers":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\r\nok", 200, "ok"},
		"many interim answers": {strings.Repeat("HTTP/1.1 102 Processing\r\nX: a\r\n\r\n", 100_000), 502, `{"detail":"Agent unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, c.answer)
					conn.Close()
				}
			})})
			got := g.do("GET", "/health", nil)
			if got.status != c.status || got.body != c.body || got.header["X-Hop"] != nil {
				t.Errorf("%d %.100q %v", got.status, got.body, got.header)
			}
		})
	}
}

// An agent that says nothing about its answer's type is not spoken for.
func TestAnswersWithoutATypeStayWithout(t *testing.T) {
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "<html>")
	})})
	if got := g.do("GET", "/health", nil); got.status != 200 || got.header.Values("Content-Type") != nil {
		t.Errorf("%d, Content-Type %q", got.status, got.header.Values("Content-Type"))
	}
}

func TestAgentThatIsGoneWhileDrainingIs503(t *testing.T) {
	g := start(t, setup{noAgent: true})
	if err := adminport.Drain(t.Context(), g.admin); err != nil {
		t.Fatal(err)
	}
	if got := g.do("GET", "/health", nil); got.status != 503 || got.header.Get("Retry-After") != "2" || got.body != `{"detail":"Agent unavailable"}` {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// The agent may listen on either loopback address.
func TestAgentOnTheOtherLoopbackAddress(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("SKIPPED: no IPv6 loopback here: %v", err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := dial(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
