package sidecar

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// auditPolicy only counts what testPolicy refuses.
var auditPolicy = strings.Replace(testPolicy, "spec:\n", "spec:\n  mode: Audit\n", 1)

// Under Audit what credentials and rules would refuse reaches the agent, with
// nothing by which it could take the client for somebody.
func TestAuditForwardsWithoutIdentity(t *testing.T) {
	g := start(t, setup{policy: auditPolicy})
	student := bearer(mint(t, map[string]any{"role": "student"}))
	old := time.Now().Add(-time.Hour).Unix()
	for name, c := range map[string]struct {
		target string
		header []string
		reason string
	}{
		"no token":          {"/x", nil, "missing_credential"},
		"a malformed token": {"/x", []string{"Authorization", "Bearer a.b.c"}, "malformed_token"},
		"a wrong signature": {"/x", []string{"Authorization", bearer(mintWith(t, strings.Repeat("x", 40), nil))}, "signature_invalid"},
		"an expired token":  {"/x", []string{"Authorization", bearer(mint(t, map[string]any{"iat": old - 60, "exp": old}))}, "expired"},
		"a missing role":    {"/x", []string{"Authorization", student}, "rule_denied"},
		"a Deny rule":       {"/admin/x", []string{"Authorization", bearer(teacher(t))}, "rule_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.metric(`gatepost_requests_total{decision="audit_deny",policy="chat",reason="` + c.reason + `"}`)
			forged := []string{"X-Auth-Subject", "root", "X_Auth_Subject", "root", "X-User-ID", "root"}
			got := g.do("GET", c.target, nil, append(forged, c.header...)...)
			if got.status != 200 || got.body != "from the agent" {
				t.Fatalf("%d %q", got.status, got.body)
			}
			for name := range g.agent.last(t).Header {
				if folded := fold(name); strings.HasPrefix(folded, "x-auth-") || folded == "authorization" || folded == "x-user-id" {
					t.Errorf("the agent got %s", name)
				}
			}
			await(t, "the record", func() bool {
				record := g.logs.find("request")
				return record != nil && record["decision"] == "audit_deny" && record["reason"] == c.reason && record["decision_id"] != ""
			})
			if after := g.metric(`gatepost_requests_total{decision="audit_deny",policy="chat",reason="` + c.reason + `"}`); after == before {
				t.Errorf("not counted: %q before and after", before)
			}
		})
	}
	if n := g.metric(`gatepost_denied_by_rule_total{policy="chat",rule="admins-only"}`); n != "1" {
		t.Errorf("the rule that would refuse is counted %q times, want 1", n)
	}
	if got := g.do("GET", "/x", nil, "Authorization", bearer(teacher(t))); got.status != 200 {
		t.Errorf("a good token: %d", got.status)
	}
	if seen := g.agent.last(t).Header; seen.Get("X-Auth-Subject") != "u-1" || seen.Get("Authorization") == "" {
		t.Errorf("of a good token the agent got %v", seen)
	}
}

// What two servers could read differently, what is too large, and pages of
// other origins are refused whatever the mode is.
func TestAuditStillRefusesWhatIsNotAboutCredentials(t *testing.T) {
	g := start(t, setup{policy: auditPolicy})
	text := teacher(t)
	for name, c := range map[string]struct {
		method, target string
		header         []string
		status         int
	}{
		"an ambiguous path": {"GET", "/a/%2e%2e/b", nil, 400},
		"two tokens":        {"GET", "/x", []string{"Authorization", bearer(text), "Authorization", bearer(text)}, 400},
		"TRACE":             {"TRACE", "/x", nil, 405},
		"a long target":     {"GET", "/" + strings.Repeat("a", 40000), nil, 414},
		"a long head":       {"GET", "/x", []string{"X-Filler", strings.Repeat("a", 70000)}, 431},
		"a long token":      {"GET", "/x", []string{"Authorization", "Bearer " + strings.Repeat("a", 17000)}, 431},
		"a foreign WebSocket": {"GET", "/x", []string{
			"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", webSocketKey, "Origin", "https://evil.example",
		}, 403},
	} {
		before := len(g.agent.requests())
		if got := g.do(c.method, c.target, nil, c.header...); got.status != c.status {
			t.Errorf("%s: %d, want %d", name, got.status, c.status)
		}
		if len(g.agent.requests()) != before {
			t.Errorf("%s: it reached the agent", name)
		}
	}
}

// Keys that cannot be had must not break the traffic that Audit is to leave
// alone; but a guard without a policy does not know its mode, and refuses.
func TestAuditWithoutKeys(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }))
	defer server.Close()
	remote := `{name: local, algorithms: [ES256], remoteJWKS: {uri: "` + server.URL + `/jwks", allowInsecureHTTP: true}}`
	local := "{name: local, algorithms: [HS256], secretRef: {name: agent-jwt, keys: [current, previous]}}"
	// A token that names an algorithm of the provider, and a key nobody has.
	text := "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0." + strings.Split(teacher(t), ".")[1] + "." + strings.Repeat("A", 86)
	for name, c := range map[string]struct {
		policy   string
		status   int
		decision string
	}{
		"Enforce": {testPolicy, 503, "deny"},
		"Audit":   {auditPolicy, 200, "audit_deny"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: strings.Replace(c.policy, local, remote, 1)})
			got := g.do("GET", "/x", nil, "Authorization", bearer(text))
			if got.status != c.status {
				t.Errorf("%d, want %d: %s", got.status, c.status, got.body)
			}
			if n := g.metric(`gatepost_requests_total{decision="` + c.decision + `",policy="chat",reason="keys_unavailable"}`); n != "1" {
				t.Errorf("counted %q times, want 1", n)
			}
			for _, seen := range g.agent.requests() {
				if seen.Header.Get("Authorization") != "" || seen.Header.Get("X-Auth-Subject") != "" {
					t.Errorf("the agent got %v", seen.Header)
				}
			}
		})
	}
	g := start(t, setup{policy: auditPolicy})
	g.sidecar.current.Store(nil)
	if got := g.do("GET", "/x", nil); got.status != 503 {
		t.Errorf("without a policy: %d, want 503", got.status)
	}
}

// Authorization goes on unverified only where the policy says Always.
func TestAuditForwardsAuthorizationOnlyAlways(t *testing.T) {
	for forward, want := range map[string]string{"Original": "", "Strip": "", "Always": "Bearer a.b.c"} {
		g := start(t, setup{policy: strings.Replace(auditPolicy, "  jwt:\n", "  jwt:\n    forward: "+forward+"\n", 1)})
		g.do("GET", "/x", nil, "Authorization", "Bearer a.b.c")
		if got := g.agent.last(t).Header.Get("Authorization"); got != want {
			t.Errorf("forward %s: the agent got %q, want %q", forward, got, want)
		}
	}
}
