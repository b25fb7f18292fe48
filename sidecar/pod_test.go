package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

const podPolicy = `{"apiVersion": "gatepost.dev/v1alpha1", "kind": "AgentAuthPolicy", "metadata": {"name": "chat", "generation": 3},
 "spec": {"jwt": {"providers": [{"name": "own", "algorithms": ["HS256"], "signingKeyRef": {"name": "agent-tokens"}}]}}}`

var ackKey = []byte("a key for acknowledgements, 32 b")

// podKeys is a keys.json with one key.
func podKeys(t *testing.T, revision int64, kid string) string {
	t.Helper()
	data, err := keyring.File{
		Revision: revision, AckKey: ackKey, SigningKeys: map[string]int64{"agent-tokens": revision},
		Providers: map[string]keyring.FileProvider{"own": {MaxTokenLifetime: 15 * time.Minute, Keys: []keyring.VerifyKey{{KID: kid, Alg: "HS256", K: []byte(testSecret)}}}},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// loopbackPair is an agent on 127.0.0.1 and a free port number that is the same
// on 127.0.0.2, which plays the pod's address.
func loopbackPair(t *testing.T) (port int, agent net.Listener) {
	t.Helper()
	agent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return agent.Addr().(*net.TCPAddr).Port, agent
}

var podAddress = netip.MustParseAddr("127.0.0.2")

// startPod runs a sidecar as in a pod, without its bundle yet.
func startPod(t *testing.T, change ...func(*Config)) (g *guarded, port int) {
	t.Helper()
	port, listener := loopbackPair(t)
	g = &guarded{t: t, dir: t.TempDir(), logs: &logBuffer{}, agent: &agent{}}
	g.agent.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Lasts") != "" {
			delay, _ := time.ParseDuration(r.Header.Get("X-Delay"))
			time.Sleep(delay)
			ticking.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(w, "%s for %s", r.RequestURI, r.Header.Get("X-Auth-Subject"))
	}))
	g.agent.server.Listener.Close()
	g.agent.server.Listener = listener
	g.agent.server.Start()
	t.Cleanup(g.agent.server.Close)
	config := Config{
		PolicyFile: filepath.Join(g.dir, "policy.json"), KeysFile: filepath.Join(g.dir, "keys.json"),
		PodIPs: []netip.Addr{podAddress}, Guards: []uint16{uint16(port)}, Admin: "127.0.0.2:0", PodUID: "uid-1",
		Probes: []policy.Probe{{Port: port, Method: "GET", Path: "/ready"}},
		Log:    slog.New(slog.NewJSONHandler(g.logs, nil)),
	}
	for _, f := range change {
		f(&config)
	}
	g.run(config)
	return g, port
}

