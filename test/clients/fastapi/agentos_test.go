package fastapi

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

// desk is a stand-in of AgentOS behind the sidecar with examples/agentos.
type desk struct {
	guard *live.Sidecar
	key   token.Key
}

func openDesk(t *testing.T, change func(policy string) string) desk {
	t.Helper()
	policy, err := os.ReadFile("../../../examples/agentos/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.Generate("ES256", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	agent, _ := live.Uvicorn(t, "agentos", "standin:app")
	return desk{key: key, guard: live.Start(t, live.Setup{
		Policy: change(string(policy)), Upstream: agent,
		Keys: map[string][]byte{"agent-tokens/jwks.json": jwks},
	})}
}

// bearer is the header with a token that the key signs.
func (d desk) bearer(t *testing.T, key token.Key, sub string, scopes ...string) string {
	t.Helper()
	now := time.Now()
	compact, err := token.Mint(key, nil, map[string]any{
		"sub": sub, "aud": "agentos", "scopes": scopes, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + compact
}

// call is one request and what it must lead to.
type call struct {
	what   string
	path   string // with its method
	header http.Header
	form   string
	want   string
}

func (d desk) send(t *testing.T, c call) string {
	t.Helper()
	method, path, _ := strings.Cut(c.path, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, d.guard.URL+path, strings.NewReader(c.form))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "agents.example.com"
	req.Header = c.header.Clone()
	if c.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp := live.Do(t, req)
	return fmt.Sprintf("%d %s", resp.Status, resp.Body)
}

// AgentOS that believes every token is told the truth.
func TestAgentOSWithoutVerificationOfItsOwn(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(policy string) string { return policy })
	ada := d.bearer(t, d.key, "ada", "agents:support:run")
	stranger, err := token.Generate("ES256", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger.KID = d.key.KID
	auth := func(value string) http.Header { return http.Header{"Authorization": {value}} }
	for _, c := range []call{
		{"a run is the token's user's", "POST /agents/support/runs", auth(ada), "message=hi", `200 {"agent":"support","user":"ada"}`},
		{"whatever the form says", "POST /agents/support/runs", auth(ada), "message=hi&user_id=root", `200 {"agent":"support","user":"ada"}`},
		{"another agent", "POST /agents/sales/runs", auth(ada), "message=hi", `403 {"detail":"Insufficient permissions"`},
		{"another's signature", "POST /agents/support/runs", auth(d.bearer(t, stranger, "root", "agent_os:admin")), "message=hi", `401 {"detail":"Invalid token"`},
		{"no token", "POST /agents/support/runs", http.Header{}, "message=hi&user_id=root", `401 {"detail":"Not authenticated"`},
		{"another user by X-User-ID", "POST /a2a/agents/support/v1/message:send", http.Header{"Authorization": {ada}, "X-User-Id": {"root"}}, "", `200 {"agent":"support","user":"ada"}`},
		{"the same in another spelling", "POST /a2a/agents/support/v1/message:send", http.Header{"Authorization": {ada}, "x_user_id": {"root"}}, "", `200 {"agent":"support","user":"ada"}`},
		{"the list of agents without agents:read", "GET /agents", auth(ada), "", `403 `},
		{"the list of agents", "GET /agents", auth(d.bearer(t, d.key, "ada", "agents:read")), "", `200 ["support","sales"]`},
		{"health", "GET /health", http.Header{}, "", `200 {"authorization":null}`},
		{"a webhook with its own secret", "POST /slack/events", http.Header{"X-Slack-Signature": {"v0=1"}}, "", `200 {"authorization":null}`},
		{"MCP for admins", "POST /mcp", auth(d.bearer(t, d.key, "root", "agent_os:admin")), "", `200 {"user":"root"}`},
		{"MCP for others", "POST /mcp", auth(ada), "", `403 `},
	} {
		if got := d.send(t, c); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, %s: %s, want %s", c.what, c.path, got, c.want)
		}
	}
}

// Without upstream.host the stand-in refuses its own MCP route, as AgentOS does.
func TestAgentOSsMCPWantsALocalHost(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(policy string) string { return strings.ReplaceAll(policy, "host: Localhost", "host: Preserve") })
	c := call{path: "POST /mcp", header: http.Header{"Authorization": {d.bearer(t, d.key, "root", "agent_os:admin")}}}
	if got := d.send(t, c); !strings.HasPrefix(got, `400 {"error":"invalid_host"}`) {
		t.Errorf("with the client's host: %s", got)
	}
}
