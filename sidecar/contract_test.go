package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// contractPolicy asks of tokens all that can be asked.
const contractPolicy = `
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat, namespace: agents}
spec:
  jwt:
    providers:
    - name: local
      issuers: [me]
      audiences: [chat]
      algorithms: [HS256]
      maxTokenLifetime: 1h
      requiredClaims: [sub]
      revokedBefore: "REVOKED"
      secretRef: {name: agent-jwt, keys: [current, previous]}
    - {name: remote, issuers: [remote], algorithms: [ES256], remoteJWKS: {uri: "http://127.0.0.1:9/jwks", allowInsecureHTTP: true}}
    extractFrom: {headers: [{name: Authorization, valuePrefix: "Bearer "}, {name: Cookie, valuePrefix: session=}]}
  authorization:
    rules:
    - {name: teachers, operation: {paths: [{type: Prefix, value: /x}]}, principal: {claims: [{name: role, values: [teacher]}]}}
    - {name: own-tenant, operation: {paths: [{type: Prefix, value: /tenant}]}, principal: {tenant: {match: {header: X-Tenant-ID}}}}
    - {name: admins, operation: {paths: [{type: Prefix, value: /admin}]}, principal: {scopes: {anyOf: ["agents:admin", "agents:root"]}}}
  exemptions: [{methods: [GET], path: /health}]
  cors: {allowOrigins: ["https://app.example"], allowCredentials: true}
  trustedProxies: [127.0.0.0/8]
  limits: {rejections: {rate: 1/m, burst: 1}, maxTokenBytes: 2048}
`

// row is one line of the contract's table of answers.
type row struct {
	request string   // the raw request line; empty: GET /x
	header  []string // pairs
	status  int
	body    string
	more    http.Header // headers beside those that every answer has
	reason  string
}

