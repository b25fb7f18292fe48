package token_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), ended: make(chan struct{})} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
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

func (w *wire) Close() error   { w.once.Do(func() { close(w.ended) }); return nil }
func (w *wire) Addr() net.Addr { return &net.IPAddr{} }

// keyServer serves a key set that tests change. Its zero answer is 500.
type keyServer struct {
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
		w := &world{server: server, fetches: make(chan token.Fetch, 10000)}
		w.remotes = token.NewRemotes(token.OverNetwork(token.RemotesConfig{
			Jitter:  func() float64 { return 0.5 },
			OnFetch: func(f token.Fetch) { w.fetches <- f },
		}, network.dial))
		wire := spec()
		if change != nil {
			change(&wire)
		}
		w.v = verifier(t, remoteProvider(t, w.remotes, "id", wire))
		w.remotes.Use(w.v)
		run(t, w)
		w.remotes.Close()
		_ = httpServer.Close()
		<-served
	})
}

func remoteProvider(t *testing.T, remotes *token.Remotes, name string, wire policy.RemoteJWKS) token.Provider {
	t.Helper()
	source, err := remotes.Source(name, wire)
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

// TestRemoteStartsDegraded is D4: 503 until there are keys, never 401, and back
// within 10 s of the server's recovery.
func TestRemoteStartsDegraded(t *testing.T) {
	key := generate(t, "ES256", "k1")
	for name, broken := range map[string]func(*keyServer){
		"while the server answers 500": func(s *keyServer) { s.set(nil) },
		"while it answers rubbish":     func(s *keyServer) { s.say("<html>") },
		"while its set is empty":       func(s *keyServer) { s.say(`{"keys":[]}`) },
		"while it hangs":               func(s *keyServer) { s.hang() },
	} {
		t.Run(name, func(t *testing.T) {
			server := &keyServer{}
			broken(server)
			inWorld(t, server, nil, func(t *testing.T, w *world) {
				for range 30 {
					w.want(t, key, policy.KeysUnavailable)
					got, _ := w.judge(t, key, map[string]any{"kid": nil})
					wantReason(t, got, policy.KeysUnavailable)
					time.Sleep(time.Second)
				}
				server.publish(t, key)
				time.Sleep(10 * time.Second)
				w.want(t, key, policy.OK)
			})
		})
	}
}

// TestRemoteRetriesWithBackoff: 1, 2, 4, 8 s and then every 8 s.
func TestRemoteRetriesWithBackoff(t *testing.T) {
	inWorld(t, &keyServer{}, nil, func(t *testing.T, w *world) {
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if got := w.server.fetches.Load(); got < 8 || got > 12 {
			t.Errorf("%d fetches in a minute, want about 10", got)
		}
	})
}

// TestFirstRequestWaits: a request that comes while the first fetch is under way
// is not turned away.
func TestFirstRequestWaits(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) { w.want(t, key, policy.OK) })
}

// TestKnownKeyNeverWaits is the last part of D6.
func TestKnownKeyNeverWaits(t *testing.T) {
	key, next := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.hang()
		time.Sleep(time.Minute)
		waiting := make(chan time.Duration)
		go func() {
			got, took := w.judge(t, next, nil)
			wantReason(t, got, policy.UnknownKey)
			waiting <- took
		}()
		synctest.Wait()
		for range 100 {
			got, took := w.judge(t, key, nil)
			wantReason(t, got, policy.OK)
			if took != 0 {
				t.Fatalf("a known key waited %v", took)
			}
		}
		if took := <-waiting; took != 5*time.Second {
			t.Errorf("an unknown key waited %v, want the fetch's 5s", took)
		}
	})
}

// TestRotatedKeyIsFoundAtOnce: Better Auth signs with a key it never published
// before.
func TestRotatedKeyIsFoundAtOnce(t *testing.T) {
	old, fresh := generate(t, "ES256", "k1"), generate(t, "EdDSA", "k2")
	server := &keyServer{}
	server.publish(t, old)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, old, policy.OK)
		time.Sleep(time.Minute)
		server.publish(t, old, fresh)
		got, _ := w.judge(t, fresh, nil)
		wantReason(t, got, policy.OK)
		wantEqual(t, "lookup", got.Lookup, token.LookupFound)
		w.want(t, old, policy.OK)
		w.wantFetches(t, 2)
	})
}

