package sidecar

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const appOrigin = "https://app.example"

func TestAnswersAreTheContracts(t *testing.T) {
	g := start(t, setup{})
	expired := mint(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()})
	invalid := `Bearer error="invalid_token"`
	for name, c := range map[string]struct {
		method, target string
		header         []string
		status         int
		body           map[string]string
		challenge      string
		reason         string
	}{
		"no credential":                  {"GET", "/x", nil, 401, map[string]string{"detail": "Not authenticated"}, "Bearer", "missing_credential"},
		"another scheme":                 {"GET", "/x", []string{"Authorization", "Basic dTpw"}, 401, map[string]string{"detail": "Not authenticated"}, "Bearer", "missing_credential"},
		"an expired token":               {"GET", "/x", []string{"Authorization", bearer(expired)}, 401, map[string]string{"detail": "Token has expired", "error": "invalid_token", "error_description": "The token has expired"}, invalid + `, error_description="The token has expired"`, "expired"},
		"a wrong signature":              {"GET", "/x", []string{"Authorization", bearer(mintWith(t, strings.Repeat("x", 32), nil))}, 401, map[string]string{"detail": "Invalid token", "error": "invalid_token"}, invalid, "signature_invalid"},
		"no token at all":                {"GET", "/x", []string{"Authorization", "Bearer a.b"}, 401, map[string]string{"detail": "Invalid token", "error": "invalid_token"}, invalid, "malformed_token"},
		"a wrong token on a public path": {"GET", "/public", []string{"Authorization", "Bearer a.b.c"}, 401, map[string]string{"detail": "Invalid token", "error": "invalid_token"}, invalid, "malformed_token"},
		"two tokens":                     {"GET", "/x", []string{"Authorization", bearer(teacher(t)), "Authorization", bearer(teacher(t))}, 400, map[string]string{"detail": "Invalid request", "error": "invalid_request"}, `Bearer error="invalid_request"`, "ambiguous_credentials"},
		"an ambiguous path":              {"GET", "/a/%2e%2e/b", []string{"Authorization", bearer(teacher(t))}, 400, map[string]string{"detail": "Invalid request"}, "", "bad_request"},
		"a rule that denies":             {"GET", "/admin/x", []string{"Authorization", bearer(teacher(t))}, 403, map[string]string{"detail": "Insufficient permissions"}, "", "rule_denied"},
		"a missing role":                 {"GET", "/x", []string{"Authorization", bearer(mint(t, map[string]any{"role": "student"}))}, 403, map[string]string{"detail": "Insufficient permissions"}, "", "rule_denied"},
		"another tenant":                 {"GET", "/tenant", []string{"Authorization", bearer(mint(t, map[string]any{"tenant_id": "a"})), "X-Tenant-ID", "b"}, 403, map[string]string{"detail": "Insufficient permissions"}, "", "rule_denied"},
		"TRACE":                          {"TRACE", "/x", nil, 405, map[string]string{"detail": "Method not allowed"}, "", "method_not_allowed"},
		"a token too large":              {"GET", "/x", []string{"Authorization", "Bearer " + strings.Repeat("a", 17000)}, 431, map[string]string{"detail": "Request too large"}, "", "token_too_large"},
		"a target too large":             {"GET", "/" + strings.Repeat("a", 40000), nil, 414, map[string]string{"detail": "Request too large"}, "", "request_too_large"},
		"a head too large":               {"GET", "/x", []string{"X-Filler", strings.Repeat("a", 70000)}, 431, map[string]string{"detail": "Request too large"}, "", "request_too_large"},
		"a HEAD without a token":         {"HEAD", "/x", nil, 401, nil, "Bearer", "missing_credential"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.agent.requests())
			got := g.do(c.method, c.target, nil, append([]string{"Origin", appOrigin}, c.header...)...)
			if got.status != c.status {
				t.Fatalf("status %d, want %d; %s", got.status, c.status, got.body)
			}
			checkOwnAnswer(t, got)
			if c.body != nil {
				var body map[string]string
				if err := json.Unmarshal([]byte(got.body), &body); err != nil {
					t.Fatalf("body %q: %v", got.body, err)
				}
				if diff := cmp.Diff(c.body, body); diff != "" {
					t.Errorf("body (-want +got)\n%s", diff)
				}
			}
			if challenge := got.header.Get("WWW-Authenticate"); challenge != c.challenge {
				t.Errorf("WWW-Authenticate %q, want %q", challenge, c.challenge)
			}
			if status := got.status; (status == 405) != (got.header.Get("Allow") != "") {
				t.Errorf("Allow is %q with status %d", got.header.Get("Allow"), status)
			}
			if after := len(g.agent.requests()); after != before {
				t.Errorf("%d requests reached the agent", after-before)
			}
			await(t, "the record of the decision", func() bool {
				record := g.logs.find("request")
				return record != nil && record["decision_id"] == got.header.Get("X-Gatepost-Decision") && record["reason"] == c.reason
			})
		})
	}
}