func contractRows(t *testing.T) map[string]row {
	good := func(claims map[string]any) string {
		all := map[string]any{"iss": "me", "aud": "chat", "role": "teacher"}
		maps.Copy(all, claims)
		return mint(t, all)
	}
	now := time.Now().Unix()
	wrong := func(reason string, claims map[string]any) row {
		return row{"", []string{"Authorization", bearer(good(claims))}, 401, `{"detail":"Invalid token","error":"invalid_token"}`, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}, reason}
	}
	text := func(reason, text string) row {
		made := wrong(reason, nil)
		made.header = []string{"Authorization", "Bearer " + text}
		return made
	}
	parts := strings.Split(good(nil), ".")
	const forbidden, tooLarge, invalid = `{"detail":"Insufficient permissions"}`, `{"detail":"Request too large"}`, `{"detail":"Invalid request"}`
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", webSocketKey}
	remote := "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0." + strings.Split(good(map[string]any{"iss": "remote"}), ".")[1] + "." + strings.Repeat("A", 86)
	return map[string]row{
		"no credential":     {"", nil, 401, `{"detail":"Not authenticated"}`, http.Header{"Www-Authenticate": {"Bearer"}}, "missing_credential"},
		"expired":           {"", []string{"Authorization", bearer(good(map[string]any{"iat": now - 90, "exp": now - 60}))}, 401, `{"detail":"Token has expired","error":"invalid_token","error_description":"The token has expired"}`, http.Header{"Www-Authenticate": {`Bearer error="invalid_token", error_description="The token has expired"`}}, "expired"},
		"bad form":          text("malformed_token", "a.b"),
		"bad alg":           text("alg_not_allowed", "eyJhbGciOiJub25lIn0."+parts[1]+"."+parts[2]),
		"bad typ":           text("type_not_allowed", "eyJhbGciOiJIUzI1NiIsInR5cCI6InJlZnJlc2grand0In0."+parts[1]+"."+parts[2]),
		"bad kid":           text("unknown_key", "eyJhbGciOiJIUzI1NiIsImtpZCI6Im5vbmUifQ."+parts[1]+"."+parts[2]),
		"bad signature":     text("signature_invalid", parts[0]+"."+parts[1]+"."+strings.Repeat("A", 43)),
		"bad iss":           wrong("issuer_mismatch", map[string]any{"iss": "you"}),
		"bad aud":           wrong("audience_mismatch", map[string]any{"aud": "other"}),
		"bad nbf":           wrong("not_yet_valid", map[string]any{"nbf": now + 60}),
		"bad claim":         wrong("claim_invalid", map[string]any{"sub": nil}),
		"bad lifetime":      wrong("lifetime_exceeded", map[string]any{"exp": now + 7200}),
		"revoked":           wrong("revoked", map[string]any{"iat": now - 900}),
		"two credentials":   {"", []string{"Authorization", "Bearer a.b.c", "Cookie", "session=a.b.c"}, 400, `{"detail":"Invalid request","error":"invalid_request"}`, http.Header{"Www-Authenticate": {`Bearer error="invalid_request"`}}, "ambiguous_credentials"},
		"ambiguous path":    {"GET /a/../x", nil, 400, invalid, nil, "bad_request"},
		"ambiguous framing": {"POST /x", []string{"Content-Length", "0", "Transfer-Encoding", "chunked"}, 400, invalid, nil, "bad_request"},
		"scope missing":     {"GET /admin", []string{"Authorization", bearer(good(nil))}, 403, `{"detail":"Insufficient permissions","error":"insufficient_scope"}`, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="agents:admin agents:root"`}}, "insufficient_scope"},
		"role":              {"", []string{"Authorization", bearer(good(map[string]any{"role": "student"}))}, 403, forbidden, nil, "rule_denied"},
		"tenant":            {"GET /tenant", []string{"Authorization", bearer(good(map[string]any{"tenant_id": "a"})), "X-Tenant-ID", "b"}, 403, forbidden, nil, "rule_denied"},
		"default deny":      {"GET /other", []string{"Authorization", bearer(good(nil))}, 403, forbidden, nil, "rule_denied"},
		"Origin, cookie":    {"POST /x", []string{"Cookie", "session=" + good(nil)}, 403, `{"detail":"Origin not allowed"}`, nil, "origin_denied"},
		"Origin, WebSocket": {"", upgrade, 403, `{"detail":"Origin not allowed"}`, nil, "origin_denied"},
		"CONNECT":           {"CONNECT a:1", nil, 405, `{"detail":"Method not allowed"}`, http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}, "method_not_allowed"},
		"TRACE":             {"TRACE /x", nil, 405, `{"detail":"Method not allowed"}`, http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}, "method_not_allowed"},
		"head too large":    {"", []string{"X-Filler", strings.Repeat("a", 70000)}, 431, tooLarge, nil, "request_too_large"},
		"URL too large":     {"GET /" + strings.Repeat("a", 40000), nil, 414, tooLarge, nil, "request_too_large"},
		"token too large":   {"", []string{"Authorization", "Bearer " + strings.Repeat("a", 3000)}, 431, tooLarge, nil, "token_too_large"},
		"too many rejected": {"", []string{"X-Forwarded-For", "203.0.113.9"}, 429, `{"detail":"Too many requests"}`, http.Header{"Retry-After": {"60"}}, "rate_limited"},
		"keys unavailable":  {"", []string{"Authorization", bearer(remote)}, 503, `{"detail":"Authentication temporarily unavailable"}`, http.Header{"Retry-After": {"5"}}, "keys_unavailable"},
		"agent refused":     {"GET /x/refused", []string{"Authorization", bearer(good(nil))}, 502, `{"detail":"Agent unavailable"}`, nil, "ok"},
	}
}

var (
	retryAfter = regexp.MustCompile(`^(5[0-9]|60)$`)
	decisionID = regexp.MustCompile(`^[a-z2-7]{16}$`)
)

// Every answer of the contract's table, byte for byte, for a page of an allowed
// origin, for one of another, and for a program.
func TestAnswersToTheLetter(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(contractPolicy, "REVOKED", time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339), 1)
	g := start(t, setup{policy: policy, agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close() // it resets
		}
	})})
	g.sidecar.current.Load().throttle.charge(g.sidecar.current.Load().trusted.Client(loopback, []string{"203.0.113.9"}), time.Now())
	address := 0
	for name, c := range contractRows(t) {
		for who, origin := range map[string]string{"an allowed page": appOrigin, "another page": "https://evil.example", "a program": ""} {
			if c.reason == "origin_denied" && (origin == appOrigin || origin == "" && strings.Contains(name, "WebSocket")) {
				continue // these may
			}
			t.Run(name+" to "+who, func(t *testing.T) {
				c := c // each has an address of its own
				if address++; !slices.Contains(c.header, "X-Forwarded-For") {
					c.header = append(slices.Clip(c.header), "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", address))
				}
				got := g.exact(c, origin)
				id := got.header.Get("X-Gatepost-Decision")
				checkRow(t, c, origin, got)
				if c.reason == "ok" {
					return // the agent failed, nothing was refused
				}
				var kept denial
				await(t, "the denial is kept", func() bool {
					for _, one := range g.decided() {
						if one.ID == id {
							kept = one
						}
					}
					return kept.ID != ""
				})
				if string(kept.Reason) != c.reason || kept.Status != c.status {
					t.Errorf("refused with %d for %s, want %d for %s", kept.Status, kept.Reason, c.status, c.reason)
				}
			})
		}
	}
	if n := len(g.agent.requests()); n != 3 {
		t.Errorf("%d requests reached the agent, want the three that it reset", n)
	}
}

// exact sends a row's request by hand and reads the answer.
func (g *guarded) exact(c row, origin string) reply {
	g.t.Helper()
	request := c.request
	if request == "" {
		request = "GET /x"
	}
	header := c.header
	if origin != "" { // first, because nothing is known of what a large head has beyond its bound
		header = append([]string{"Origin", origin}, header...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: a\r\n", request)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	conn := g.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		g.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

// checkRow compares all headers of an answer: there are no others.
func checkRow(t *testing.T, c row, origin string, got reply) {
	t.Helper()
	if got.status != c.status || got.body != c.body {
		t.Errorf("%d %s, want %d %s", got.status, got.body, c.status, c.body)
	}
	if !decisionID.MatchString(got.header.Get("X-Gatepost-Decision")) {
		t.Errorf("decision id %q", got.header.Get("X-Gatepost-Decision"))
	}
	if retry := got.header.Get("Retry-After"); c.status == 429 && retryAfter.MatchString(retry) {
		got.header.Set("Retry-After", "60")
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(c.body))}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
		"Vary": {"Origin"}, "Access-Control-Expose-Headers": {"WWW-Authenticate, Retry-After, X-Gatepost-Decision"},
	}
	if origin == appOrigin {
		want["Access-Control-Allow-Origin"], want["Access-Control-Allow-Credentials"] = []string{appOrigin}, []string{"true"}
	}
	maps.Copy(want, c.more)
	for _, name := range []string{"Date", "Connection", "X-Gatepost-Decision"} {
		got.header.Del(name)
	}
	if diff := cmp.Diff(want, got.header); diff != "" {
		t.Errorf("headers (-want +got)\n%s", diff)
	}
}

// The answers that need the sidecar in a state of its own.
func TestAnswersToTheLetterInOtherStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*guarded)
		row     row
	}{
		"no policy yet": {
			func(g *guarded) { g.sidecar.current.Store(nil) },
			row{"", nil, 503, `{"detail":"Authentication temporarily unavailable"}`, http.Header{"Retry-After": {"5"}}, "keys_unavailable"},
		},
		"the agent is not there": {
			func(g *guarded) { g.agent.server.Close() },
			row{"GET /health", nil, 502, `{"detail":"Agent unavailable"}`, nil, ""},
		},
		"the agent has gone while draining": {
			func(g *guarded) { g.agent.server.Close(); g.sidecar.health.Drain() },
			row{"GET /health", nil, 503, `{"detail":"Agent unavailable"}`, http.Header{"Retry-After": {"2"}}, ""},
		},
		"too many at once": {
			func(g *guarded) { g.sidecar.requests.Store(1 << 20) },
			row{"", nil, 503, `{"detail":"Agent unavailable"}`, http.Header{"Retry-After": {"2"}}, "rate_limited"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{policy: strings.Replace(contractPolicy, "REVOKED", "2020-01-01T00:00:00Z", 1)})
			c.prepare(g)
			for _, origin := range []string{appOrigin, "https://evil.example", ""} {
				got := g.exact(c.row, origin)
				if name == "no policy yet" {
					origin = "" // no origin is known to be allowed
				}
				checkRow(t, c.row, origin, got)
			}
			g.sidecar.requests.Store(0)
		})
	}
}

var (
	descName   = regexp.MustCompile(`fqName: "(gatepost_[a-z_]+)"`)
	descLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
)

// The names and labels of metrics are API.
func TestMetricsAreTheContracts(t *testing.T) {
	g := start(t, setup{})
	want := map[string]string{
		"gatepost_requests_total":                       "policy,decision,reason",
		"gatepost_auth_duration_seconds":                "decision",
		"gatepost_http_request_duration_seconds":        "code_class",
		"gatepost_token_remaining_lifetime_seconds":     "provider",
		"gatepost_token_expired_age_seconds":            "provider",
		"gatepost_token_accepted_within_leeway_total":   "provider,claim",
		"gatepost_key_verifications_total":              "provider,kid",
		"gatepost_unknown_key_total":                    "provider,outcome",
		"gatepost_jwks_fetches_total":                   "provider,result",
		"gatepost_jwks_last_success_timestamp_seconds":  "provider",
		"gatepost_keys_loaded":                          "provider",
		"gatepost_config_reloads_total":                 "result",
		"gatepost_config_last_reload_timestamp_seconds": "",
		"gatepost_streams_active":                       "kind",
		"gatepost_streams_closed_total":                 "kind,cause",
		"gatepost_stream_outlived_token_total":          "kind",
		"gatepost_cors_preflights_total":                "result",
		"gatepost_denied_by_rule_total":                 "policy,rule",
		"gatepost_api_key_requests_total":               "client,result",
		"gatepost_upstream_errors_total":                "kind",
		"gatepost_build_info":                           "program,version,go",
	}
	got := map[string]string{}
	described := make(chan *prometheus.Desc)
	go func() {
		g.sidecar.registry.Describe(described)
		close(described)
	}()
	for desc := range described {
		if name := descName.FindStringSubmatch(desc.String()); name != nil {
			got[name[1]] = descLabels.FindStringSubmatch(desc.String())[1]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-contract +sidecar)\n%s", diff)
	}
}

// A record says what the contract names, and nothing else.
func TestRecordsAreTheContracts(t *testing.T) {
	next, gone := make(chan string), make(chan error, 1)
	g := start(t, setup{agent: events(next, gone)})
	always := []string{"time", "level", "msg", "decision", "reason", "policy", "method", "path", "status", "bytes", "duration_us", "decision_id"}
	token := []string{"provider", "kid", "subject_hash"}
	close(next)
	for name, c := range map[string]struct {
		target, auth string
		fields       []string
	}{
		"a stream":     {"/x", bearer(teacher(t)), append(token, "rule", "stream", "stream_end")},
		"a refusal":    {"/admin/x?q=1", bearer(teacher(t)), append(token, "rule")},
		"no token":     {"/x", "", nil},
		"not verified": {"/x", bearer(mintWith(t, strings.Repeat("x", 40), nil)), []string{"provider"}},
	} {
		got := g.do("GET", c.target, nil, "Authorization", c.auth)
		id := got.header.Get("X-Gatepost-Decision")
		await(t, "the record of "+name, func() bool {
			record := g.logs.find("request")
			return record != nil && (id == "" && record["stream"] == "sse" || record["decision_id"] == id)
		})
		var fields []string
		record := g.logs.find("request")
		for field := range record {
			fields = append(fields, field)
		}
		want := append(slices.Clone(always), c.fields...)
		slices.Sort(fields)
		slices.Sort(want)
		if diff := cmp.Diff(want, fields); diff != "" {
			t.Errorf("%s: fields (-contract +record)\n%s", name, diff)
		}
		if path, _, _ := strings.Cut(c.target, "?"); record["path"] != path {
			t.Errorf("%s: path %v", name, record["path"])
		}
	}
}

// Exempt requests cost no token, so a flood of them must not fill the log.
func TestExemptRequestsAreSampledInTheLog(t *testing.T) {
	g := start(t, setup{})
	for range 200 {
		g.do("GET", "/health", nil)
	}
	if n := strings.Count(g.logs.String(), `"decision":"exempt"`); n < 10 || n > 60 {
		t.Errorf("%d records for 200 exempt requests, want at most ten a second", n)
	}
	if n := g.metric(`gatepost_requests_total{decision="exempt",policy="chat",reason="exempt"}`); n != "200" {
		t.Errorf("%s counted, want 200", n)
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")
