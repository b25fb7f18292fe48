package sidecar

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decided asks for the latest denials.
func (g *guarded) decided() []denial {
	g.t.Helper()
	var got struct{ Decisions []denial }
	if err := json.Unmarshal([]byte(g.private("/decisions").body), &got); err != nil {
		g.t.Fatal(err)
	}
	return got.Decisions
}

func TestDenialsAreKept(t *testing.T) {
	g := start(t, setup{})
	if got := g.private("/decisions").body; got != "{\"decisions\":[]}\n" {
		t.Errorf("before any: %s", got)
	}
	id := func(r reply) string { return r.header.Get("X-Gatepost-Decision") }
	expired := mint(t, map[string]any{"sub": "claim-of-a-token", "iat": time.Now().Unix() - 100, "exp": time.Now().Unix() - 60})
	unclear := mint(t, map[string]any{"sub": []string{"claim-of-a-token"}, "iat": time.Now().Unix(), "exp": time.Now().Unix() + 60})
	g.do("GET", "/x", nil, "Authorization", bearer(teacher(t))) // let in: not kept
	g.do("GET", "/health", nil)                                 // exempt: neither
	want := []denial{
		{ID: id(g.do("POST", "/x?token="+expired, nil)), Decision: "deny", Reason: "missing_credential", Policy: "chat", Method: "POST", Path: "/x", Status: 401},
		{ID: id(g.do("GET", "/x", nil, "Authorization", bearer(expired))), Decision: "deny", Reason: "expired", Policy: "chat", Provider: "local", KID: "current", Method: "GET", Path: "/x", Status: 401},
		{ID: id(g.do("GET", "/x", nil, "Authorization", bearer(unclear))), Decision: "deny", Reason: "claim_invalid", Claim: "sub", Policy: "chat", Provider: "local", KID: "current", Method: "GET", Path: "/x", Status: 401},
		{ID: id(g.do("GET", "/admin/"+strings.Repeat("a", 1000), nil, "Authorization", bearer(teacher(t)))), Decision: "deny", Reason: "rule_denied", Rule: "admins-only", Policy: "chat", Provider: "local", KID: "current", Method: "GET", Path: "/admin/" + strings.Repeat("a", maxLogged-len("/admin/")), Status: 403},
		{ID: id(g.do("GET", "/"+strings.Repeat("a", 40000), nil)), Decision: "deny", Reason: "request_too_large", Policy: "chat", Status: 414},
	}
	got := g.decided()
	if len(got) != len(want) {
		t.Fatalf("%d denials, want %d: %+v", len(got), len(want), got)
	}
	for i, one := range got { // the latest first
		if diff := cmp.Diff(want[len(want)-1-i], one, cmpopts.IgnoreFields(denial{}, "Time", "Subject")); diff != "" {
			t.Errorf("denial %d (-want +got)\n%s", i, diff)
		}
		if age := time.Since(one.Time); age < 0 || age > time.Minute {
			t.Errorf("denial %d is %v old", i, age)
		}
		if (one.Subject != "") != (one.Reason == "rule_denied") {
			t.Errorf("%s: subject %q", one.Reason, one.Subject)
		}
	}
	var single denial
	if err := json.Unmarshal([]byte(g.private("/decisions?id="+want[1].ID).body), &single); err != nil || single.Reason != "expired" {
		t.Errorf("by id: %+v %v", single, err)
	}
	if got := g.private("/decisions?id=unknown"); got.status != 404 {
		t.Errorf("an id of nobody's: %d", got.status)
	}
	for _, secret := range []string{expired[len(expired)-20:], "claim-of-a-token", "eyJ"} {
		if strings.Contains(g.private("/decisions").body, secret) {
			t.Errorf("%s is in /decisions", secret)
		}
	}
}

func TestAuditDenialsAreKept(t *testing.T) {
	g := start(t, setup{policy: auditPolicy})
	g.do("GET", "/x", nil)
	await(t, "it is kept", func() bool {
		got := g.decided()
		return len(got) == 1 && got[0].Decision == "audit_deny" && got[0].Reason == "missing_credential" && got[0].Status == 200
	})
}

