package jwks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

const secret = "an HMAC secret of thirty-two bytes or more"

// recoveryLimit is what a recovery may take.
const recoveryLimit = 10 * time.Second

// stand is one sidecar with a key server for each of its states.
type stand struct {
	sidecar *live.Sidecar
	states  []*state
	client  *http.Client
	held    chan struct{}
	scene   *scene
}

// state is one bad state and the provider that lives with it.
type state struct {
	name      string
	server    *keyServer
	key, next token.Key
	degraded  int // the answer to an honest token before the server was ever good
	recovery  time.Duration
}

// scene is what the stands share: an attacker, and another host that publishes
// his key.
type scene struct {
	attacker  token.Key
	elsewhere *httptest.Server
	lured     atomic.Int64 // fetches from the other host
	reached   atomic.Int64 // forged tokens that reached the agent
}

func newScene(t *testing.T) *scene {
	t.Helper()
	in := &scene{attacker: generate(t, "attacker")}
	set := setOf(t, in.attacker)
	in.elsewhere = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		in.lured.Add(1)
		_, _ = w.Write(set)
	}))
	t.Cleanup(in.elsewhere.Close)
	return in
}

// TestKeyServersInBadStates walks through the states side by side: bad from the
// start, good, bad in mid-life, good with another key.
func TestKeyServersInBadStates(t *testing.T) {
	scene := newScene(t)
	stands := []*stand{
		newStand(t, scene, "2s", "down", "slow", "hanging", "500", "garbage", "empty"),
		newStand(t, scene, "2s", "200mb", "gzip_bomb", "redirect_same", "redirect_cross", "redirect_metadata", "rotating"),
	}
	var all sync.WaitGroup
	grown := make([]float64, len(stands))
	for i, s := range stands {
		all.Go(func() { grown[i] = s.live(t) })
	}
	all.Wait()
	for _, s := range stands {
		for _, in := range s.states {
			live.Figure("jwks_"+in.name+"_recovery", fmt.Sprintf("%.1f", in.recovery.Seconds()), "s")
		}
	}
	live.Figure("jwks_rss_growth", fmt.Sprintf("%.1f", slices.Max(grown)), "MB")
	live.Figure("jwks_fail_open", scene.reached.Load(), "requests")
	if scene.reached.Load() != 0 || scene.lured.Load() != 0 {
		t.Errorf("%d forged tokens reached the agent, %d fetches another host", scene.reached.Load(), scene.lured.Load())
	}
	if slices.Max(grown) > 8 {
		t.Errorf("RSS grew by %v MB, want at most 8", grown)
	}
}

// newStand starts a sidecar whose key servers answer nothing yet, and with the
// given cacheDuration.
func newStand(t *testing.T, scene *scene, cache string, names ...string) *stand {
	t.Helper()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forged" {
			scene.reached.Add(1)
		}
		_, _ = io.WriteString(w, "agent")
	}))
	t.Cleanup(agent.Close)
	s := &stand{held: make(chan struct{}), scene: scene, client: &http.Client{
		Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32},
	}}
	bad := badStates(t, setOf(t, scene.attacker), scene.elsewhere.URL)
	var providers strings.Builder
	for _, name := range names {
		in := &state{name: name, key: generate(t, name+"-1"), next: generate(t, name+"-2"), degraded: http.StatusServiceUnavailable}
		in.server = newServer(t, s.held, bad[name])
		switch name {
		case "redirect_same":
			in.degraded = http.StatusOK
			in.server.set = setOf(t, in.key)
		case "rotating":
			in.degraded = http.StatusUnauthorized
		}
		s.states = append(s.states, in)
		fmt.Fprintf(&providers, "\n    - {name: p-%s, issuers: [%q], algorithms: [ES256], audiences: [agent], remoteJWKS: {uri: %q, allowInsecureHTTP: true, cacheDuration: %s}}",
			strings.ReplaceAll(name, "_", "-"), name, "http://"+in.server.address+"/jwks", cache)
	}
	s.sidecar = live.Start(t, live.Setup{
		Policy: "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: chat}\nspec:\n  jwt:\n    providers:" +
			"\n    - {name: own, issuers: [own], algorithms: [HS256], secretRef: {name: s, keys: [current]}}" + providers.String() + "\n",
		Keys:     map[string][]byte{"s/current": []byte(secret)},
		Upstream: strings.TrimPrefix(agent.URL, "http://"),
	})
	return s
}

