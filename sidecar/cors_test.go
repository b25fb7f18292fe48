package sidecar

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPreflights(t *testing.T) {
	const credentials = "  cors: {allowOrigins: [\"https://app.example\"], allowCredentials: true, exposeHeaders: [X-Run-Id]}\n"
	anyOrigin := strings.Replace(testPolicy, credentials, "  cors: {allowOrigins: [\"*\"], maxAge: 1m}\n", 1)
	none := strings.Replace(testPolicy, credentials, "", 1)
	for name, c := range map[string]struct {
		policy  string
		headers []string
		status  int
		origin  string
		forward bool
	}{
		"an allowed origin":          {testPolicy, []string{"Origin", appOrigin, "Access-Control-Request-Method", "POST"}, 204, appOrigin, false},
		"any origin":                 {anyOrigin, []string{"Origin", "https://x.example", "Access-Control-Request-Method", "POST"}, 204, "*", false},
		"another origin":             {testPolicy, []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"an origin by its suffix":    {testPolicy, []string{"Origin", "https://app.example.evil", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"another scheme":             {testPolicy, []string{"Origin", "http://app.example", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"another port":               {testPolicy, []string{"Origin", "https://app.example:8443", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"an origin in capitals":      {testPolicy, []string{"Origin", "https://APP.example", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"the opaque origin":          {anyOrigin, []string{"Origin", "null", "Access-Control-Request-Method", "POST"}, 204, "", false},
		"two origins":                {testPolicy, []string{"Origin", appOrigin, "Origin", appOrigin, "Access-Control-Request-Method", "POST"}, 204, "", false},
		"no CORS in the policy":      {none, []string{"Origin", appOrigin, "Access-Control-Request-Method", "POST"}, 204, "", false},
		"no method asked for":        {testPolicy, []string{"Origin", appOrigin}, 401, appOrigin, false},
		"no origin":                  {testPolicy, []string{"Access-Control-Request-Method", "POST"}, 401, "", false},
		"no preflight, with a token": {testPolicy, []string{"Origin", appOrigin, "Authorization", "token"}, 200, appOrigin, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: c.policy})
			for i := range c.headers {
				if c.headers[i] == "token" {
					c.headers[i] = bearer(teacher(t))
				}
			}
			got := g.do("OPTIONS", "/admin/x", nil, c.headers...)
			if strings.Contains(name, "token") {
				got = g.do("OPTIONS", "/x", nil, c.headers...)
			}
			if got.status != c.status || got.header.Get("Access-Control-Allow-Origin") != c.origin || (len(g.agent.requests()) > 0) != c.forward {
				t.Errorf("%d %v, %d requests at the agent", got.status, got.header, len(g.agent.requests()))
			}
			if !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
				t.Errorf("Vary is %q", got.header.Values("Vary"))
			}
		})
	}
}

func TestPreflightSaysWhatIsAllowed(t *testing.T) {
	g := start(t, setup{})
	got := g.do("OPTIONS", "/x", nil, "Origin", appOrigin, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization, mcp-param-tenant, mcp-param-b d, x-evil")
	want := map[string]string{
		"Access-Control-Allow-Methods":     "GET, POST, PUT, PATCH, DELETE",
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Max-Age":           "600",
		"Access-Control-Allow-Headers":     "Authorization, Content-Type, X-API-Key, Last-Event-ID, Mcp-Method, Mcp-Name, Mcp-Protocol-Version, Mcp-Session-Id, mcp-param-tenant",
	}
	for name, text := range want {
		if got.header.Get(name) != text {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), text)
		}
	}
	for result, n := range map[string]string{"allowed": "1", "refused": ""} {
		if got := g.metric(`gatepost_cors_preflights_total{result="` + result + `"}`); got != n {
			t.Errorf("preflights %s: %q, want %q", result, got, n)
		}
	}
}

func TestCORSHeadersOfTheAgent(t *testing.T) {
	agent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Expose-Headers", "*")
		w.Header().Set("Vary", "Accept, Cookie")
	})
	passthrough := strings.Replace(testPolicy, "cors: {", "cors: {mode: Passthrough, ", 1)
	type headers struct{ Origin, Credentials, Exposed, Vary []string }
	for name, c := range map[string]struct {
		policy, origin string
		want           headers
	}{
		"Gateway, allowed": {testPolicy, appOrigin, headers{[]string{appOrigin}, []string{"true"}, []string{"WWW-Authenticate, Retry-After, X-Gatepost-Decision, X-Run-Id, Mcp-Session-Id"}, []string{"Accept, Cookie", "Origin"}}},
		"Gateway, refused": {testPolicy, "https://evil.example", headers{Vary: []string{"Accept, Cookie", "Origin"}}},
		"Gateway, none":    {testPolicy, "", headers{Vary: []string{"Accept, Cookie", "Origin"}}},
		"Passthrough":      {passthrough, appOrigin, headers{[]string{"*"}, []string{"true"}, []string{"*"}, []string{"Accept, Cookie"}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: c.policy, agent: agent})
			var header []string
			if c.origin != "" {
				header = []string{"Origin", c.origin}
			}
			h := g.do("GET", "/health", nil, header...).header
			got := headers{h.Values("Access-Control-Allow-Origin"), h.Values("Access-Control-Allow-Credentials"), h.Values("Access-Control-Expose-Headers"), h.Values("Vary")}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("headers (-want +got)\n%s", diff)
			}
			if own := g.do("GET", "/x", nil, "Origin", appOrigin).header.Values("Access-Control-Allow-Origin"); len(own) != 1 || own[0] != appOrigin {
				t.Errorf("the sidecar's own answer allows %q", own)
			}
		})
	}
}
