package load

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/test/live"
)

// hoard is what must never be seen outside: each text with its name.
type hoard map[string]string

// secret adds the bytes of a secret in every form that somebody may write.
func (h hoard) secret(name, raw string) {
	b := []byte(raw)
	h[name] = raw
	h[name+" in base64"] = base64.RawStdEncoding.EncodeToString(b)
	h[name+" in base64url"] = base64.RawURLEncoding.EncodeToString(b)
	h[name+" in hex"] = hex.EncodeToString(b)
	h[name+" in HEX"] = strings.ToUpper(hex.EncodeToString(b))
}

// token adds a token, and its payload and signature by themselves.
func (h hoard) token(name, compact string) string {
	h[name] = compact
	for i, part := range strings.Split(compact, ".")[1:] { // the header is nobody's secret
		h[fmt.Sprintf("part %d of %s", i+2, name)] = part
	}
	return compact
}

// claim adds a value that only a token holds, and returns it.
func (h hoard) claim(name string) string {
	value := name + "-" + rand.Text()
	h["claim "+name] = value
	return value
}

// leaks are the names of what is found in text.
func (h hoard) leaks(text []byte) (found []string) {
	lower := bytes.ToLower(text)
	for name, needle := range h {
		if bytes.Contains(text, []byte(needle)) || strings.HasPrefix(name, "claim ") && bytes.Contains(lower, bytes.ToLower([]byte(needle))) {
			found = append(found, name)
		}
	}
	return found
}

// key adds an API key, and its random part by itself.
func (h hoard) key(name, text string) string {
	h[name] = text
	h["the random part of "+name] = text[strings.LastIndexByte(text, '_')+1:]
	return text
}

const secretsPolicy = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: secrets}
spec:
  jwt:
    providers:
    - {name: back-end, algorithms: [HS256], secretRef: {name: back-end, keys: [current, previous]}}
    extractFrom: {headers: [{name: Authorization, valuePrefix: "Bearer "}, {name: Cookie, valuePrefix: token=}]}
  apiKeyAuth: {credentialSelector: {}}
  webSocket: {tokenSources: [Header, Subprotocol]}
  authorization:
    rules:
    - {name: programs, principal: {apiKeys: [program]}}
    - {name: owners, operation: {paths: [{type: Prefix, value: /owner}]}, principal: {scopes: {anyOf: ["agents:own"]}}}
    - {name: nobody, action: Deny, operation: {paths: [{type: Prefix, value: /owner}]}}
    - {name: run, principal: {claims: [{name: role, values: [teacher]}]}}
  exemptions: [{methods: [GET], path: /health}]
  cors: {allowOrigins: ["https://app.example"], allowCredentials: true}
