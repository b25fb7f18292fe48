package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

const (
	appOrigin     = "https://app.example"
	sessionSecret = "a session secret of thirty-two bytes or more"
	cookieSecret  = "a cookie's secret of thirty-two bytes or more"
	userPassword  = "correct horse & battery staple"
	chat          = "https://chat.example"
	search        = "https://search.example"
)

// testSpec has every grant; {issuer} is where the issuer listens.
const testSpec = `apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: auth, namespace: agents}
spec:
  issuer: "{issuer}"
  signingKeyRef: {name: agent}
  audiences: ["https://chat.example", "https://search.example"]
  grants: [Session, ClientCredentials, Password, TokenExchange, RefreshToken]
  legacyPasswordGrant: true
  replicas: 1
  session:
    scopes: ["agents:run", "agents:read"]
    providers:
    - {name: app, issuers: ["https://app.example"], algorithms: [HS256], secretRef: {name: session, keys: [current]}}
    - {name: web, issuers: ["https://web.example"], algorithms: [HS256], secretRef: {name: web, keys: [current]}, extractFrom: {cookie: session}}
  clients: {credentialSelector: {}}
  password: {usersSecretRef: {name: users, key: htpasswd}, scopes: ["agents:run"]}
  tokenExchange: {sessions: true, serviceAccounts: [{name: batch, scopes: ["agents:batch"]}]}
  refreshToken: {reuseGrace: 10s}
  claims:
  - {name: tier, value: gold}
  - {name: role, from: role}
  cors: {allowOrigins: ["https://app.example"], allowCredentials: true}
  rateLimit: {perIP: 10000/s, perClient: 1000/s}
`

// world is a running issuer with everything around it.
type world struct {
	t       *testing.T
	dir     string
	url     string
	issuer  *Issuer
	log     *logBuffer
	key     token.Key  // that signs
	cluster token.Key  // of the cluster's service accounts
	client  apikey.Key // of the client crm
	end     func() error
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs an issuer with a changed document; nil changes nothing.
func start(t *testing.T, change func(spec string) string) *world {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), url: "http://" + listener.Addr().String(), log: &logBuffer{}}
	w.client = newAPIKey(t)
	spec := strings.ReplaceAll(testSpec, "{issuer}", w.url)
	if change != nil {
		spec = change(spec)
	}
	w.write("issuer.yaml", spec+clientDocument("crm", w.client))
	w.files()
	if w.issuer, err = New(Config{
		DocumentFile: filepath.Join(w.dir, "issuer.yaml"), KeysDir: filepath.Join(w.dir, "keys"), Listener: listener, Admin: "127.0.0.1:0",
		Log: slog.New(slog.NewJSONHandler(w.log, nil)), DrainTimeout: 5 * time.Second,
	}); err != nil {
		t.Fatal(err)
	}
	w.run()
	return w
}

// files writes keys and users.
func (w *world) files() {
	w.key = w.rotate("1-aaaaaaaaaa", nil)
	w.cluster = generate(w.t, "RS256", "cluster")
	w.write("keys/session/current", sessionSecret)
	w.write("keys/web/current", cookieSecret)
	w.write("keys/users/htpasswd", "ada:"+hashOf(userPassword)+"\n")
	set, err := token.PublicJWKS([]token.Key{w.cluster})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("keys/serviceaccounts.json", `{"issuer":"https://kubernetes.default.svc","jwks":`+string(set)+`}`)
}

// hashOf is a bcrypt hash as htpasswd makes it.
func hashOf(password string) string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		panic(err)
	}
	return string(hash)
}

// rotate makes a new key the signing one; the others are shown beside it.
func (w *world) rotate(kid string, others []token.Key) token.Key {
	w.t.Helper()
	key := generate(w.t, "ES256", kid)
	set, err := token.PublicJWKS(append([]token.Key{key}, others...))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := token.PrivatePEM(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("keys/agent/jwks.json", string(set))
	w.write("keys/agent/current.kid", kid)
	w.write("keys/agent/current", string(text))
	return key
}

func (w *world) run() {
	w.t.Helper()
	w.runUntil(func() bool { return w.issuer.health.Ready() && w.admin() != "" })
}

// runUntil runs the issuer to the end of the test and returns when it is up.
func (w *world) runUntil(up func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	ended := make(chan struct{})
	go func() { defer close(ended); err = w.issuer.Run(ctx) }()
	w.end = func() error { cancel(); <-ended; return err }
	w.t.Cleanup(func() {
		if err := w.end(); err != nil {
			w.t.Errorf("running: %v", err)
		}
	})
	w.await("the issuer is ready", func() bool {
		select {
		case <-ended:
			w.t.Fatalf("the issuer ended: %v", err)
		default:
		}
		return up()
	})
}

func (w *world) await(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("60 s later: not %s\n%s", what, w.log)
		}
	}
}

var adminAddress = regexp.MustCompile(`"admin":"([^"]+)"`)

func (w *world) admin() string {
	if match := adminAddress.FindStringSubmatch(w.log.String()); match != nil {
		return "http://" + match[1]
	}
	return ""
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

func generate(t *testing.T, alg, kid string) token.Key {
	t.Helper()
	key, err := token.Generate(alg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key.KID = kid
	return key
}

func newAPIKey(t *testing.T) apikey.Key {
	t.Helper()
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func clientDocument(id string, key apikey.Key) string {
	return fmt.Sprintf("---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: %s, namespace: agents}\n"+
		"spec: {clientID: %q, values: [{name: v1, keyHash: %q}], scopes: [\"agents:run\", \"agents:crm\"], claims: {tenant_id: t-1}}\n", id, id, key.Hash())
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (r reply) get(name string) string {
	text, _ := r.body[name].(string)
	return text
}

// do asks; headers come in pairs, and a body that is not empty is a form.
func (w *world) do(method, path, body string, headers ...string) reply {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			request.Header.Set(headers[i], headers[i+1])
			continue
		}
		request.Header.Add(headers[i], headers[i+1])
	}
	return w.send(request)
}

func (w *world) send(request *http.Request) reply {
	w.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := reply{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &got.body) // some answers have none
	return got
}

// form is a form's body of pairs.
func formOf(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

// session is a token of another system, with the claims changed.
func session(t *testing.T, secret, issuer string, change map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": issuer, "sub": "u-1", "role": "teacher", "exp": time.Now().Unix() + 600}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	text, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, nil, claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func appSession(t *testing.T) string {
	return "Bearer " + session(t, sessionSecret, "https://app.example", nil)
}

// verified is what a token says, verified by what the issuer shows.
func (w *world) verified(text string) map[string]any {
	w.t.Helper()
	set, errs := token.ParseJWKS([]byte(w.do("GET", "/.well-known/jwks.json", "").text))
	if len(errs) > 0 {
		w.t.Fatal(errs)
	}
	return w.verifiedBy(set, text)
}

func (w *world) verifiedBy(set *token.KeySet, text string) map[string]any {
	w.t.Helper()
	verifier, err := token.NewVerifier([]token.Provider{{
		Provider: policy.Provider{Name: "ours", Issuers: []string{w.url}, Algorithms: []policy.Algorithm{"ES256"}}, Keys: set,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	raw, reason := token.Extract([]string{text}, "", 0)
	outcome := verifier.Verify(w.t.Context(), raw, time.Now())
	if reason != "" || outcome.Reason != policy.OK {
		w.t.Fatalf("a token of ours is refused: %s %s", reason, outcome.Reason)
	}
	return outcome.Verified.Claims()
}