func TestOnlyTheLatestDenialsAreKept(t *testing.T) {
	var d denials
	all := func(*denial) bool { return true }
	for i := range 3*maxDenials + 7 {
		d.add(denial{ID: fmt.Sprint(i)})
		if i == 2 && (len(d.list(all)) != 3 || cap(d.latest) > 8) {
			t.Errorf("of three %d are kept, in room for %d", len(d.list(all)), cap(d.latest))
		}
	}
	got := d.list(all)
	if len(got) != maxDenials || got[0].ID != fmt.Sprint(3*maxDenials+6) || got[maxDenials-1].ID != fmt.Sprint(2*maxDenials+7) {
		t.Errorf("%d kept, from %s to %s", len(got), got[len(got)-1].ID, got[0].ID)
	}
}

// Who is refused is nobody's business outside of the pod.
func TestDecisionsAreForThePodAlone(t *testing.T) {
	g := start(t, setup{})
	g.do("GET", "/x", nil)
	for from, status := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "10.1.2.3:1": 404, "[2001:db8::1]:1": 404, "": 404} {
		r := httptest.NewRequest(http.MethodGet, "/decisions", nil)
		r.RemoteAddr, r.Host = from, "localhost:9901"
		w := httptest.NewRecorder()
		g.sidecar.newAdminServer().Handler.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("from %q: %d, want %d", from, w.Code, status)
		}
	}
	if got := g.do("GET", "/decisions", nil); got.status != 401 {
		t.Errorf("on the guarded port: %d, want the agent's path, 401", got.status)
	}
}

// What is in force is told, without anything of a secret.
func TestReloadsSayHowManyKeys(t *testing.T) {
	g := start(t, setup{})
	g.write("keys/agent-jwt/previous", strings.Repeat("another secret, ", 4))
	await(t, "both keys are said to be in force", func() bool {
		record := g.logs.find("policy and keys are in force")
		keys, _ := record["keys"].(map[string]any)
		return keys["local"] == 2.0 && record["mode"] == "Enforce"
	})
}

// A browser on the same machine asks from loopback too, for every page in it:
// under a name that the page had resolve to loopback, or with a POST whose
// answer it cannot read.
func TestPagesCannotAskForThePod(t *testing.T) {
	g := start(t, setup{})
	for name, c := range map[string]struct {
		host   string
		header http.Header
		ok     bool
	}{
		"curl":                            {"127.0.0.1:9901", nil, true},
		"curl, over IPv6":                 {"[::1]:9901", nil, true},
		"curl, by name":                   {"localhost:19901", nil, true},
		"without a port":                  {"localhost", nil, true},
		"an address without a port":       {"::1", nil, true},
		"somebody's browser":              {"127.0.0.1:9901", http.Header{"Sec-Fetch-Site": {"none"}}, true},
		"a rebound name":                  {"evil.example:9901", nil, false},
		"a rebound name of the same site": {"evil.example:9901", http.Header{"Sec-Fetch-Site": {"same-origin"}}, false},
		"a name below localhost":          {"x.localhost:9901", nil, false},
		"a name that begins alike":        {"127.0.0.1.evil.example:9901", nil, false},
		"another address":                 {"10.0.0.1:9901", nil, false},
		"no host":                         {"", nil, false},
		"a page":                          {"127.0.0.1:9901", http.Header{"Origin": {"https://evil.example"}}, false},
		"a page of nowhere":               {"127.0.0.1:9901", http.Header{"Origin": {"null"}}, false},
		"an origin without a name":        {"127.0.0.1:9901", http.Header{"Origin": {""}}, false},
		"a page, fetching":                {"127.0.0.1:9901", http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		"a page of another port":          {"127.0.0.1:9901", http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		"a page that says two things":     {"127.0.0.1:9901", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, false},
	} {
		for target, method := range map[string]string{"/decisions": http.MethodGet, "/drain": http.MethodPost} {
			r := httptest.NewRequest(method, target, nil)
			r.RemoteAddr, r.Host = "127.0.0.1:4444", c.host
			maps.Copy(r.Header, c.header)
			w := httptest.NewRecorder()
			g.sidecar.newAdminServer().Handler.ServeHTTP(w, r)
			if w.Code/100 == 2 != c.ok {
				t.Errorf("%s, %s: %d", name, target, w.Code)
			}
		}
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host, r.Header = c.host, c.header
		w := httptest.NewRecorder()
		if g.sidecar.newAdminServer().Handler.ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("%s, /healthz: %d, want 200 for probes", name, w.Code)
		}
	}
}
