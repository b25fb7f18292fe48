// Package issuers holds the sidecar against tokens that were made by the
// libraries people use: Better Auth, jsonwebtoken, jose, PyJWT, python-jose.
package issuers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// times is how often CI does what `make soak` does twenty times as often.
func times(n int) int {
	if factor, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && factor > 0 {
		return n * factor
	}
	return n
}

// mirror is an agent that answers with the headers it saw.
func mirror(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// answer is what a caller got, and why by the sidecar's own count.
type answer struct {
	status int
	detail string
	reason string
	agent  http.Header // what the agent saw; nil when it was not asked
}

// ask sends one request with the token and reads the reason from the counters:
// one request at a time.
func ask(t *testing.T, g *live.Sidecar, token string) answer {
	t.Helper()
	before := reasons(g)
	a := send(t, g, token)
	for reason, count := range reasons(g) {
		if count > before[reason] {
			a.reason = reason
		}
	}
	return a
}

// send sends one request with the token.
func send(t *testing.T, g *live.Sidecar, token string) answer {
	t.Helper()
	body, status := do(t, http.MethodGet, g.URL+"/agent", "", http.Header{"Authorization": {"Bearer " + token}})
	a := answer{status: status}
	if status == http.StatusOK {
		decode(t, body, &a.agent)
		return a
	}
	var refusal struct {
		Detail string `json:"detail"`
	}
	decode(t, body, &refusal)
	a.detail = refusal.Detail
	return a
}

var counted = regexp.MustCompile(`(?m)^gatepost_requests_total\{.*reason="([a-z_]+)"\} ([0-9]+)$`)

func reasons(g *live.Sidecar) map[string]int {
	_, text := g.Private("/metrics")
	out := make(map[string]int)
	for _, match := range counted.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(match[2])
		out[match[1]] += n
	}
	return out
}

// do sends one request and returns body and status.
func do(t *testing.T, method, url, body string, header http.Header) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp := live.Do(t, req)
	for _, cookie := range resp.Header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(cookie, ";")
		header.Add("Cookie", pair)
	}
	return resp.Body, resp.Status
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// awaitKeys waits until a good token is no longer answered 503.
func awaitKeys(t *testing.T, g *live.Sidecar, token string) {
	t.Helper()
	for began := time.Now(); send(t, g, token).status == http.StatusServiceUnavailable; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("no keys from the issuer within a minute")
		}
	}
}