// TestUnknownKeyStorm is D6: one fetch per interval whatever is asked, all others
// answered at once.
func TestUnknownKeyStorm(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		lookups := map[token.Lookup]int{}
		for i := range 1000 {
			got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
			wantReason(t, got, policy.UnknownKey)
			lookups[got.Lookup]++
			time.Sleep(30 * time.Millisecond)
		}
		w.wantFetches(t, 1+3)
		wantEqual(t, "lookups", lookups, map[token.Lookup]int{token.LookupAbsent: 3, token.LookupSuppressed: 997})
	})
}

// TestStormInOneMoment: a thousand at once share one flight; those for whom there
// is no room are told to come again, not refused.
func TestStormInOneMoment(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.hang()
		time.Sleep(time.Minute)
		var reasons sync.Map
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
				count, _ := reasons.LoadOrStore(got.Reason, new(atomic.Int64))
				count.(*atomic.Int64).Add(1)
			})
		}
		synctest.Wait()
		w.want(t, key, policy.OK)
		all.Wait()
		for reason, want := range map[policy.Reason]int64{policy.UnknownKey: 256, policy.KeysUnavailable: 44} {
			count, _ := reasons.LoadOrStore(reason, new(atomic.Int64))
			wantEqual(t, string(reason), count.(*atomic.Int64).Load(), want)
		}
		w.wantFetches(t, 2)
	})
}

// TestAbsentKeyIsRemembered: the same unknown kid does not use up the interval
// that a fresh key may need.
func TestAbsentKeyIsRemembered(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "nobody")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		for range 5 {
			w.want(t, foreign, policy.UnknownKey)
			time.Sleep(11 * time.Second)
		}
		w.wantFetches(t, 2)
		time.Sleep(10 * time.Second)
		w.want(t, foreign, policy.UnknownKey)
		w.wantFetches(t, 3)
	})
}

// TestFailedRefetchBacksOff: an unknown kid does not hammer a broken server.
func TestFailedRefetchBacksOff(t *testing.T) {
	key, foreign := generate(t, "ES256", "k1"), generate(t, "ES256", "")
	server := &keyServer{}
	server.publish(t, key)
	change := func(r *policy.RemoteJWKS) {
		r.CacheDuration, r.FailedRefetchDuration, r.UnknownKeyRefetchInterval = seconds(3600), seconds(30), seconds(1)
	}
	inWorld(t, server, change, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		for i := range 200 {
			got, _ := w.judge(t, foreign, map[string]any{"kid": fmt.Sprint("evil-", i)})
			wantReason(t, got, policy.UnknownKey)
			w.want(t, key, policy.OK)
			time.Sleep(500 * time.Millisecond)
		}
		w.wantFetches(t, 1+4)
	})
}

// TestBrokenRefreshKeepsTheLastGoodSet is the second half of D8, and rule 2.
func TestBrokenRefreshKeepsTheLastGoodSet(t *testing.T) {
	key := generate(t, "ES256", "k1")
	for name, broken := range map[string]func(*keyServer){
		"500":             func(s *keyServer) { s.set(nil) },
		"rubbish":         func(s *keyServer) { s.say(`{"keys":[{"kty":"RSA"}]}`) },
		"an empty set":    func(s *keyServer) { s.say(`{"keys":[]}`) },
		"a symmetric set": func(s *keyServer) { s.say(`{"keys":[{"kty":"oct","kid":"k1","k":"AAAA"}]}`) },
		"silence":         func(s *keyServer) { s.hang() },
	} {
		t.Run(name, func(t *testing.T) {
			server := &keyServer{}
			server.publish(t, key)
			change := func(r *policy.RemoteJWKS) { r.MaxStale = seconds(3600) }
			inWorld(t, server, change, func(t *testing.T, w *world) {
				w.want(t, key, policy.OK)
				since := w.v.State(time.Now())[0].LastSuccess
				broken(server)
				time.Sleep(3590 * time.Second)
				w.want(t, key, policy.OK)
				wantEqual(t, "last success", w.v.State(time.Now())[0].LastSuccess, since)
				time.Sleep(11 * time.Second)
				w.want(t, key, policy.KeysUnavailable)
				wantEqual(t, "keys", w.v.State(time.Now())[0].Keys, 0)
				server.publish(t, key)
				time.Sleep(20 * time.Second)
				w.want(t, key, policy.OK)
			})
		})
	}
}

