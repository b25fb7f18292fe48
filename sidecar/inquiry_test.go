package sidecar

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is judged without being sent is judged as what is sent.
func TestJudgeSaysWhatTheSidecarDoes(t *testing.T) {
	foreign := mintWith(t, "another HMAC secret, longer than its hash too", nil)
	old := mint(t, map[string]any{"iat": time.Now().Unix() - 100, "exp": time.Now().Unix() - 60})
	for name, text := range map[string]string{"Enforce": testPolicy, "Audit": auditPolicy} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: text})
			for sentence, c := range map[string]struct {
				method, target string
				header         []string
			}{
				"a token that passes":            {"GET", "/x", []string{"Authorization", bearer(teacher(t))}},
				"no token":                       {"GET", "/x", nil},
				"an expired token":               {"GET", "/x", []string{"Authorization", bearer(old)}},
				"a token of another key":         {"GET", "/x", []string{"Authorization", bearer(foreign)}},
				"what is no token":               {"GET", "/x", []string{"Authorization", "Bearer x"}},
				"two tokens":                     {"GET", "/x", []string{"Authorization", bearer(old), "Authorization", bearer(old)}},
				"a route that a rule denies":     {"GET", "/admin", []string{"Authorization", bearer(teacher(t))}},
				"a route that needs a scope":     {"GET", "/admin/x", []string{"Authorization", bearer(mint(t, map[string]any{"scope": "x"}))}},
				"another tenant's route":         {"GET", "/tenant", []string{"Authorization", bearer(teacher(t)), "X-Tenant-ID", "t1"}},
				"a public route":                 {"GET", "/public", nil},
				"an exempt route":                {"GET", "/health", nil},
				"a path of two readings":         {"GET", "/a/%2e%2e/b", []string{"Authorization", bearer(teacher(t))}},
				"a method that is not forwarded": {"TRACE", "/x", nil},
				"a preflight":                    {"OPTIONS", "/x", []string{"Origin", appOrigin, "Access-Control-Request-Method", "POST"}},
				"options without an origin":      {"OPTIONS", "/x", nil},
			} {
				t.Run(sentence, func(t *testing.T) {
					header := http.Header{}
					for i := 0; i < len(c.header); i += 2 {
						header.Add(c.header[i], c.header[i+1])
					}
					got, err := Judge(t.Context(), g.sidecar.current.Load().Snapshot, Inquiry{c.method, c.target, header}, time.Now())
					if err != nil {
						t.Fatal(err)
					}
					before := len(g.decided())
					sent := g.do(c.method, c.target, nil, c.header...)
					refused := got.Verdict == decisionDeny || got.Verdict == decisionAudit
					if refused {
						await(t, "the denial is kept", func() bool { return len(g.decided()) == before+1 })
						if kept := g.decided()[0]; kept.Reason != got.Reason || kept.Decision != got.Verdict || kept.Rule != got.Rule ||
							kept.Provider != got.Token.Provider || kept.KID != got.Token.KID {
							t.Errorf("judged %+v, and the sidecar decided %+v", got, kept)
						}
					}
					switch {
					case got.Status == 0 && sent.status != http.StatusOK:
						t.Errorf("judged to be forwarded, and answered %d %s", sent.status, sent.body)
					case got.Status != 0 && (sent.status != got.Status || !strings.Contains(sent.body, got.Detail)):
						t.Errorf("judged to be answered %d %s, and answered %d %s", got.Status, got.Detail, sent.status, sent.body)
					}
				})
			}
		})
	}
}