func (g *guarded) podToken(claims map[string]any) string {
	g.t.Helper()
	text, err := token.Mint(token.Key{KID: "1-abc", Alg: "HS256", K: token.Secret(testSecret)}, nil, claims)
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

func TestPodStartsWithoutItsBundleAndRefuses(t *testing.T) {
	t.Parallel()
	g, port := startPod(t)
	if want := fmt.Sprint("127.0.0.2:", port); g.addr != want {
		t.Fatalf("guarded is %s, want %s", g.addr, want)
	}
	got := g.do("GET", "/ready", nil)
	if got.status != 503 || got.body != `{"detail":"Authentication temporarily unavailable"}` || got.header.Get("Retry-After") != "5" {
		t.Errorf("without a policy: %d %s %v", got.status, got.body, got.header)
	}
	if ready := g.private("/readyz"); ready.status != 503 {
		t.Errorf("readyz: %d, want 503", ready.status)
	}
	g.write("policy.json", podPolicy)
	g.write("keys.json", podKeys(t, 7, "1-abc"))
	await(t, "readiness", func() bool { return g.private("/readyz").status == 200 })
	now := time.Now()
	auth := bearer(g.podToken(map[string]any{"sub": "s", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}))
	if got := g.do("GET", "/x", nil, "Authorization", auth); got.status != 200 || got.body != "/x for s" {
		t.Errorf("with a token: %d %s", got.status, got.body)
	}
	if got := g.do("GET", "/ready", nil, "X-Auth-Subject", "evil"); got.status != 200 || got.body != "/ready for " {
		t.Errorf("the probe: %d %s", got.status, got.body)
	}
	if got := g.do("GET", "/x", nil); got.status != 401 {
		t.Errorf("without a token: %d", got.status)
	}
}

func TestPodObeysTheSigningKeysLifetime(t *testing.T) {
	t.Parallel()
	g, _ := startPod(t)
	g.write("policy.json", podPolicy)
	g.write("keys.json", podKeys(t, 7, "1-abc"))
	await(t, "readiness", func() bool { return g.private("/readyz").status == 200 })
	now := time.Now()
	long := bearer(g.podToken(map[string]any{"sub": "s", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}))
	if got := g.do("GET", "/x", nil, "Authorization", long); got.status != 401 || g.logs.find("request")["reason"] != "lifetime_exceeded" {
		t.Errorf("a token of an hour where 15 minutes are allowed: %d", got.status)
	}
}

func TestStateIsSigned(t *testing.T) {
	t.Parallel()
	g, _ := startPod(t)
	if got := g.private("/state?nonce=n1"); got.status != 503 {
		t.Errorf("before loading: %d, want 503", got.status)
	}
	g.write("policy.json", podPolicy)
	g.write("keys.json", podKeys(t, 7, "1-abc"))
	await(t, "readiness", func() bool { return g.private("/readyz").status == 200 })
	now := time.Now()
	for range 3 {
		g.do("GET", "/x", nil, "Authorization", bearer(g.podToken(map[string]any{"sub": "s", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})))
	}
	var state bundle.State
	if err := json.Unmarshal([]byte(g.private("/state?nonce=n1").body), &state); err != nil {
		t.Fatal(err)
	}
	if !state.Verify(ackKey, "n1") || state.Verify(ackKey, "n2") || state.Verify([]byte("another key"), "n1") {
		t.Error("the signature does not depend on nonce and key")
	}
	at := state.LastAccepted["1-abc"]
	if since := time.Since(at); at.Nanosecond() != 0 || at.Before(now.Truncate(time.Second)) || since < 0 {
		t.Errorf("last accepted at %v", at)
	}
	want := bundle.State{
		PodUID: "uid-1", Revision: 7, Generations: map[string]int64{"agent-tokens": 7}, LastAccepted: map[string]time.Time{"1-abc": at},
		KIDs: map[string][]string{"agent-tokens": {"1-abc"}}, MAC: state.MAC,
	}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("state (-want +got)\n%s", diff)
	}
	g.write("keys.json", podKeys(t, 8, "2-def"))
	await(t, "the next revision", func() bool { return strings.Contains(g.private("/state").body, `"revision":8`) })
	if got := g.private("/state?nonce=" + strings.Repeat("n", 200)); got.status != 400 {
		t.Errorf("an endless nonce: %d, want 400", got.status)
	}
}

func TestDrainIsForThePodItselfOnly(t *testing.T) {
	t.Parallel()
	s, err := New(Config{PolicyFile: "p", KeysDir: "k", Listen: ":0", Upstream: "127.0.0.1:9", Admin: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from     string
		status   int
		draining bool
	}{{"10.0.0.1:1", 404, false}, {"[fd00::1]:1", 404, false}, {"nonsense", 404, false}, {"[::1]:1", 204, true}, {"127.0.0.1:1", 204, true}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/drain", nil)
		r.RemoteAddr, r.Host = c.from, "127.0.0.1:9901"
		s.newAdminServer().Handler.ServeHTTP(w, r)
		if w.Code != c.status || s.health.Draining() != c.draining {
			t.Errorf("from %s: %d, draining %v", c.from, w.Code, s.health.Draining())
		}
	}
}

func TestPortTakenIsSaid(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "0.0.0.0:0") // an agent that was first
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	s, err := New(Config{
		PolicyFile: t.TempDir() + "/policy.json", KeysFile: t.TempDir() + "/keys.json",
		PodIPs: []netip.Addr{podAddress}, Guards: []uint16{uint16(port)}, Admin: "127.0.0.2:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if want := fmt.Sprintf("port %d is taken by another process in this pod", port); !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), want) {
		t.Errorf("Run: %v, want %q", err, want)
	}
}

// An agent that binds all addresses finds the port taken while the guard is there.
func TestAgentOnAllAddressesFailsToBind(t *testing.T) {
	t.Parallel()
	_, port := startPod(t)
	if l, err := net.Listen("tcp", fmt.Sprint("0.0.0.0:", port)); err == nil {
		l.Close()
		t.Error("the guarded port could be bound on all addresses")
	}
}
