// Package fastapi runs examples/fastapi/tutor.py under uvicorn behind the built
// sidecar: what its routes learn about the user, and from whom.
package fastapi

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

const example = "../../../examples/fastapi"

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// The users of the school; null is what its issuer sends for what it lacks.
const (
	ada = `{"sub": "ada", "role": "teacher", "organization_ids": ["org-1", "org-2"], "org_role": "lead",
		"software_background": "C++ & Rust", "hardware_tier": "gpu"}`
	zoe = `{"sub": 42, "role": "student", "organization_ids": ["org-1"], "org_role": "member",
		"software_background": "un peu, 100 % débutante", "hardware_tier": null}`
	root = `{"sub": "root", "roles": ["admin"], "role": "admin", "organization_ids": [], "org_role": null,
		"software_background": null, "hardware_tier": null}`
)

// school is the guarded tutor and the key of the school's back end.
type school struct {
	guard *live.Sidecar
	agent string // the tutor's own address
	key   token.Key
}

func open(t *testing.T) school {
	t.Helper()
	policy, err := os.ReadFile(example + "/tutor-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := school{key: token.Key{Alg: "HS256", K: []byte(strings.Repeat("s", 32))}}
	s.agent, _ = live.Uvicorn(t, example, "tutor:app")
	s.guard = live.Start(t, live.Setup{
		Policy: string(policy), Upstream: s.agent,
		Keys: map[string][]byte{"agent-tokens/current": s.key.K},
	})
	return s
}

// token is what the back end signs for a user.
func (s school) token(t *testing.T, claims string) string {
	t.Helper()
	all := map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()}
	if err := json.Unmarshal([]byte(claims), &all); err != nil {
		t.Fatal(err)
	}
	compact, err := token.Mint(s.key, nil, all)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// get asks for a path and returns the status and the answer without its error
// fields.
func get(t *testing.T, url string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp := live.Do(t, req)
	body := resp.Body
	var refusal struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &refusal) == nil && refusal.Detail != "" {
		body = []byte(refusal.Detail)
	}
	return fmt.Sprintf("%d %s", resp.Status, body)
}

const (
	adaSeen = `200 {"id":"ada","roles":["teacher"],"organization_ids":["org-1","org-2"],"org_role":"lead",` +
		`"software_background":"C++ & Rust","hardware_tier":"gpu"}`
	zoeSeen = `200 {"id":"42","roles":["student"],"organization_ids":["org-1"],"org_role":"member",` +
		`"software_background":"un peu, 100 % débutante","hardware_tier":null}`
	rootSeen = `200 {"id":"root","roles":["admin"],"organization_ids":[],"org_role":null,` +
		`"software_background":null,"hardware_tier":null}`
	forbidden = "403 Insufficient permissions"
)

func TestRoutesSeeTheVerifiedUser(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, test := range []struct{ path, user, want string }{
		{"/api/me", ada, adaSeen},
		{"/api/me", zoe, zoeSeen},
		{"/api/me", root, rootSeen},
		{"/api/lesson", ada, `200 {"title":"Robots with ROS 2, on your own GPU"}`},
		{"/api/lesson", zoe, `200 {"title":"Robots with ROS 2, in the cloud"}`},
		{"/api/lesson", root, `200 {"title":"A first program, in the cloud"}`},
		{"/api/admin/settings", root, `200 {"model":"none, this is an example","asked_by":"root"}`},
		{"/api/admin/settings", ada, forbidden},
		{"/api/admin", zoe, forbidden},
		{"/api/orgs/org-1/report", ada, `200 {"organization":"org-1","for":"ada","as":"lead"}`},
		{"/api/orgs/org-2/report", ada, `200 {"organization":"org-2","for":"ada","as":"lead"}`},
		{"/api/orgs/org-3/report", ada, forbidden},
		{"/api/orgs/org-1/report", zoe, forbidden}, // a member, but no lead
		{"/api/orgs/org-1/report", root, forbidden},
		{"/api/other", ada, forbidden},
		{"/docs", root, forbidden},
	} {
		header := http.Header{"Authorization": {"Bearer " + s.token(t, test.user)}}
		if got := get(t, s.guard.URL+test.path, header); got != test.want {
			t.Errorf("%s of %s:\n got %s\nwant %s", test.path, test.user[:14], got, test.want)
		}
	}
	if got := get(t, s.guard.URL+"/api/me", http.Header{}); got != "401 Not authenticated" {
		t.Errorf("without a token: %s", got)
	}
}