// live goes through all states at once and returns by how many MB the sidecar
// grew meanwhile.
func (s *stand) live(t *testing.T) float64 {
	s.warm(t)
	before := s.rss(t, "VmRSS")
	close(s.held)
	var over atomic.Bool
	var secrets, all sync.WaitGroup
	secrets.Go(func() {
		for !over.Load() {
			s.want(t, "/own", mint(t, hmacKey(), "own"), http.StatusOK)
			time.Sleep(50 * time.Millisecond)
		}
	})
	for _, in := range s.states {
		all.Go(func() { s.walk(t, in) })
	}
	all.Wait()
	over.Store(true)
	secrets.Wait()
	return s.rss(t, "VmHWM") - before
}

// warm sends as many good tokens at once as will come later: what that takes is
// not the key servers' doing.
func (s *stand) warm(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				s.want(t, "/own", mint(t, hmacKey(), "own"), http.StatusOK)
			}
		})
	}
	all.Wait()
}

// walk is the life of one key server.
func (s *stand) walk(t *testing.T, in *state) {
	for until := time.Now().Add(7 * time.Second); time.Now().Before(until); pause(t.Context(), 250*time.Millisecond) {
		s.want(t, "/honest", mint(t, in.key, in.name), in.degraded)
		s.forge(t, in)
	}
	in.server.recover(t, in.key)
	in.recovery = s.accepted(t, in, in.key)

	in.server.fail()
	before := in.server.fetches()
	for until := time.Now().Add(7 * time.Second); time.Now().Before(until); pause(t.Context(), 250*time.Millisecond) {
		if in.name != "rotating" {
			s.want(t, "/honest", mint(t, in.key, in.name), http.StatusOK)
		}
		s.forge(t, in)
	}
	if in.server.fetches() == before && in.server.bad != nil {
		t.Errorf("%s: nothing was fetched in mid-life: this proves nothing", in.name)
	}
	in.server.recover(t, in.next)
	in.recovery = max(in.recovery, s.accepted(t, in, in.next))
	s.want(t, "/honest", mint(t, in.key, in.name), http.StatusUnauthorized)
	s.forge(t, in)
}

// accepted waits until tokens of the key are, and returns how long that took.
func (s *stand) accepted(t *testing.T, in *state, key token.Key) time.Duration {
	begun := time.Now()
	for time.Since(begun) < 3*recoveryLimit {
		if s.send(t, "/honest", mint(t, key, in.name)) == http.StatusOK {
			break
		}
		pause(t.Context(), 100*time.Millisecond)
	}
	took := time.Since(begun)
	if took >= recoveryLimit+time.Second {
		t.Errorf("%s: tokens were accepted %v after the recovery, want %v", in.name, took, recoveryLimit)
	}
	return took
}

// forge sends tokens that nobody may believe, in any state.
func (s *stand) forge(t *testing.T, in *state) {
	attacker := s.scene.attacker
	known := attacker
	known.KID = in.key.KID
	nameless := attacker
	nameless.KID = ""
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	honest := mint(t, in.key, in.name)
	for name, text := range map[string]string{
		"by an attacker's key":                mint(t, attacker, in.name),
		"by an attacker's key under our kid":  mint(t, known, in.name),
		"by an attacker's key without kid":    mint(t, nameless, in.name),
		"by our public key as a secret":       confused(t, in),
		"without a signature":                 none + honest[strings.IndexByte(honest, '.'):strings.LastIndexByte(honest, '.')+1],
		"by the secret of the other provider": mint(t, hmacKey(), in.name),
	} {
		if got := s.send(t, "/forged", text); got != http.StatusUnauthorized && got != http.StatusServiceUnavailable {
			t.Errorf("%s: a token %s: %d", in.name, name, got)
		}
	}
}

// confused is signed by HMAC with what the key server publishes.
func confused(t *testing.T, in *state) string {
	key, err := token.PublicJWK(in.key)
	if err != nil {
		t.Error(err)
	}
	honest := mint(t, in.key, in.name)
	head := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"HS256","kid":%q}`, in.key.KID))
	signed := head + honest[strings.IndexByte(honest, '.'):strings.LastIndexByte(honest, '.')]
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
