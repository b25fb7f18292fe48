package agno_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gatepost.dev/gatepost/test/live"
)

// reading is what one fetch of a page came to: an answer that it may read, or an error.
type reading struct {
	Status  int               `json:"status"`
	Text    string            `json:"text"`
	Headers map[string]string `json:"headers"` // those that the page may read
	Error   string            `json:"error"`
	Console []string          `json:"console"`
}

// fetch lets a page of an origin (pages or foreign) fetch a path of the guarded agent.
func (s *stage) fetch(from, path string, init map[string]any) reading {
	s.t.Helper()
	var got reading
	s.scene("fetch", map[string]any{"from": from, "url": s.URL + path, "init": init}, &got)
	return got
}

// bearing is a fetch with a token.
func bearing(token string) map[string]any {
	return map[string]any{"headers": map[string]any{"Authorization": "Bearer " + token}}
}

// adminRules keep /config for administrators and want a scope for /memories.
const adminRules = `  authorization:
    rules:
    - {name: config, operation: {paths: [{value: /config}]}, principal: {claims: [{name: role, values: [admin]}]}}
    - {name: config-only, action: Deny, operation: {paths: [{value: /config}]}}
    - {name: memories, operation: {paths: [{value: /memories}]}, principal: {scopes: {anyOf: ["memories:read"]}}}
    - {name: others, operation: {paths: [{type: Prefix, value: /agents}]}}
`

// testRefusals shows that a page reads the status, the detail and the headers of each
// refusal.
func testRefusals(s *stage) {
	s.guard("  cors:", adminRules+"  cors:")
	s.on("401 and 403", testReadable)
	s.on("429", testReadable429)
	s.on("503", testReadable503)
	s.on("502", testReadable502)
}

// wants checks an answer that a page read.
func (s *stage) wants(got reading, status int, detail string, headers ...string) {
	s.t.Helper()
	var body struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal([]byte(got.Text), &body); got.Error != "" || err != nil {
		s.t.Errorf("the page reads %+v, want %d %s", got, status, detail)
		return
	}
	if got.Status != status || body.Detail != detail {
		s.t.Errorf("the page reads %d %q, want %d %q", got.Status, body.Detail, status, detail)
	}
	for i := 0; i < len(headers); i += 2 {
		if got.Headers[headers[i]] != headers[i+1] {
			s.t.Errorf("%s: the page reads %q, want %q", headers[i], got.Headers[headers[i]], headers[i+1])
		}
	}
	if got.Headers["x-gatepost-decision"] == "" {
		s.t.Error("the page cannot read the decision's id")
	}
}

func testReadable(s *stage) {
	ok := s.token(good)
	s.wants(s.fetch("pages", "/agents", nil), 401, "Not authenticated", "www-authenticate", "Bearer")
	s.wants(s.fetch("pages", "/agents", bearing(s.token(expired))), 401, "Token has expired",
		"www-authenticate", `Bearer error="invalid_token", error_description="The token has expired"`)
	s.wants(s.fetch("pages", "/agents", bearing(s.token(forged))), 401, "Invalid token", "www-authenticate", `Bearer error="invalid_token"`)
	s.wants(s.fetch("pages", "/config", bearing(ok)), 403, "Insufficient permissions", "www-authenticate", "")
	s.wants(s.fetch("pages", "/memories", bearing(ok)), 403, "Insufficient permissions",
		"www-authenticate", `Bearer error="insufficient_scope", scope="memories:read"`)
	s.wants(s.fetch("pages", "//agents", bearing(ok)), 400, "Invalid request") // an endpoint with a slash at its end
	if got := s.fetch("pages", "/agents", bearing(ok)); got.Status != 200 || !strings.Contains(got.Text, "Echo") {
		s.t.Errorf("the honest twin: %+v", got)
	}
	live.Figure("refusals_read_by_the_page", 6, "answers")
}

func testReadable429(s *stage) {
	s.guard("  exemptions:", "  limits: {rejections: {rate: 1/m, burst: 1}}\n  exemptions:")
	got := s.fetch("pages", "/agents", bearing(s.token(forged)))
	s.wants(got, 401, "Invalid token")
	got = s.fetch("pages", "/agents", bearing(s.token(forged)))
	s.wants(got, 429, "Too many requests")
	if got.Headers["retry-after"] == "" {
		s.t.Errorf("the page cannot read Retry-After: %v", got.Headers)
	}
}

// testReadable503 fills the only place that there is with a stream.
func testReadable503(s *stage) {
	s.guard("  exemptions:", "  limits: {maxConcurrentRequests: 1}\n  exemptions:")
	ctx, leave := context.WithCancel(s.t.Context())
	defer leave()
	form := url.Values{"message": {"words 1000 100"}, "stream": {"true"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/agents/echo/runs", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+s.token(good))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadFull(resp.Body, make([]byte, 16)); err != nil {
		s.t.Fatal(err)
	}
	s.wants(s.fetch("pages", "/agents", bearing(s.token(good))), 503, "Agent unavailable", "retry-after", "2")
}

func testReadable502(s *stage) {
	s.agent = live.FreeAddress(s.t) // nobody listens there
	s.guard()
	s.wants(s.fetch("pages", "/agents", bearing(s.token(good))), 502, "Agent unavailable")
}
