package sidecar

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMetricsNamesAndCap(t *testing.T) {
	g := start(t, setup{})
	auth := bearer(teacher(t))
	for i := range 300 { // nothing that a client chooses becomes a label
		g.do("GET", fmt.Sprintf("/x/%d?q=%d", i, i), nil, "Authorization", auth, "Origin", fmt.Sprintf("https://o%d.example", i), "User-Agent", fmt.Sprint(i))
		g.do("GET", fmt.Sprintf("/x/%d", i), nil, "Authorization", bearer(mint(t, map[string]any{"sub": fmt.Sprint(i), "tenant_id": fmt.Sprint(i), "iss": fmt.Sprint(i), "role": fmt.Sprint(i)})))
	}
	g.do("M-SEARCH", "/x", nil)
	g.do("GET", "/admin/x", nil, "Authorization", auth)
	expired := time.Now().Add(-5 * time.Second)
	g.do("GET", "/x", nil, "Authorization", bearer(mint(t, map[string]any{"role": "teacher", "exp": expired.Unix(), "iat": expired.Unix() - 60})))
	g.do("GET", "/x", nil, "Authorization", bearer(mint(t, map[string]any{"exp": expired.Unix() - 60, "iat": expired.Unix() - 100})))
	text := g.private("/metrics").body
	for _, want := range []string{
		`gatepost_requests_total{decision="allow",policy="chat",reason="ok"} 301`,
		`gatepost_requests_total{decision="deny",policy="chat",reason="rule_denied"} 301`,
		`gatepost_requests_total{decision="deny",policy="chat",reason="expired"} 1`,
		`gatepost_denied_by_rule_total{policy="chat",rule="admins-only"} 1`,
		`gatepost_denied_by_rule_total{policy="chat",rule="default"} 300`,
		`gatepost_key_verifications_total{kid="current",provider="local"} 602`,
		`gatepost_token_accepted_within_leeway_total{claim="exp",provider="local"} 1`,
		`gatepost_token_remaining_lifetime_seconds_count{provider="local"} 602`,
		`gatepost_token_expired_age_seconds_count{provider="local"} 1`,
		`gatepost_keys_loaded{provider="local"} 1`,
		`gatepost_config_reloads_total{result="ok"} 1`,
		`gatepost_auth_duration_seconds_count{decision="allow"} 301`,
		`gatepost_http_request_duration_seconds_count{code_class="2xx"} 301`,
		`gatepost_build_info{`, `gatepost_config_last_reload_timestamp_seconds `, `process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("not in /metrics: %s", want)
		}
	}
	series := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	t.Logf("figure: sidecar_series %d series", series)
	if series > 2000 {
		t.Errorf("%d series, more than 2000", series)
	}
}

// Series of a policy that is not in force any more go away.
func TestMetricsForgetOldNames(t *testing.T) {
	g := start(t, setup{})
	g.do("GET", "/admin/x", nil, "Authorization", bearer(teacher(t)))
	for _, replace := range [][2]string{{"name: local,", "name: renamed,"}, {"name: admins-only,", "name: admins-alone,"}, {"name: chat,", "name: talk,"}} {
		seen := g.metric(`gatepost_config_reloads_total{result="ok"}`)
		g.policy = strings.Replace(g.policy, replace[0], replace[1], 1)
		g.write("policy.yaml", g.policy)
		await(t, "the reload", func() bool { return g.metric(`gatepost_config_reloads_total{result="ok"}`) != seen })
	}
	text := g.private("/metrics").body
	for _, old := range []string{`"local"`, `"admins-only"`, `"chat"`} {
		if strings.Contains(text, old) {
			t.Errorf("%s is still in /metrics", old)
		}
	}
}

func TestSecretsAreNowhere(t *testing.T) {
	g := start(t, setup{})
	token := mint(t, map[string]any{"role": "teacher", "sub": "subject-of-the-token", "email": "claim-of-the-token@x.example"})
	forged := mintWith(t, strings.Repeat("z", 40), map[string]any{"sub": "forged-subject"})
	var answers strings.Builder
	keep := func(r reply) { fmt.Fprintf(&answers, "%v %s\n", r.header, r.body) }
	keep(g.do("GET", "/x", nil, "Authorization", bearer(token)))
	keep(g.do("GET", "/x", nil, "Authorization", bearer(forged)))
	keep(g.do("GET", "/x?token="+token, nil))
	keep(g.do("GET", "/x", nil, "Authorization", bearer(token+"x")))
	keep(g.do("GET", "/x", nil, "Authorization", token))
	g.write("keys/agent-jwt/current", testSecret[:20])
	await(t, "the short secret is refused", func() bool { return g.metric(`gatepost_config_reloads_total{result="secret_too_short"}`) == "1" })
	everything := answers.String() + g.logs.String() + g.private("/metrics").body + g.private("/state?nonce=1").body
	for name, secret := range map[string]string{
		"the secret":            testSecret[:20],
		"the secret in base64":  base64.StdEncoding.EncodeToString([]byte(testSecret))[:24],
		"the secret in hex":     hex.EncodeToString([]byte(testSecret))[:24],
		"the token":             token[:60],
		"the token's signature": token[strings.LastIndex(token, ".")+1:],
		"the forged token":      forged[strings.LastIndex(forged, ".")+1:],
		"the subject":           "subject-of-the-token",
		"the forged subject":    "forged-subject",
		"another claim's value": "claim-of-the-token",
	} {
		if strings.Contains(everything, secret) {
			t.Errorf("%s is in a log, a metric or an answer", name)
		}
	}
}

// Probes are exempt; a busy agent must not fail them.
func TestExemptRequestsHaveAReserve(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	g := start(t, setup{policy: testPolicy + "  limits: {maxConcurrentRequests: 1}\n", agent: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" {
			<-release
		}
	})})
	auth := bearer(teacher(t))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.addr+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", auth)
	go func() {
		if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	}()
	await(t, "a request is with the agent", func() bool { return len(g.agent.requests()) == 1 })
	if got := g.do("GET", "/x", nil, "Authorization", auth).status; got != 503 {
		t.Errorf("one request too many: %d, want 503", got)
	}
	if got := g.do("GET", "/health", nil).status; got != 200 {
		t.Errorf("an exempt request: %d, want 200", got)
	}
	if got := g.do("OPTIONS", "/x", nil, "Origin", appOrigin, "Access-Control-Request-Method", "GET").status; got != 204 {
		t.Errorf("a preflight: %d, want 204, or no page can read the 503", got)
	}
}

func TestRefusalsAreSampledInTheLog(t *testing.T) {
	g := start(t, setup{})
	for range 200 {
		g.do("GET", "/x", nil)
	}
	if n := strings.Count(g.logs.String(), `"reason":"missing_credential"`); n < 10 || n > 60 {
		t.Errorf("%d records for 200 refusals, want at most ten a second", n)
	}
	if n := g.metric(`gatepost_requests_total{decision="deny",policy="chat",reason="missing_credential"}`); n != "200" {
		t.Errorf("%s refusals counted, want 200", n)
	}
}

func TestLogRecordsAreOneLine(t *testing.T) {
	g := start(t, setup{})
	g.raw("GET /x%0d%0aforged HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	g.do("GET", "/"+strings.Repeat("a", 5000), nil, "Authorization", "Bearer a\tb")
	for line := range strings.Lines(g.logs.String()) {
		if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") || len(line) > 1500 {
			t.Errorf("a record of %d bytes: %.200q", len(line), line)
		}
	}
}

func TestTooManyAtOnce(t *testing.T) {
	release := make(chan struct{})
	policy := testPolicy + "  limits: {maxConcurrentRequests: 2, maxConnections: 4}\n"
	g := start(t, setup{policy: policy, agent: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })})
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo) // a check that fails must not leave the agent waiting
	results := make(chan int, 2)
	for range 2 {
		go func() {
			res, err := http.Get("http://" + g.addr + "/health")
			if err != nil {
				results <- 0
				return
			}
			res.Body.Close()
			results <- res.StatusCode
		}()
	}
	await(t, "two requests are with the agent", func() bool { return len(g.agent.requests()) == 2 })
	reply := g.raw("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(reply, "HTTP/1.1 503 ") || !strings.Contains(reply, "\r\nRetry-After: 2\r\n") || !strings.HasSuffix(reply, `{"detail":"Agent unavailable"}`) {
		t.Errorf("one request too many:\n%s", reply)
	}
	idle := []func(){}
	for range 2 {
		conn := g.dial()
		idle = append(idle, func() { conn.Close() })
	}
	await(t, "a connection too many is turned away", func() bool {
		reply := g.raw("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		return strings.HasPrefix(reply, "HTTP/1.1 503 ") && strings.Contains(reply, "\r\nX-Gatepost-Decision: ") &&
			strings.Contains(reply, "\r\nRetry-After: 2\r\n") && strings.HasSuffix(reply, `{"detail":"Agent unavailable"}`) &&
			strings.Contains(g.logs.String(), "connection turned away")
	})
	letGo()
	for range 2 {
		if status := <-results; status != 200 {
			t.Errorf("a request within the limits: %d", status)
		}
	}
	for _, closeIdle := range idle {
		closeIdle()
	}
	await(t, "there is room again", func() bool {
		return strings.HasPrefix(g.raw("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ")
	})
}
