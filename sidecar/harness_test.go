package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/token"
)

// testSecret signs the tokens of tests; no log, metric or answer may hold it.
const testSecret = "an HMAC secret for tests, longer than its hash"

// testPolicy is what tests start from.
const testPolicy = `
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat, namespace: agents}
spec:
  jwt:
    providers:
    - {name: local, algorithms: [HS256], secretRef: {name: agent-jwt, keys: [current, previous]}}
  authorization:
    rules:
    - name: admins
      operation: {paths: [{type: Prefix, value: /admin}]}
      principal: {scopes: {anyOf: ["agents:admin"]}}
    - {name: admins-only, action: Deny, operation: {paths: [{type: Prefix, value: /admin}]}}
    - name: own-tenant
      operation: {paths: [{type: Prefix, value: /tenant}]}
      principal: {tenant: {match: {header: X-Tenant-ID}}}
    - {name: others-tenant, action: Deny, operation: {paths: [{type: Prefix, value: /tenant}]}}
    - name: teachers
      principal: {claims: [{name: role, values: [teacher]}]}
    - {name: public, operation: {paths: [{value: /public}]}, principal: {anonymous: true}}
  exemptions: [{methods: [GET], path: /health}]
  cors: {allowOrigins: ["https://app.example"], allowCredentials: true, exposeHeaders: [X-Run-Id]}
`

// guarded is a running sidecar with its agent.
type guarded struct {
	t       *testing.T
	sidecar *Sidecar
	agent   *agent
	addr    string // of the guarded port
	admin   string
	dir     string
	logs    *logBuffer
	stop    func() error // ends the sidecar and returns the error of Run
	policy  string
}

// setup changes what a test starts from.
type setup struct {
	policy  string
	agent   http.Handler
	noAgent bool
	config  func(*Config)
}

// start runs a sidecar in front of an agent until the test ends.
func start(t *testing.T, s setup) *guarded {
	t.Helper()
	g := &guarded{t: t, dir: t.TempDir(), logs: &logBuffer{}, agent: newAgent(t, s.agent)}
	if g.policy = s.policy; g.policy == "" {
		g.policy = testPolicy
	}
	g.write("policy.yaml", g.policy)
	g.write("keys/agent-jwt/current", testSecret)
	if s.noAgent {
		g.agent.server.Close()
	}
	config := Config{
		PolicyFile: filepath.Join(g.dir, "policy.yaml"), KeysDir: filepath.Join(g.dir, "keys"),
		Listen: "127.0.0.1:0", Upstream: g.agent.addr(), Admin: "127.0.0.1:0",
		Log: slog.New(slog.NewJSONHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if s.config != nil {
		s.config(&config)
	}
	g.run(config)
	return g
}

func (g *guarded) run(config Config) {
	g.t.Helper()
	sidecar, err := New(config)
	if err != nil {
		g.t.Fatal(err)
	}
	g.sidecar = sidecar
	ctx, cancel := context.WithCancel(context.Background()) // the test's own ends before its streams do
	ended := make(chan error, 1)
	go func() { ended <- sidecar.Run(ctx) }()
	g.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	g.t.Cleanup(func() {
		if err := g.stop(); err != nil {
			g.t.Errorf("Run: %v", err)
		}
	})
	for range 500 {
		if record := g.logs.find("listening"); record != nil {
			list, _ := record["guarded"].([]any)
			g.addr, _ = list[0].(string)
			g.admin, _ = record["admin"].(string)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatalf("the sidecar does not listen:\n%s", g.logs)
}

func (g *guarded) write(name, content string) {
	g.t.Helper()
	path := filepath.Join(g.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	next := filepath.Join(g.dir, ".next")
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		g.t.Fatal(err)
	}
}

// mint signs claims with the test's secret; iat and exp are set unless given.
func mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	return mintWith(t, testSecret, claims)
}

func mintWith(t *testing.T, secret string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "u-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(all, claims)
	text, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, nil, all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func teacher(t *testing.T) string { return mint(t, map[string]any{"role": "teacher"}) }

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends one request; header is pairs of names and values.
func (g *guarded) do(method, target string, body io.Reader, header ...string) reply {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.addr+target, body)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatalf("%s %s: reading the answer: %v", method, target, err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

// raw sends bytes as they are and returns everything that comes back until the
// sidecar closes the connection.
func (g *guarded) raw(text string) string {
	g.t.Helper()
	conn := g.dial()
	if _, err := io.WriteString(conn, text); err != nil {
		g.t.Fatal(err)
	}
	back, err := io.ReadAll(conn)
	conn.Close()
	if err != nil && len(back) == 0 {
		g.t.Fatalf("reading the answer: %v", err)
	}
	return string(back)
}

func (g *guarded) dial() net.Conn {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return conn
}

// private asks the admin port.
func (g *guarded) private(target string) reply {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.admin+target, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

// metric is the value of one series, as the text says it; "" if there is none.
func (g *guarded) metric(series string) string {
	g.t.Helper()
	for line := range strings.Lines(g.private("/metrics").body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return value
		}
	}
	return ""
}

// await waits until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}

// awaitGoroutines waits until hardly more goroutines run than before, and shows
// those that do if they stay.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if runtime.NumGoroutine() <= before+4 {
			return
		}
	}
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	t.Fatalf("30 s later %d goroutines run, %d before:\n%s", runtime.NumGoroutine(), before, stacks.String())
}

// agent is a real server that remembers what reached it.
type agent struct {
	server *httptest.Server

	mu   sync.Mutex
	seen []seen
}

// seen is one request as it came to the agent.
type seen struct {
	Method, Target, Host string
	Header               http.Header
	Trailer              http.Header
	Body                 string
	Chunked              bool
}

func newAgent(t *testing.T, handler http.Handler) *agent {
	t.Helper()
	a := &agent{}
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the agent") })
	}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Unrecorded") == "" {
			var body bytes.Buffer
			if r.ContentLength < 1<<20 && r.Header.Get("X-Stream") == "" {
				_, _ = io.Copy(&body, r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
			}
			a.mu.Lock()
			a.seen = append(a.seen, seen{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), body.String(), len(r.TransferEncoding) > 0})
			a.mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(a.server.Close)
	return a
}

func (a *agent) addr() string { return a.server.Listener.Addr().String() }

// requests are what reached the agent so far.
func (a *agent) requests() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

// last is what reached the agent last.
func (a *agent) last(t *testing.T) seen {
	t.Helper()
	all := a.requests()
	if len(all) == 0 {
		t.Fatal("nothing reached the agent")
	}
	return all[len(all)-1]
}

// logBuffer collects JSON records.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends one record.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is everything so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// find returns the last record with this message, nil if there is none.
func (b *logBuffer) find(message string) map[string]any {
	var found map[string]any
	lines := bufio.NewScanner(strings.NewReader(b.String()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var record map[string]any
		if json.Unmarshal(lines.Bytes(), &record) == nil && record["msg"] == message {
			found = record
		}
	}
	return found
}

func bearer(text string) string { return fmt.Sprintf("Bearer %s", text) }
