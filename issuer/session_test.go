package issuer

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/token"
)

// The answers that browser clients compare, letter by letter, each with its honest
// twin: the same request with what was missing.
func TestSessionsGetTokens(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	web := func(change map[string]any) string {
		return "session=" + session(t, cookieSecret, "https://web.example", change)
	}
	app := func(change map[string]any) string {
		return "Bearer " + session(t, sessionSecret, "https://app.example", change)
	}
	long := "Bearer " + strings.Repeat("a", token.DefaultMaxBytes+1)
	for sentence, c := range map[string]struct {
		method, path string
		headers      []string
		status       int
		detail       string
		challenge    string
	}{
		"a session in the header":               {"POST", "/api/get-token", []string{"Authorization", app(nil)}, 200, "", ""},
		"the same, to refresh":                  {"POST", "/api/refresh-token", []string{"Authorization", app(nil)}, 200, "", ""},
		"the same, to refresh by GET":           {"GET", "/api/refresh-token", []string{"Authorization", app(nil)}, 200, "", ""},
		"to get by GET":                         {"GET", "/api/get-token", []string{"Authorization", app(nil)}, 405, "Method not allowed", ""},
		"nothing":                               {"POST", "/api/get-token", nil, 401, "Not authenticated", "Bearer"},
		"another scheme":                        {"POST", "/api/get-token", []string{"Authorization", "Basic YTpi"}, 401, "Not authenticated", "Bearer"},
		"an expired session":                    {"POST", "/api/get-token", []string{"Authorization", app(map[string]any{"exp": 1000})}, 401, "Token has expired", `Bearer error="invalid_token", error_description="The token has expired"`},
		"expired by less than clocks differ":    {"POST", "/api/get-token", []string{"Authorization", app(map[string]any{"exp": time.Now().Unix() - 4})}, 401, "Token has expired", `Bearer error="invalid_token", error_description="The token has expired"`},
		"another's signature":                   {"POST", "/api/get-token", []string{"Authorization", "Bearer " + session(t, cookieSecret, "https://app.example", nil)}, 401, "Invalid token", `Bearer error="invalid_token"`},
		"another issuer":                        {"POST", "/api/get-token", []string{"Authorization", app(map[string]any{"iss": "https://evil.example"})}, 401, "Invalid token", `Bearer error="invalid_token"`},
		"no token at all":                       {"POST", "/api/get-token", []string{"Authorization", "Bearer a.b"}, 401, "Invalid token", `Bearer error="invalid_token"`},
		"two headers":                           {"POST", "/api/get-token", []string{"Authorization", app(nil), "Authorization", app(nil)}, 400, "Invalid request", `Bearer error="invalid_request"`},
		"too large":                             {"POST", "/api/get-token", []string{"Authorization", long}, 431, "Request too large", ""},
		"a cookie of a listed page":             {"POST", "/api/get-token", []string{"Cookie", web(nil), "Origin", appOrigin}, 200, "", ""},
		"a cookie of a listed page, by GET":     {"GET", "/api/refresh-token", []string{"Cookie", web(nil), "Origin", appOrigin}, 200, "", ""},
		"a cookie of another page":              {"POST", "/api/get-token", []string{"Cookie", web(nil), "Origin", "https://evil.example"}, 403, "Origin not allowed", ""},
		"a cookie of nobody knows which page":   {"POST", "/api/get-token", []string{"Cookie", web(nil)}, 403, "Origin not allowed", ""},
		"a cookie of nobody knows, by GET":      {"GET", "/api/refresh-token", []string{"Cookie", web(nil)}, 403, "Origin not allowed", ""},
		"a cookie and a header":                 {"POST", "/api/get-token", []string{"Cookie", web(nil), "Authorization", app(nil), "Origin", appOrigin}, 400, "Invalid request", `Bearer error="invalid_request"`},
		"the cookie's token in the header":      {"POST", "/api/get-token", []string{"Authorization", "Bearer " + session(t, cookieSecret, "https://web.example", nil)}, 401, "Invalid token", `Bearer error="invalid_token"`},
		"two cookies":                           {"POST", "/api/get-token", []string{"Cookie", web(nil) + "; " + web(nil), "Origin", appOrigin}, 400, "Invalid request", `Bearer error="invalid_request"`},
		"a session of nobody":                   {"POST", "/api/get-token", []string{"Authorization", app(map[string]any{"sub": nil})}, 401, "Invalid token", `Bearer error="invalid_token"`},
		"a path that is none of ours":           {"POST", "/api/get-token/", []string{"Authorization", app(nil)}, 404, "Not found", ""},
		"a token in the query is not looked at": {"POST", "/api/get-token?access_token=" + app(nil)[7:], nil, 401, "Not authenticated", "Bearer"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := w.do(c.method, c.path, "", c.headers...)
			if got.status != c.status || got.get("detail") != c.detail || got.header.Get("WWW-Authenticate") != c.challenge {
				t.Fatalf("%d %s %q", got.status, got.text, got.header["Www-Authenticate"])
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Gatepost-Decision") == "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", got.header)
			}
			if c.status != 200 && got.status == 401 && c.detail != "Token has expired" && strings.Contains(got.text, "expired") {
				t.Errorf("clients would refresh for it: %s", got.text)
			}
			if c.status == 200 {
				w.verified(got.get("token"))
			}
		})
	}
}