// TestRemovedKeyGoes is the first half of D8.
func TestRemovedKeyGoes(t *testing.T) {
	old, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, old, fresh)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, old, policy.OK)
		server.publish(t, fresh)
		time.Sleep(4 * time.Minute)
		w.want(t, old, policy.OK)
		time.Sleep(2 * time.Minute)
		w.want(t, old, policy.UnknownKey)
		w.want(t, fresh, policy.OK)
	})
}

// TestRequestGivesUp: a client that leaves does not wait, and does not end the
// fetch of others.
func TestRequestGivesUp(t *testing.T) {
	key, fresh := generate(t, "ES256", "k1"), generate(t, "ES256", "k2")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		time.Sleep(time.Minute)
		text, err := token.PublicJWKS([]token.Key{key, fresh})
		if err != nil {
			t.Fatal(err)
		}
		server.set(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			_, _ = w.Write(text)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, took := judgeBy(t, ctx, w.v, fresh, nil)
		wantReason(t, got, policy.UnknownKey)
		wantEqual(t, "waited", took, time.Second)
		got, took = w.judge(t, fresh, nil)
		wantReason(t, got, policy.OK)
		wantEqual(t, "waited", took, 2*time.Second)
		w.wantFetches(t, 2)
	})
}

// TestReloadKeepsTheSet: a new policy with the same address does not begin anew;
// one without it ends the fetching.
func TestReloadKeepsTheSet(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		server.set(nil)
		often := spec()
		often.CacheDuration = seconds(60)
		next := verifier(t,
			remoteProvider(t, w.remotes, "first", often), remoteProvider(t, w.remotes, "second", spec()))
		got, _ := judgeBy(t, t.Context(), next, key, nil)
		wantReason(t, got, policy.OK)
		w.remotes.Use(next)
		w.wantFetches(t, 1)
		time.Sleep(65 * time.Second)
		w.wantFetches(t, 2)

		w.remotes.Use(verifier(t, provider(t, "static", nil, key)))
		before := w.server.fetches.Load()
		time.Sleep(time.Hour)
		w.wantFetches(t, before)
		got, _ = judgeBy(t, t.Context(), next, generate(t, "ES256", "k9"), nil)
		wantReason(t, got, policy.UnknownKey)
	})
}

// TestFetchesAreReported: what metrics and logs are told.
func TestFetchesAreReported(t *testing.T) {
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		first := <-w.fetches
		if first.Result != token.FetchOK || first.Err != nil || first.Keys != 1 || first.Providers[0] != "id" || !first.At.Equal(time.Now()) {
			t.Errorf("first fetch = %+v", first)
		}
		server.set(nil)
		time.Sleep(6 * time.Minute)
		second := <-w.fetches
		if second.Result != token.FetchStatus || second.Err == nil || second.Keys != 0 {
			t.Errorf("second fetch = %+v", second)
		}
		wantEqual(t, "state", w.v.State(time.Now()), []token.ProviderState{
			{Name: "id", Keys: 1, KIDs: []string{"k1"}, Remote: true, LastSuccess: first.At},
		})
	})
}

// TestSourceRefuses: addresses that are wrong in themselves.
func TestSourceRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		spec policy.RemoteJWKS
		ok   bool
	}{
		"https":                    {policy.RemoteJWKS{URI: keysURI}, true},
		"http where it is allowed": {policy.RemoteJWKS{URI: "http://id.example/jwks", AllowInsecureHTTP: true}, true},
		"http":                     {policy.RemoteJWKS{URI: "http://id.example/jwks"}, false},
		"a file":                   {policy.RemoteJWKS{URI: "file:///etc/passwd", AllowInsecureHTTP: true}, false},
		"a user":                   {policy.RemoteJWKS{URI: "https://u:p@id.example/jwks"}, false},
		"no host":                  {policy.RemoteJWKS{URI: "https:///jwks"}, false},
		"nothing":                  {policy.RemoteJWKS{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, remotes := range []*token.Remotes{nil, token.NewRemotes(token.RemotesConfig{})} {
				if _, err := remotes.Source("id", tc.spec); (err == nil) != tc.ok {
					t.Errorf("error = %v, want ok %v", err, tc.ok)
				}
			}
		})
	}
	t.Run("without a registry nothing is fetched and nothing verified", func(t *testing.T) {
		v := verifier(t, remoteProvider(t, nil, "id", spec()))
		got, _ := judgeBy(t, t.Context(), v, generate(t, "ES256", "k1"), nil)
		wantReason(t, got, policy.KeysUnavailable)
	})
}
