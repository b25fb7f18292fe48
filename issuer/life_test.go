package issuer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func (w *world) private(path string) (int, string) {
	w.t.Helper()
	response, err := http.Get(w.admin() + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// Secrets come in by every way there is, right and wrong; none comes out again but
// as a token in an answer.
func TestNoSecretIsToldToAnybody(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	good, key := appSession(t), w.client.Reveal()
	got := login(w, "ada", userPassword)
	refresh, access := got.get("refresh_token"), got.get("access_token")
	renew(w, refresh)
	const wrong = "hunter2-is-wrong"
	var answers strings.Builder
	for _, r := range []reply{
		w.do("POST", "/api/get-token", "", "Authorization", good, "Authorization", good),
		w.do("POST", "/api/get-token?access_token="+good[7:], ""),
		w.do("POST", "/"+key, ""),
		w.do("POST", "/token?client_secret="+key, ""),
		w.do("POST", "/token", formOf("grant_type", "client_credentials", "client_id", "crm", "client_secret", key, "scope", "x")),
		w.do("POST", "/token", formOf("grant_type", "client_credentials"), "Authorization", basic("erp", key)),
		w.do(key[:20], "/token", ""),
		login(w, "ada", wrong), login(w, "ada", wrong+userPassword), renew(w, refresh+"x"),
		w.do("POST", "/token", formOf("grant_type", exchangeGrant, "subject_token", access, "subject_token_type", "urn:ietf:params:oauth:token-type:jwt")),
	} {
		answers.WriteString(r.text)
		fmt.Fprint(&answers, r.header)
	}
	_, metrics := w.private("/metrics")
	_, state := w.private("/state?nonce=n")
	for place, text := range map[string]string{"the log": w.log.String(), "metrics": metrics, "the state": state, "refusals": answers.String()} {
		for name, secret := range map[string]string{
			"a session": good[7:], "a client's secret": key, "half of one": key[:30], "a password": userPassword, "a wrong password": wrong, "a refresh token": refresh,
			"an access token": access, "the session secret": sessionSecret, "a private key": "PRIVATE KEY", "a subject": "u-1", "a user": `"ada"`,
		} {
			if strings.Contains(text, secret) {
				t.Errorf("%s of %s shows %s", place, t.Name(), name)
			}
		}
	}
	if !strings.Contains(w.log.String(), `"result":"invalid_grant"`) || !strings.Contains(metrics, `grant="password",issuer="auth",result="invalid_grant"} 2`) {
		t.Error("nothing is told at all: this test proves nothing")
	}
}

// One record per request says what became of it, in words of a closed set.
func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t))
	id := got.header.Get("X-Gatepost-Decision")
	w.await("the record is written", func() bool { return strings.Contains(w.log.String(), id) })
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, id) {
			continue
		}
		for _, part := range []string{`"endpoint":"get-token"`, `"grant":"session"`, `"result":"ok"`, `"provider":"app"`, `"kid":"1-aaaaaaaaaa"`, `"status":200`, `"subject_hash":"`, `"issuer":"auth"`} {
			if !strings.Contains(line, part) {
				t.Errorf("the record has no %s: %s", part, line)
			}
		}
	}
	_, metrics := w.private("/metrics")
	for _, series := range []string{`gatepost_issuer_tokens_total{grant="session",issuer="auth",result="ok"} 1`, `gatepost_issuer_can_sign 1`, `gatepost_config_reloads_total{result="ok"} 1`, `gatepost_issuer_request_duration_seconds_count{endpoint="get-token"} 1`} {
		if !strings.Contains(metrics, series) {
			t.Errorf("metrics have no %s", series)
		}
	}
}

func TestRatesHoldBack(t *testing.T) {
	t.Parallel()
	w := start(t, func(spec string) string {
		return strings.Replace(spec, "rateLimit: {perIP: 10000/s, perClient: 1000/s}", "rateLimit: {perIP: 20/m, perClient: 3/m}\n  trustedProxies: [127.0.0.0/8]", 1)
	})
	ask := func(address string) reply {
		return w.do("POST", "/token", formOf("grant_type", "client_credentials"), "Authorization", basic("crm", w.client.Reveal()), "X-Forwarded-For", address)
	}
	for range 3 {
		if got := ask("198.51.100.1"); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.text)
		}
	}
	if got := ask("198.51.100.2"); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("the client's fourth: %d %s", got.status, got.text)
	}
	last := 0
	for range 30 {
		last = w.do("POST", "/api/get-token", "", "X-Forwarded-For", "198.51.100.3").status
	}
	if last != 429 {
		t.Errorf("the thirtieth of an address: %d", last)
	}
	if got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t), "X-Forwarded-For", "198.51.100.4"); got.status != 200 {
		t.Errorf("another address: %d %s", got.status, got.text)
	}
	if got := w.do("GET", "/.well-known/jwks.json", "", "X-Forwarded-For", "198.51.100.3"); got.status != 200 {
		t.Errorf("keys for the one held back: %d", got.status)
	}
	before := w.issuer.current.Load()
	w.rotate("2-bbbbbbbbbb", nil)
	w.await("the new key is in force", func() bool { return w.issuer.current.Load() != before })
	if got := ask("198.51.100.5"); got.status != 429 {
		t.Errorf("a reload refilled the bucket: %d", got.status)
	}
}

