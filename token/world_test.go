package token_test

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// wire is a network in memory, so that a real server and a real client can live
// in the time of a synctest bubble.
type wire struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}

	mu     sync.Mutex
	dialed []string
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), ended: make(chan struct{})} }

func (w *wire) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	w.mu.Unlock()
	near, far := net.Pipe()
	select {
	case w.conns <- far:
		return near, nil
	case <-w.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.conns:
		return conn, nil
	case <-w.ended:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error { w.once.Do(func() { close(w.ended) }); return nil }

func (w *wire) Addr() net.Addr { return &net.IPAddr{} }

// keyServer serves a key set that tests change. Its zero answer is 500.
type keyServer struct {
	jitter  float64 // of who fetches; 0: 0.5
	dir     string  // where who fetches keeps sets
	mu      sync.Mutex
	answer  http.HandlerFunc
	fetches atomic.Int64
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.fetches.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		http.Error(w, "down", http.StatusInternalServerError)
		return
	}
	answer(w, r)
}

func (s *keyServer) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *keyServer) publish(t *testing.T, keys ...token.Key) {
	t.Helper()
	text, err := token.PublicJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	s.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
}

func (s *keyServer) say(text string) {
	s.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// hang answers nothing until the client has gone.
func (s *keyServer) hang() {
	s.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// world is a bubble with a key server and a verifier that fetches from it.
type world struct {
	server  *keyServer
	remotes *token.Remotes
	v       *token.Verifier
	fetches chan token.Fetch
	kept    chan token.Kept
	network *wire
	wire    policy.RemoteJWKS
}

// dialed are the addresses that were asked so far.
func (w *world) dialed() []string {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	return slices.Clone(w.network.dialed)
}

const keysURI = "https://id.example/jwks"

// spec speaks plain http inside the bubble: TLS has tests of its own.
func spec() policy.RemoteJWKS {
	return policy.RemoteJWKS{URI: "http://id.example/jwks", AllowInsecureHTTP: true}
}

func seconds(n int) *policy.Duration {
	return &policy.Duration{Duration: time.Duration(n) * time.Second}
}

// inWorld runs a test in a bubble of its own: its clock stands still except
// while everything waits.
func inWorld(t *testing.T, server *keyServer, change func(*policy.RemoteJWKS), run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newWire()
		httpServer := &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}
		served := make(chan struct{})
		go func() { defer close(served); _ = httpServer.Serve(network) }()
		w := &world{
			server: server, network: network, wire: spec(),
			fetches: make(chan token.Fetch, 10000), kept: make(chan token.Kept, 100),
		}
		if change != nil {
			change(&w.wire)
		}
		w.begin(t)
		run(t, w)
		w.remotes.Close()
		_ = httpServer.Close()
		<-served
	})
}

// begin makes the verifier anew, as a process that starts does.
func (w *world) begin(t *testing.T) {
	t.Helper()
	if w.remotes != nil {
		w.remotes.Close()
	}
	w.remotes = token.NewRemotes(token.OverNetwork(token.RemotesConfig{
		Jitter:   func() float64 { return cmp.Or(w.server.jitter, 0.5) },
		StateDir: w.server.dir,
		OnFetch:  func(f token.Fetch) { w.fetches <- f },
		OnKept:   func(k token.Kept) { w.kept <- k },
	}, w.network.dial))
	w.v = verifier(t, remoteProvider(t, w.remotes, "id", w.wire))
	w.remotes.Use(w.v)
}

func remoteProvider(t *testing.T, remotes *token.Remotes, name string, wire policy.RemoteJWKS) token.Provider {
	t.Helper()
	source, err := remotes.Source(name, wire, nil)
	if err != nil {
		t.Fatal(err)
	}
	made := token.Provider{Keys: source}
	made.Name = name
	made.Algorithms = []policy.Algorithm{"ES256", "EdDSA"}
	return made
}

// judge verifies a token minted now and tells how long that took.
func (w *world) judge(t *testing.T, key token.Key, header map[string]any) (token.Outcome, time.Duration) {
	t.Helper()
	return judgeBy(t, t.Context(), w.v, key, header)
}

func judgeBy(t *testing.T, ctx context.Context, v *token.Verifier, key token.Key, header map[string]any) (token.Outcome, time.Duration) {
	t.Helper()
	now := time.Now()
	text := mint(t, key, header, map[string]any{"sub": "u", "iat": now.Unix(), "exp": now.Unix() + 120})
	raw, _ := token.Extract([]string{text}, "", 0)
	got := v.Verify(ctx, raw, now)
	return got, time.Since(now)
}

func (w *world) want(t *testing.T, key token.Key, want policy.Reason) {
	t.Helper()
	got, _ := w.judge(t, key, nil)
	wantReason(t, got, want)
}

func (w *world) wantFetches(t *testing.T, want int64) {
	t.Helper()
	synctest.Wait()
	if got := w.server.fetches.Load(); got != want {
		t.Errorf("%d fetches, want %d", got, want)
	}
}