`

// keyDocument is an APIKey of the client program: one key that is live and one
// that has expired.
func keyDocument(live, expired apikey.Key) string {
	return fmt.Sprintf("---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: program}\nspec:\n  clientID: program\n"+
		"  values: [{name: live, keyHash: '%s'}, {name: old, keyHash: '%s', expiresAt: 2026-01-01T00:00:00Z}]\n", live.Hash(), expired.Hash())
}

// everything is the traffic of TestSecretsStayInside and what came of it.
type everything struct {
	hoard hoard
	g     *live.Sidecar

	mu   sync.Mutex
	seen bytes.Buffer // all answers, byte for byte
}

// tokens mints good and bad tokens, all with claims of their own.
func (e *everything) tokens(t *testing.T) map[string]string {
	t.Helper()
	tokens := map[string]string{}
	add := func(name, key string, claims map[string]any) {
		for _, claim := range []string{"sub", "email", "name", "tenant_id", "department"} {
			claims[claim] = e.hoard.claim(name + "." + claim)
		}
		tokens[name] = e.hoard.token("token "+name, mint(t, key, claims))
	}
	past := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	add("good", secret, map[string]any{"role": "teacher"})
	add("of no role", secret, map[string]any{"roles": []string{e.hoard.claim("a role")}})
	add("expired", secret, map[string]any{"role": "teacher", "iat": past(2 * time.Hour), "exp": past(time.Hour)})
	add("within the leeway", secret, map[string]any{"role": "teacher", "exp": past(2 * time.Second)})
	add("of tomorrow", secret, map[string]any{"role": "teacher", "nbf": past(-24 * time.Hour), "exp": past(-25 * time.Hour)})
	add("of a wrong key", strings.Repeat("wrong", 10), map[string]any{"role": "teacher"})
	add("of a wrong type", secret, map[string]any{"role": "teacher", "exp": "never " + e.hoard.claim("exp")})
	good := tokens["good"]
	tokens["cut"] = e.hoard.token("token cut", good[:len(good)-8])
	tokens["of four parts"] = good + "." + e.hoard.claim("fourth part")
	tokens["with a blank"] = good[:20] + " " + good[20:]
	tokens["too large"] = strings.Repeat(good, 1+20_000/len(good))
	return tokens
}

// keys are API keys: a live one, an expired one, an unknown one and texts that
// are none. The document makes them known.
func (e *everything) keys(t *testing.T) (keys []string, document string) {
	t.Helper()
	var made [3]apikey.Key
	for i, name := range []string{"live", "expired", "unknown"} {
		key, err := apikey.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made[i] = key
		keys = append(keys, e.hoard.key("API key "+name, key.Reveal()))
	}
	live := keys[0]
	keys = append(keys, live[:len(live)-1], live+" ", e.hoard.claim("no API key"))
	return keys, keyDocument(made[0], made[1])
}

// requestsOfKey carry an API key where it belongs and where it must not.
func requestsOfKey(key string) []string {
	const end = " HTTP/1.1\r\nHost: agent.example\r\nConnection: close\r\n"
	header := "X-API-Key: " + key + "\r\n"
	return []string{
		"GET /run" + end + header + "\r\n",
		"GET /fails" + end + header + "\r\n",
		"GET /run" + end + header + header + "\r\n",
		"GET /run" + end + header + "Authorization: Bearer " + key + "\r\n\r\n",
		"GET /run" + end + "Cookie: token=" + key + "\r\n\r\n",
		"GET /run?api_key=" + key + end + "\r\n",
	}
}

// requests carry a token where it belongs, where it may, and where it must not.
func requests(compact string) []string {
	const end = " HTTP/1.1\r\nHost: agent.example\r\nConnection: close\r\n"
	bearer := "Authorization: Bearer " + compact + "\r\n"
	return []string{
		"GET /run" + end + bearer + "\r\n",
		"GET /owner" + end + bearer + "Origin: https://app.example\r\n\r\n",
		"GET /fails" + end + bearer + "\r\n",
		"GET /health" + end + bearer + "\r\n",
		"POST /run" + end + bearer + "Content-Length: 4\r\n\r\nbody",
		"GET /run" + end + bearer + bearer + "\r\n",
		"GET /run" + end + "Authorization: Basic " + compact + "\r\n\r\n",
		"GET /run" + end + "Cookie: token=" + compact + "\r\n\r\n",
		"GET /run" + end + "X-API-Key: " + compact + "\r\n\r\n",
		"GET /run?access_token=" + compact + end + "\r\n",
		"GET /run" + end + "X-Auth-Subject: " + compact + "\r\n\r\n",
		"GET /run" + end + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bearer, " + compact + "\r\n\r\n",
		"GET /run" + end + bearer + "Sec-WebSocket-Protocol: bearer, " + compact + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET /run" + end + bearer + "Bad Header: x\r\n\r\n",
		"GET /run" + end + bearer + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
		"OPTIONS /run" + end + bearer + "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
	}
}

// send keeps what comes back, whatever it is.
func (e *everything) send(t *testing.T, request string) {
	t.Helper()
	conn, err := dial(t.Context(), e.g.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, request) // a refused head may be cut off
	back, _ := io.ReadAll(conn)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen.Write(back)
}

// reloads gives the sidecar files that it must refuse and complain about.
func (e *everything) reloads(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	e.hoard["a private key's first line"] = strings.Split(string(private), "\n")[1]
	e.hoard.secret("a short secret", "short "+rand.Text()[:12])
	for _, content := range []string{e.hoard["a short secret"], string(private)} {
		before := e.g.Metric(`gatepost_config_reloads_total{result="ok"}`)
		refused := strings.Count(e.g.Logs.String(), "reload refused")
		e.g.Write("keys/back-end/current", []byte(content))
		await(t, "the secret is refused", func() bool { return strings.Count(e.g.Logs.String(), "reload refused") > refused })
		e.g.Write("keys/back-end/current", []byte(secret))
		await(t, "the good one is taken", func() bool { return e.g.Metric(`gatepost_config_reloads_total{result="ok"}`) != before })
	}
}

// outside is all that can be seen of the sidecar, by where it is seen.
func (e *everything) outside(t *testing.T) map[string][]byte {
	t.Helper()
	places := map[string][]byte{"answers": e.seen.Bytes()}
	for _, path := range []string{"/metrics", "/state", "/state?nonce=n", "/decisions", "/healthz", "/readyz"} {
		_, text := e.g.Private(path)
		places[path] = []byte(text)
	}
	for _, name := range []string{"environ", "cmdline", "maps", "comm", "limits"} {
		content, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(e.g.PID), name))
		if err != nil {
			live.Missing(t, "this test reads /proc: %v", err)
		}
		places["/proc/PID/"+name] = content
	}
	if !strings.Contains(string(places["/proc/PID/limits"]), "Max core file size        0") {
		t.Errorf("a crash may leave a core file:\n%s", places["/proc/PID/limits"])
	}
	// How a crash is told is in the log.
	if err := syscall.Kill(e.g.PID, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.g.Ended():
	case <-time.After(patience):
		t.Fatal("SIGQUIT did not end the sidecar")
	}
	places["log"] = []byte(e.g.Logs.String())
	return places
}

// Whatever clients send, neither a secret nor anything of a token is seen
// anywhere but in the request that the agent gets.
func TestSecretsStayInside(t *testing.T) {
	agent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fails" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "agent")
	})
	e := &everything{hoard: hoard{}}
	previous := rand.Text() + rand.Text()
	e.hoard.secret("the secret", secret)
	e.hoard.secret("the previous secret", previous)
	keys, document := e.keys(t)
	e.g = live.Start(t, live.Setup{
		Policy: secretsPolicy + document, Upstream: serve(t, agent), Flags: []string{"--log-level", "debug"},
		Keys: map[string][]byte{"back-end/current": []byte(secret), "back-end/previous": []byte(previous)},
	})
	sent := 0
	for _, key := range keys {
		for _, request := range requestsOfKey(key) {
			e.send(t, request)
			sent++
		}
	}
	for _, compact := range e.tokens(t) {
		for _, request := range requests(compact) {
			e.send(t, request)
			sent++
		}
	}
	e.reloads(t)
	found, places := 0, e.outside(t)
	for _, reason := range []string{
		"ok", "exempt", "missing_credential", "ambiguous_credentials", "malformed_token", "token_too_large", "signature_invalid", "expired",
		"claim_invalid", "api_key_invalid", "api_key_expired", "rule_denied", "bad_request",
	} {
		if !bytes.Contains(places["/metrics"], []byte(`reason="`+reason+`"`)) {
			t.Errorf("the traffic was not mixed enough: no request had the reason %s", reason)
		}
	}
	for place, text := range places {
		if len(text) == 0 {
			t.Errorf("%s: there is nothing to look through", place)
		}
		for _, name := range e.hoard.leaks(text) {
			found++
			t.Errorf("%s is in: %s", name, place)
		}
	}
	live.Figure("secret_requests", sent, "requests")
	live.Figure("secret_texts_looked_for", len(e.hoard), "texts")
	live.Figure("secret_occurrences", found, "occurrences")
}

// A search that finds nothing must be able to find something.
func TestTheSearchFindsWhatIsThere(t *testing.T) {
	h := hoard{}
	h.secret("s", secret)
	h.key("k", "gpk_abc_defghijklmnop")
	h.token("t", mint(t, secret, map[string]any{"sub": h.claim("c")}))
	for name, text := range h {
		if leaks := h.leaks([]byte("x" + text + "y")); len(leaks) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	if leaks := h.leaks([]byte("nothing of it")); len(leaks) > 0 {
		t.Errorf("found %v in nothing", leaks)
	}
}