func TestTokensSayWhatTheSessionIs(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	got := w.do("POST", "/api/get-token", formOf("scope", "agents:read", "resource", search), "Authorization", appSession(t))
	if len(got.body) != 1 {
		t.Errorf("clients read {token}: %s", got.text)
	}
	claims := w.verified(got.get("token"))
	jti, _ := claims["jti"].(string)
	for _, name := range []string{"iat", "exp", "jti"} {
		if claims[name] == nil {
			t.Errorf("%s is missing", name)
		}
		delete(claims, name)
	}
	want := map[string]any{
		"iss": w.url, "sub": "u-1", "aud": search, "role": "teacher", "tier": "gold", "gatepost.dev/source": "session:app",
		"scope": "agents:read", "scopes": []any{"agents:read"},
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if again := w.verified(w.do("POST", "/api/get-token", "", "Authorization", appSession(t)).get("token")); again["jti"] == jti {
		t.Error("two tokens have one jti")
	} else if diff := cmp.Diff([]any{chat, search}, again["aud"]); diff != "" {
		t.Errorf("without a resource a token is for all audiences (-want +got):\n%s", diff)
	}
	for body, code := range map[string]string{
		formOf("scope", "admin"):                       "invalid_scope",
		formOf("resource", "https://evil.example"):     "invalid_target",
		formOf("scope", "agents:run") + "&scope=admin": "invalid_request",
	} {
		if got := w.do("POST", "/api/get-token", body, "Authorization", appSession(t)); got.status != 400 || got.get("error") != code {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
}

// Front ends send what their framework sends: bodies that are no form say nothing.
func TestBodiesOfPagesSayNothing(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for sentence, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"JSON":                {"application/json", `{"theme":"dark"}`, 200},
		"text":                {"text/plain", "hello", 200},
		"what is no JSON":     {"application/json", `{"theme"`, 200},
		"a torn scope":        {"application/json", `{"scope"`, 400},
		"a scope twice":       {"application/json", `{"scope":"agents:read","scope":"agents:run"}`, 400},
		"a scope in a list":   {"application/json", `[{"scope":"agents:read"}]`, 400},
		"a scope's parts":     {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"scope\"\r\n\r\nagents:read\r\n--x--\r\n", 400},
		"and without quotes":  {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=audience\r\n\r\na\r\n--x--\r\n", 400},
		"parts of a page":     {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"theme\"\r\n\r\ndark\r\n--x--\r\n", 200},
		"a scope in JSON":     {"application/json", `{"scope":"agents:read"}`, 400},
		"resources in JSON":   {"application/json", `{"resource":["https://search.example"]}`, 400},
		"a scope in a text":   {"text/plain", "scope=agents:read", 400},
		"nothing in a form":   {"application/x-www-form-urlencoded", "", 200},
		"a scope in a form":   {"application/x-www-form-urlencoded", "scope=admin", 400},
		"more than is looked": {"application/json", strings.Repeat("x", maxForm+1), 413},
	} {
		if got := w.do("POST", "/api/get-token", c.body, "Content-Type", c.kind, "Authorization", appSession(t)); got.status != c.status {
			t.Errorf("%s: %d %s", sentence, got.status, got.text)
		}
	}
}

// Whoever asks for less where nobody looks would get all, and never know.
func TestNothingIsAskedInAQuery(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for query, status := range map[string]int{
		"": 200, "?": 200, "?theme=dark": 200, "?scope=agents:read": 400, "?a=b&resource=x": 400, "?audience": 400, "?%73cope=a": 400,
	} {
		for _, method := range []string{"GET", "POST"} {
			if got := w.do(method, "/api/refresh-token"+query, "", "Authorization", appSession(t)); got.status != status {
				t.Errorf("%s %q: %d %s", method, query, got.status, got.text)
			}
		}
	}
}

// Visitors get tokens, each as somebody of its own, and not without end; a session
// that is wrong does not become a visitor.
func TestVisitors(t *testing.T) {
	t.Parallel()
	w := start(t, func(spec string) string {
		return strings.Replace(spec, "  session:\n", "  session:\n    anonymous: {rateLimit: 3/m, scopes: [\"agents:read\"]}\n", 1)
	})
	if got := w.do("POST", "/api/get-token", "", "Authorization", "Bearer a.b.c"); got.status != 401 {
		t.Errorf("a wrong session: %d", got.status)
	}
	subjects := map[any]bool{}
	for range 3 {
		got := w.do("POST", "/api/get-token", "")
		if got.status != 200 {
			t.Fatalf("a visitor: %d %s", got.status, got.text)
		}
		claims := w.verified(got.get("token"))
		subjects[claims["sub"]] = true
		if claims["scope"] != "agents:read" || claims["role"] != nil {
			t.Errorf("claims of a visitor: %v", claims)
		}
	}
	got := w.do("POST", "/api/get-token", "", "Origin", appOrigin)
	if len(subjects) != 3 || got.status != 429 || got.header.Get("Retry-After") == "" || got.get("detail") != "Too many requests" ||
		got.header.Get("Access-Control-Allow-Origin") != appOrigin {
		t.Errorf("%d visitors, and the fourth: %d %s %v", len(subjects), got.status, got.text, got.header)
	}
	if got := w.do("POST", "/api/get-token", "", "Authorization", appSession(t)); got.status != 200 {
		t.Errorf("a session beside them: %d", got.status)
	}
}

// A token that is made late in a session does not outlive it by much.
func TestTokensDoNotOutliveTheirSession(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	end := time.Now().Unix() + 40
	got := w.do("POST", "/api/get-token", "", "Authorization", "Bearer "+session(t, sessionSecret, "https://app.example", map[string]any{"exp": end}))
	exp, err := numberOf(w.verified(got.get("token"))["exp"])
	if err != nil || exp > end {
		t.Errorf("exp %d of a session that ends at %d (%v)", exp, end, err)
	}
}
