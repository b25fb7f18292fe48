// Package apikeys meets the built programs with API keys: the command line makes
// them, the sidecar judges them, and nothing shows them. Tests only.
package apikeys

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

const policy = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat}
spec:
  apiKeyAuth: {credentialSelector: {matchLabels: {team: chat}}}
  exemptions: [{methods: [GET], path: /health}]
  cors: {allowOrigins: ["https://app.example"]}
`

// agent records every byte of every request that reaches it.
type agent struct {
	*httptest.Server

	mu   sync.Mutex
	seen strings.Builder
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bytes, _ := httputil.DumpRequest(r, true)
		a.mu.Lock()
		a.seen.Write(bytes)
		a.mu.Unlock()
		_, _ = io.WriteString(w, r.Header.Get("X-Auth-Client"))
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *agent) bytes() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.String()
}

// made is a key and its APIKey object, as the command line makes them.
type made struct{ key, object string }

// create runs gatepost apikey create.
func create(t *testing.T, client string, args ...string) made {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	args = append([]string{"apikey", "create", "--client-id", client, "--label", "team=chat", "--key-file", file}, args...)
	object, err := exec.CommandContext(t.Context(), live.Build(t, "gatepost"), args...).Output()
	if err != nil {
		t.Fatalf("gatepost apikey create: %v", err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %v %v", info.Mode(), err)
	}
	return made{key: string(key), object: string(object)}
}

// file is the policy with the objects behind it.
func file(objects ...made) []byte {
	text := policy
	for _, one := range objects {
		text += "---\n" + one.object
	}
	return []byte(text)
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

// ask sends one request with names and values of headers.
func ask(t *testing.T, url string, header ...string) answer {
	t.Helper()
	got, err := fetch(t.Context(), url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fetch(ctx context.Context, url string, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(body), res.Header}, err
}

func TestTheBuiltProgramsAgreeAboutAKey(t *testing.T) {
	agent := newAgent(t)
	crm, batch, unknown := create(t, "crm", "--scope", "agents:run"), create(t, "batch", "--expires", "1h"), create(t, "crm")
	sidecar := live.Start(t, live.Setup{Policy: string(file(crm, batch)), Upstream: agent.Listener.Addr().String()})
	for sentence, test := range map[string]struct {
		path   string
		header []string
		status int
		want   string
	}{
		"a client":                {"/", []string{"X-API-Key", crm.key}, 200, "crm"},
		"another":                 {"/", []string{"X-API-Key", batch.key}, 200, "batch"},
		"who says who it is":      {"/", []string{"X-API-Key", batch.key, "X-Auth-Client", "crm"}, 200, "batch"},
		"who says so otherwise":   {"/", []string{"X-API-Key", batch.key, "X_Auth_Client", "crm", "Connection", "X-Auth-Client"}, 200, "batch"},
		"a key that is not known": {"/", []string{"X-API-Key", unknown.key}, 401, `{"detail":"Invalid API key"}`},
		"no key":                  {"/", nil, 401, `{"detail":"Not authenticated"}`},
		"two keys":                {"/", []string{"X-API-Key", crm.key, "X-API-Key", batch.key}, 400, `{"detail":"Invalid request","error":"invalid_request"}`},
		"a key in the query":      {"/?X-API-Key=" + crm.key, nil, 401, `{"detail":"Not authenticated"}`},
		"a key in a cookie":       {"/", []string{"Cookie", "X-API-Key=" + crm.key}, 401, `{"detail":"Not authenticated"}`},
		"a public route":          {"/health", []string{"X-API-Key", crm.key, "X-Auth-Client", "root"}, 200, ""},
	} {
		got := ask(t, sidecar.URL+test.path, append(test.header, "Origin", "https://app.example")...)
		if got.status != test.status || strings.TrimSpace(got.body) != test.want {
			t.Errorf("%s: %d %s", sentence, got.status, got.body)
		}
		if got.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s: a page could not read the answer", sentence)
		}
	}
	found := secrets(t, sidecar, agent, crm, batch, unknown)
	live.Figure("api_key_secrets_found", found, "occurrences")
	if found > 0 {
		t.Error("a key or a hash came out")
	}
}

// secrets counts keys and hashes in everything that the sidecar shows.
func secrets(t *testing.T, sidecar *live.Sidecar, agent *agent, all ...made) int {
	t.Helper()
	sidecar.Await(t, "the record of its last request", func(context.Context) bool { // it is written after the answer
		return strings.Contains(sidecar.Logs.String(), `"client":"crm"`)
	})
	places := map[string]string{"the agent": agent.bytes(), "logs": sidecar.Logs.String()}
	for _, path := range []string{"/metrics", "/state", "/decisions", "/healthz", "/readyz"} {
		_, places[path] = sidecar.Private(path)
	}
	for _, name := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(sidecar.PID), name))
		if err != nil {
			t.Fatal(err)
		}
		places[name] = string(text)
	}
	found := 0
	for place, text := range places {
		for _, one := range all {
			key, err := apikey.Parse(one.key)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{one.key[13:45], strings.TrimPrefix(key.Hash().String(), "sha256:")} {
				if n := strings.Count(text, secret); n > 0 {
					found += n
					t.Errorf("%s: %d times", place, n)
				}
			}
		}
	}
	if !strings.Contains(places["/metrics"], `client="unknown"`) {
		t.Error("nothing was counted")
	}
	return found
}

// While clients keep calling, one of two keys is taken away, again and again:
// the other is never refused, and from the first refusal on the taken one is
// never let in.
func TestAKeyIsTakenAwayUnderLoad(t *testing.T) {
	agent := newAgent(t)
	stays := create(t, "batch")
	sidecar := live.Start(t, live.Setup{Policy: string(file(stays)), Upstream: agent.Listener.Addr().String(), OutputBytes: 1 << 20})
	rounds := 5
	if factor, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil {
		rounds *= factor
	}
	var slowest time.Duration
	var calls atomic.Int64
	for round := range rounds {
		goes := create(t, "crm")
		sidecar.Write("policy.yaml", file(stays, goes))
		waitFor(t, sidecar.URL, goes.key, http.StatusOK)
		took, n := takeAway(t, sidecar, stays, goes)
		slowest = max(slowest, took)
		calls.Add(n)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	live.Figure("api_key_revoked_after", fmt.Sprintf("%.1f", slowest.Seconds()), fmt.Sprintf("s at most, in %d rounds and %d requests", rounds, calls.Load()))
}

// takeAway removes a client while four callers use each of the keys.
func takeAway(t *testing.T, sidecar *live.Sidecar, stays, goes made) (took time.Duration, calls int64) {
	t.Helper()
	var gone atomic.Bool
	var n atomic.Int64
	var callers sync.WaitGroup
	began := time.Now()
	deadline := began.Add(30 * time.Second)
	for i := range 8 {
		callers.Go(func() {
			for afterwards := 0; afterwards < 50 && time.Now().Before(deadline) && !t.Failed(); n.Add(1) {
				before := gone.Load()
				if before {
					afterwards++
				}
				key := goes.key
				if i%2 == 0 {
					key = stays.key
				}
				got, err := fetch(t.Context(), sidecar.URL, "X-API-Key", key)
				switch {
				case err != nil || key == stays.key && got.status != 200:
					t.Errorf("the key that stays is answered %d, %v", got.status, err)
				case key == stays.key:
				case got.status == 401:
					gone.Store(true)
				case got.status != 200 || before:
					t.Errorf("the key that was taken away is answered %d after a refusal", got.status)
				}
			}
		})
	}
	sidecar.Write("policy.yaml", file(stays))
	for !gone.Load() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	took = time.Since(began)
	callers.Wait()
	if !gone.Load() {
		t.Error("the key is still let in")
	}
	return took, n.Load()
}

func waitFor(t *testing.T, url, key string, status int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ask(t, url, "X-API-Key", key).status == status {
			return
		}
	}
	t.Fatalf("the key is not answered %d", status)
}
