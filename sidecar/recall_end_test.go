package sidecar

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// recalled verifies a token twice and fails unless the second time it was known.
func (g *guarded) recalled(text string) {
	g.t.Helper()
	first, again := g.ask(text, time.Now()), g.ask(text, time.Now())
	if first.Reason != policy.OK || again.outcome.Verified != first.outcome.Verified {
		g.t.Fatalf("%s, then %s: not recalled", first.Reason, again.Reason)
	}
}

// A memory never outlives the policy and the keys that it comes from.
func TestRecallEndsWithItsSite(t *testing.T) {
	const provider = "secretRef: {name: agent-jwt, keys: [current, previous]}}"
	for name, c := range map[string]struct {
		file, content string
		reason        policy.Reason
	}{
		"tokens are revoked":      {"policy.yaml", strings.Replace(testPolicy, provider, "revokedBefore: \"2100-01-01T00:00:00Z\", "+provider, 1), policy.Revoked},
		"the key is replaced":     {"keys/agent-jwt/current", strings.Repeat("another secret, ", 4), policy.SignatureInvalid},
		"lifetimes are shortened": {"policy.yaml", strings.Replace(testPolicy, provider, "maxTokenLifetime: 10s, "+provider, 1), policy.LifetimeExceeded},
		"an audience is demanded": {"policy.yaml", strings.Replace(testPolicy, provider, "audiences: [agents], "+provider, 1), policy.AudienceMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{})
			text := teacher(t)
			g.recalled(text)
			before := g.sidecar.current.Load()
			g.write(c.file, c.content)
			await(t, "the change is in force", func() bool { return g.sidecar.current.Load() != before })
			if got := g.ask(text, time.Now()); got.Reason != c.reason {
				t.Errorf("%s, want %s", got.Reason, c.reason)
			}
		})
	}
}

// A key that is gone from a remote set accepts nothing any more, and a set that
// can no longer be fetched lives no longer for tokens that are known.
func TestRecallEndsWithARemoteKey(t *testing.T) {
	key, err := token.Generate("ES256", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.KID = "k1"
	other, err := token.Generate("ES256", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other.KID = "k2"
	text, err := token.Mint(key, nil, map[string]any{"sub": "u-1", "role": "teacher", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys   []token.Key // nil: the server answers 500
		reason policy.Reason
	}{
		"the key is removed":             {[]token.Key{other}, policy.UnknownKey},
		"the set is too old to be known": {nil, policy.KeysUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Pointer[[]byte]
			publish := func(keys ...token.Key) {
				set, err := token.PublicJWKS(keys)
				if err != nil {
					t.Fatal(err)
				}
				served.Store(&set)
			}
			publish(key)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				set := served.Load()
				if set == nil {
					http.Error(w, "gone", http.StatusInternalServerError)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(*set)
			}))
			defer server.Close()
			remote := "{name: local, algorithms: [ES256], remoteJWKS: {uri: \"" + server.URL + "/jwks\", allowInsecureHTTP: true, cacheDuration: 1s, failedRefetchDuration: 1s, unknownKeyRefetchInterval: 1s, maxStale: 3s}}"
			local := "{name: local, algorithms: [HS256], secretRef: {name: agent-jwt, keys: [current, previous]}}"
			g := start(t, setup{policy: strings.Replace(testPolicy, local, remote, 1)})
			await(t, "the key is fetched", func() bool { return g.ask(text, time.Now()).Reason == policy.OK })
			site := g.sidecar.current.Load()
			if served.Store(nil); c.keys != nil {
				publish(c.keys...)
			}
			await(t, string(c.reason), func() bool { return g.ask(text, time.Now()).Reason == c.reason })
			if g.sidecar.current.Load() != site {
				t.Error("it took another site")
			}
		})
	}
}