// checkOwnAnswer checks what every answer of the sidecar to an allowed origin has.
func checkOwnAnswer(t *testing.T, got reply) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type":                     "application/json",
		"Cache-Control":                    "no-store",
		"Access-Control-Allow-Origin":      appOrigin,
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Expose-Headers":    "WWW-Authenticate, Retry-After, X-Gatepost-Decision, X-Run-Id",
		"Vary":                             "Origin",
	} {
		if values := got.header.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s is %q, want %q once", name, values, want)
		}
	}
	if id := got.header.Get("X-Gatepost-Decision"); len(id) < 10 {
		t.Errorf("X-Gatepost-Decision is %q", id)
	}
	if got.header.Get("Server") != "" {
		t.Error("the answer names a server")
	}
}

func TestMissingScopeIsNamed(t *testing.T) {
	policy := strings.Replace(testPolicy, "    - {name: admins-only, action: Deny, operation: {paths: [{type: Prefix, value: /admin}]}}\n", "", 1)
	policy = strings.Replace(policy, "principal: {claims: [{name: role, values: [teacher]}]}", "operation: {paths: [{type: Prefix, value: /lessons}]}", 1)
	g := start(t, setup{policy: policy})
	got := g.do("GET", "/admin/x", nil, "Authorization", bearer(teacher(t)))
	if want := `Bearer error="insufficient_scope", scope="agents:admin"`; got.status != 403 || got.header.Get("WWW-Authenticate") != want {
		t.Errorf("%d %q, want 403 %q", got.status, got.header.Get("WWW-Authenticate"), want)
	}
	if want := `{"detail":"Insufficient permissions","error":"insufficient_scope"}`; got.body != want {
		t.Errorf("body %s, want %s", got.body, want)
	}
}

func TestAgentThatIsNotThereIs502(t *testing.T) {
	g := start(t, setup{noAgent: true})
	got := g.do("POST", "/x", strings.NewReader("body"), "Authorization", bearer(teacher(t)), "Origin", appOrigin)
	if got.status != http.StatusBadGateway || got.body != `{"detail":"Agent unavailable"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	checkOwnAnswer(t, got)
	if n := g.metric(`gatepost_upstream_errors_total{kind="connect"}`); n != "1" {
		t.Errorf("upstream errors of kind connect: %q, want 1", n)
	}
}

func TestAnswersOfTheAgentPassThrough(t *testing.T) {
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Gatepost-Decision", "forged")
		http.Error(w, "no such thing", http.StatusNotFound)
	})})
	got := g.do("GET", "/x", nil, "Authorization", bearer(teacher(t)))
	if got.status != 404 || got.body != "no such thing\n" || got.header.Get("X-Gatepost-Decision") != "" {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
}

func TestPublicPathsNeedNoToken(t *testing.T) {
	g := start(t, setup{})
	for _, target := range []string{"/health", "/public", "/health?deep=1"} {
		if got := g.do("GET", target, nil); got.status != 200 {
			t.Errorf("GET %s: %d", target, got.status)
		}
	}
	for _, target := range []string{"/health/", "/health/x", "/Health", "/publicx"} {
		if got := g.do("GET", target, nil); got.status != 401 {
			t.Errorf("GET %s: %d, want 401", target, got.status)
		}
	}
	if got := g.do("POST", "/health", nil); got.status != 401 {
		t.Errorf("POST /health: %d, want 401", got.status)
	}
}