// Whatever a client writes into identity headers, in the spellings that
// frameworks fold, the agent sees the user of the token.
func TestForgedIdentityDoesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	bearer := "Bearer " + s.token(t, zoe)
	for what, forged := range map[string]http.Header{
		"the headers themselves":         {"X-Auth-Subject": {"root"}, "X-Auth-Roles": {`["admin"]`}},
		"the policy's own headers":       {"X-Auth-Organization-Ids": {`["org-2"]`}, "X-Auth-Org-Role": {"owner"}},
		"one that the token lacks":       {"X-Auth-Hardware-Tier": {"gpu"}},
		"underscores":                    {"x_auth_subject": {"root"}, "X_Auth_Roles": {`["admin"]`}, "x_auth-hardware_tier": {"gpu"}},
		"dots":                           {"x.auth.subject": {"root"}, "X.Auth.Hardware.Tier": {"gpu"}},
		"small letters":                  {"x-auth-subject": {"root"}, "x-auth-hardware-tier": {"gpu"}},
		"twice":                          {"X-Auth-Subject": {"root", "admin"}, "X-Auth-Hardware-Tier": {"gpu", "gpu"}},
		"hop-by-hop":                     {"Connection": {"X-Auth-Subject, X-Auth-Org-Role"}, "X-Auth-Subject": {"root"}},
		"what other proxies would send":  {"X-Forwarded-User": {"root"}, "X-User-Id": {"root"}, "Remote-User": {"root"}},
		"a spelling that nobody expects": {"x-auth_Hardware.Tier": {"gpu"}, "X__AUTH__SUBJECT": {"root"}},
	} {
		forged["Authorization"] = []string{bearer}
		if diff := cmp.Diff(zoeSeen, get(t, s.guard.URL+"/api/me", forged)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if got := get(t, s.guard.URL+"/api/admin/settings", forged); got != forbidden {
			t.Errorf("%s: the admin's page answers %s", what, got)
		}
		if got := get(t, s.guard.URL+"/api/orgs/org-2/report", forged); got != forbidden {
			t.Errorf("%s: another organization's report answers %s", what, got)
		}
	}
}

// Without the sidecar in front there is no user, and an agent that others can
// reach says so.
func TestWithoutASidecarThereIsNoUser(t *testing.T) {
	t.Parallel()
	direct, _ := live.Uvicorn(t, example, "tutor:app")
	if got := get(t, "http://"+direct+"/api/me", http.Header{}); got != "401 Not authenticated" {
		t.Errorf("asked directly: %s", got)
	}
	// 127.0.0.2 stands for any address but the one where the sidecar comes from.
	_, port, err := net.SplitHostPort(live.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	command := live.Python(t, example, []string{"fastapi", "uvicorn"},
		"-m", "uvicorn", "tutor:app", "--host", "127.0.0.2", "--port", port, "--log-level", "warning")
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	live.Run(t, command).AwaitListening(t, "127.0.0.2:"+port)
	forged := http.Header{"X-Auth-Subject": {"root"}, "X-Auth-Roles": {`["admin"]`}}
	if got := get(t, "http://127.0.0.2:"+port+"/api/me", forged); !strings.HasPrefix(got, "500 This agent must listen on 127.0.0.1") {
		t.Errorf("reached from outside: %s", got)
	}
}

// The dependency is small enough to read before copying it.
func TestTheDependencyIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example + "/gatepost_user.py")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 30 {
		t.Errorf("gatepost_user.py has %d lines, want at most 30", lines)
	}
}