// A broken document or key keeps the last good state, and says so.
func TestBadReloadsKeepTheLastGoodState(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for name, content := range map[string]string{"issuer.yaml": "spec: {", "keys/session/current": "short", "keys/users/htpasswd": "ada:plain\n"} {
		refused := strings.Count(w.log.String(), "reload refused")
		w.write(name, content)
		w.await(name+" is refused", func() bool { return strings.Count(w.log.String(), "reload refused") > refused })
		if got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t)); got.status != 200 || !w.issuer.health.Ready() {
			t.Errorf("after %s: %d %s", name, got.status, got.text)
		}
	}
	if _, metrics := w.private("/metrics"); strings.Contains(metrics, `gatepost_config_reloads_total{result="invalid"} 0`) {
		t.Error("nothing was counted")
	}
}

// The private address says how things are, to whoever may know.
func TestAdminPort(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/state": 200, "/state?nonce=a|b": 400, "/debug/pprof/": 404, "/token": 404, "/drain": 405} {
		if got, text := w.private(path); got != want {
			t.Errorf("%s: %d %s", path, got, text)
		}
	}
	drain := func(headers ...string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.admin()+"/drain", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		return w.send(request).status
	}
	if got := drain("Origin", "https://evil.example"); got != 403 || !w.issuer.health.Ready() {
		t.Errorf("a page drains: %d", got)
	}
	if got := drain(); got != 204 || w.issuer.health.Ready() {
		t.Errorf("the pod drains: %d", got)
	}
	if got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t)); got.status != 200 {
		t.Errorf("requests go on: %d", got.status)
	}
}

// A request that is under way when the end is asked for is answered.
func TestRequestsUnderWayAreAnsweredAtTheEnd(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := formOf("grant_type", "client_credentials")
	fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		basic("crm", w.client.Reveal()), len(body), body[:5])
	w.await("the request is under way", func() bool { return w.issuer.requests.Load() > 0 })
	ended := make(chan error, 1)
	go func() { ended <- w.end() }()
	w.await("the issuer drains", func() bool { return w.issuer.health.Draining() })
	if _, err := io.WriteString(conn, body[5:]); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", response, err)
	}
	response.Body.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the issuer did not end")
	}
}

// Uploads that are refused are answered before they are over, also where the client
// keeps no connection.
func TestRefusedUploadsAreAnswered(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for range 10 {
		for _, path := range []string{"/token", "/api/get-token", "/none"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader("a="+strings.Repeat("x", 900<<10)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Close = true
			want := http.StatusRequestEntityTooLarge
			if path == "/none" {
				want = http.StatusNotFound
			}
			if got := w.send(request); got.status != want {
				t.Fatalf("%s: %d %s", path, got.status, got.text)
			}
		}
	}
}

// Whoever keeps connections is told to look for another pod before this one ends.
func TestConnectionsEndWhileDraining(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	ask := func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/.well-known/jwks.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.Close
	}
	if ask() {
		t.Error("connections end before")
	}
	w.issuer.health.Drain()
	if !ask() {
		t.Error("connections go on while draining")
	}
}

// Bodies that come byte by byte take nobody's place, and are not waited for.
func TestSlowBodiesKeepNobodyOut(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var slow []net.Conn
	begin := func() {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	w.await("all are under way", func() bool { // on a slow machine the first are over before the last begin
		for missing := maxWorking + 100 - w.issuer.requests.Load(); missing > 0; missing-- {
			begin()
		}
		return w.issuer.requests.Load() >= maxWorking
	})
	for _, got := range []reply{
		w.do("POST", "/token", formOf("grant_type", "client_credentials"), "Authorization", basic("crm", w.client.Reveal())),
		w.do("POST", "/api/get-token", "", "Authorization", appSession(t)), w.do("GET", "/.well-known/jwks.json", ""),
	} {
		if got.status != 200 {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	for _, conn := range slow[:10] {
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 400") {
			t.Errorf("a body that stops: %v %.100q", err, text)
		}
	}
}

// More work than there are places for is told to come again, at once.
func TestWorkHasAnEnd(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.issuer.working.Add(maxWorking)
	for _, path := range []string{"/token", "/api/get-token"} {
		got := w.do("POST", path, formOf("grant_type", "client_credentials"), "Origin", appOrigin)
		if got.status != 503 || got.header.Get("Retry-After") == "" || got.header.Get("Access-Control-Allow-Origin") != appOrigin {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
	w.issuer.working.Add(-maxWorking)
	if got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t)); got.status != 200 || w.issuer.working.Load() != 0 {
		t.Errorf("afterwards: %d, %d places are taken", got.status, w.issuer.working.Load())
	}
}

func TestConfigurationsNameTheFlag(t *testing.T) {
	t.Parallel()
	standalone := func(change func(c *Config)) Config {
		c := Config{DocumentFile: "i", KeysDir: "k", Listen: ":0", Admin: ":0"}
		change(&c)
		return c
	}
	for says, c := range map[string]Config{
		"":                          standalone(func(*Config) {}),
		"--issuer is missing":       standalone(func(c *Config) { c.DocumentFile = "" }),
		"--keys is missing":         standalone(func(c *Config) { c.KeysDir = "" }),
		"--listen is missing":       standalone(func(c *Config) { c.Listen = "" }),
		"--admin is missing":        standalone(func(c *Config) { c.Admin = "" }),
		"and a listener too":        standalone(func(c *Config) { c.Listener = &net.TCPListener{} }),
		"--min-revision is for":     standalone(func(c *Config) { c.MinRevision = 1 }),
		"--min-revision is neg":     standalone(func(c *Config) { c.MinRevision = -1 }),
		"are for use without a clu": standalone(func(c *Config) { c.BundleDir = "b" }),
	} {
		_, err := New(c)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
