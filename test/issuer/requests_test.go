package issuer

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

const formType = "application/x-www-form-urlencoded"

// Every request that could be read in two ways, or brings a secret where secrets are
// written down, is refused in the words of RFC 6749 beside an honest twin.
func TestRequestsForTokensAreStrict(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	grant := "grant_type=client_credentials"
	inBody := url.Values{"client_id": {s.client.id}, "client_secret": {s.client.secret}}.Encode()
	login := "grant_type=password&username=ada&password=" + url.QueryEscape(horse)
	authorized := basic(s.client.id, s.client.secret)
	other := basic("other", s.client.secret)
	for name, c := range map[string]struct {
		method, target, kind, body, authorization string
		status                                    int
		err                                       string
	}{
		"a client, in the header":            {"POST", "/token", formType, grant, authorized, 200, ""},
		"a client, in the body":              {"POST", "/token", formType, grant + "&" + inBody, "", 200, ""},
		"a user":                             {"POST", "/token", formType, login, "", 200, ""},
		"with a charset":                     {"POST", "/token", formType + "; charset=UTF-8", grant, authorized, 200, ""},
		"a parameter that nobody knows":      {"POST", "/token", formType, grant + "&x=1", authorized, 200, ""},
		"a client, in both":                  {"POST", "/token", formType, grant + "&" + inBody, authorized, 400, "invalid_request"},
		"a client, in the query":             {"POST", "/token?" + inBody, formType, grant, "", 400, "invalid_request"},
		"a user, in the query":               {"POST", "/token?" + login, formType, "", "", 400, "invalid_request"},
		"half of it in the query":            {"POST", "/token?password=" + url.QueryEscape(horse), formType, "grant_type=password&username=ada", "", 400, "invalid_request"},
		"an empty query":                     {"POST", "/token?", formType, grant, authorized, 400, "invalid_request"},
		"another client's name":              {"POST", "/token", formType, grant, other, 401, "invalid_client"},
		"a wrong secret":                     {"POST", "/token", formType, grant, basic(s.client.id, s.client.secret+"x"), 401, "invalid_client"},
		"no secret":                          {"POST", "/token", formType, grant, "", 401, "invalid_client"},
		"a name without its secret":          {"POST", "/token", formType, grant + "&client_id=crm", "", 401, "invalid_client"},
		"a user as an unproven client":       {"POST", "/token", formType, login + "&client_id=crm", "", 401, "invalid_client"},
		"a bearer token for a client":        {"POST", "/token", formType, grant, "Bearer " + s.client.secret, 401, "invalid_client"},
		"a secret that is not escaped":       {"POST", "/token", formType, grant, "Basic !!!", 401, "invalid_client"},
		"the grant twice":                    {"POST", "/token", formType, grant + "&" + grant, authorized, 400, "invalid_request"},
		"two grants":                         {"POST", "/token", formType, grant + "&" + login, authorized, 400, "invalid_request"},
		"a user twice":                       {"POST", "/token", formType, login + "&username=eve", "", 400, "invalid_request"},
		"the scope twice":                    {"POST", "/token", formType, grant + "&scope=agents:run&scope=agents:run", authorized, 400, "invalid_request"},
		"twice, escaped otherwise":           {"POST", "/token", formType, login + "&user%6eame=eve", "", 400, "invalid_request"},
		"an unknown parameter twice":         {"POST", "/token", formType, grant + "&x=1&x=1", authorized, 400, "invalid_request"},
		"no grant":                           {"POST", "/token", formType, "", authorized, 400, "invalid_request"},
		"an unknown grant":                   {"POST", "/token", formType, "grant_type=authorization_code&code=1", authorized, 400, "unsupported_grant_type"},
		"JSON":                               {"POST", "/token", "application/json", `{"grant_type":"client_credentials"}`, authorized, 400, "invalid_request"},
		"a form that says it is JSON":        {"POST", "/token", "application/json", grant, authorized, 400, "invalid_request"},
		"multipart":                          {"POST", "/token", "multipart/form-data; boundary=x", "--x\r\n", authorized, 400, "invalid_request"},
		"plain text, as a page may send":     {"POST", "/token", "text/plain", grant, authorized, 400, "invalid_request"},
		"no type":                            {"POST", "/token", "", grant, authorized, 400, "invalid_request"},
		"another charset":                    {"POST", "/token", formType + "; charset=utf-16", grant, authorized, 400, "invalid_request"},
		"escapes that are none":              {"POST", "/token", formType, grant + "&x=%zz", authorized, 400, "invalid_request"},
		"no UTF-8":                           {"POST", "/token", formType, grant + "&x=%ff", authorized, 400, "invalid_request"},
		"a semicolon, which some split at":   {"POST", "/token", formType, grant + ";x=1", authorized, 400, "invalid_request"},
		"a body of 8 KiB":                    {"POST", "/token", formType, grant + "&x=" + strings.Repeat("x", 8192-len(grant)-3), authorized, 200, ""},
		"one byte more":                      {"POST", "/token", formType, grant + "&x=" + strings.Repeat("x", 8193-len(grant)-3), authorized, 413, "invalid_request"},
		"a megabyte":                         {"POST", "/token", formType, grant + "&x=" + strings.Repeat("x", 1<<20), authorized, 413, "invalid_request"},
		"many parameters":                    {"POST", "/token", formType, grant + strings.Repeat("&x", 100), authorized, 400, "invalid_request"},
		"GET":                                {"GET", "/token?" + grant, "", "", authorized, 405, ""},
		"PUT":                                {"PUT", "/token", formType, grant, authorized, 405, ""},
		"HEAD":                               {"HEAD", "/token", "", "", authorized, 405, ""},
		"get-token by GET, as a page's link": {"GET", "/api/get-token", "", "", "", 405, ""},
		"DELETE of the keys":                 {"DELETE", "/.well-known/jwks.json", "", "", "", 405, ""},
		"POST of the keys":                   {"POST", "/.well-known/jwks.json", formType, "", "", 405, ""},
		"the token endpoint, escaped":        {"POST", "/%74oken", formType, grant, authorized, 404, ""},
		"the token endpoint, with a slash":   {"POST", "/token/", formType, grant, authorized, 404, ""},
		"the token endpoint, in a dot":       {"POST", "/./token", formType, grant, authorized, 404, ""},
		"the metrics, outside":               {"GET", "/metrics", "", "", "", 404, ""},
		"the state, outside":                 {"GET", "/state", "", "", "", 404, ""},
		"the key's file":                     {"GET", "/keys/agent/current", "", "", "", 404, ""},
		"a method that is overridden":        {"POST", "/token?_method=GET", formType, grant, authorized, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			for field, value := range map[string]string{"Content-Type": c.kind, "Authorization": c.authorization} {
				if value != "" {
					header.Set(field, value)
				}
			}
			got := anyone().send(t.Context(), c.method, s.URL+c.target, strings.NewReader(c.body), header)
			if got.err != nil || got.status != c.status || got.Error != c.err {
				t.Fatalf("%d %s %v; want %d %s", got.status, got.body, got.err, c.status, c.err)
			}
			checkAnswer(t, c.method, got)
		})
	}
}

// checkAnswer holds an answer to what all of them have.
func checkAnswer(t *testing.T, method string, got answer) {
	t.Helper()
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("Cache-Control %q, Content-Type %q", got.header.Get("Cache-Control"), got.header.Get("Content-Type"))
	}
	if method == http.MethodHead {
		return
	}
	if got.status != http.StatusOK && got.Detail == "" {
		t.Errorf("no detail for browsers: %s", got.body)
	}
	if strings.Contains(strings.ToLower(got.Detail), "token has expired") {
		t.Errorf("a client would refresh for nothing: %s", got.body)
	}
	if got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without a challenge")
	}
	if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
}

// A header twice is refused, whichever of the two would be right.
func TestDoubledHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	right, wrong := basic(s.client.id, s.client.secret), basic(s.client.id, "gpk_wrong")
	for name, header := range map[string]http.Header{
		"Authorization, right and wrong": {"Content-Type": {formType}, "Authorization": {right, wrong}},
		"Authorization, wrong and right": {"Content-Type": {formType}, "Authorization": {wrong, right}},
		"Authorization, twice the same":  {"Content-Type": {formType}, "Authorization": {right, right}},
		"Content-Type":                   {"Content-Type": {formType, "application/json"}, "Authorization": {right}},
	} {
		got := anyone().send(t.Context(), "POST", s.URL+"/token", strings.NewReader("grant_type=client_credentials"), header)
		if got.status != http.StatusBadRequest || got.Error != "invalid_request" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// A session in a cookie speaks for a page that is listed, and for no other: browsers
// add cookies by themselves.
func TestCookiesNeedAListedOrigin(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	session := mint(t, "the site's secret, of thirty-two bytes or more", map[string]any{
		"iss": "https://site.example.com", "sub": "u-1", "email": "ada@example.com", "exp": time.Now().Add(5 * time.Minute).Unix(),
	})
	for name, c := range map[string]struct {
		method, path string
		origin       []string
		status       int
	}{
		"the page":                      {"POST", "/api/get-token", []string{app}, 200},
		"the page, refreshing":          {"POST", "/api/refresh-token", []string{app}, 200},
		"the page, refreshing by GET":   {"GET", "/api/refresh-token", []string{app}, 200},
		"no origin":                     {"POST", "/api/get-token", nil, 403},
		"no origin, by GET":             {"GET", "/api/refresh-token", nil, 403},
		"an opaque origin":              {"POST", "/api/get-token", []string{"null"}, 403},
		"an empty origin":               {"POST", "/api/get-token", []string{""}, 403},
		"another page":                  {"POST", "/api/get-token", []string{"https://evil.example.com"}, 403},
		"a longer name":                 {"POST", "/api/get-token", []string{app + ".evil.example.com"}, 403},
		"another scheme":                {"POST", "/api/get-token", []string{"http://app.example.com"}, 403},
		"another port":                  {"POST", "/api/get-token", []string{app + ":8443"}, 403},
		"a slash more":                  {"POST", "/api/get-token", []string{app + "/"}, 403},
		"two, the first of which is it": {"POST", "/api/get-token", []string{app, "https://evil.example.com"}, 403},
		"two in one":                    {"POST", "/api/get-token", []string{app + ", https://evil.example.com"}, 403},
	} {
		header := http.Header{"Cookie": {"session=" + session}}
		if c.origin != nil {
			header["Origin"] = c.origin
		}
		got := anyone().send(t.Context(), c.method, s.URL+c.path, http.NoBody, header)
		if got.status != c.status || (got.Token != "") != (c.status == 200) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
			continue
		}
		checkAnswer(t, c.method, got)
		if c.status != 200 {
			continue
		}
		if claims := part(t, got.Token, 1); claims["sub"] != "u-1" || claims["email"] != "ada@example.com" || claims["role"] != "teacher" {
			t.Errorf("%s: claims %v", name, claims)
		}
	}
	for name, cookies := range map[string][]string{
		"two sessions": {"session=" + session + "; session=x"}, "in two lines": {"session=x", "session=" + session},
	} {
		got := anyone().send(t.Context(), "POST", s.URL+"/api/get-token", http.NoBody, http.Header{"Cookie": cookies, "Origin": {app}})
		if got.status != http.StatusBadRequest || got.Token != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// Pages of other origins can read no answer, and the page that is listed can read all,
// refusals too.
func TestAnswersAreForListedPages(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for origin, listed := range map[string]bool{app: true, "https://evil.example.com": false, "null": false} {
		preflight := anyone().send(t.Context(), "OPTIONS", s.URL+"/api/get-token", http.NoBody, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"},
		})
		if got := preflight.header.Values("Access-Control-Allow-Origin"); (len(got) == 1 && got[0] == origin) != listed {
			t.Errorf("preflight of %s: %d, Allow-Origin %q", origin, preflight.status, got)
		}
		if preflight.status != http.StatusNoContent {
			t.Errorf("preflight of %s: %d", origin, preflight.status)
		}
		for what, got := range map[string]answer{
			"a refusal":  s.form(anyone(), "/api/get-token", nil, "Origin", origin),
			"a 400":      s.form(anyone(), "/token", nil, "Origin", origin),
			"a token":    s.form(anyone(), "/token", url.Values{"grant_type": {"client_credentials"}}, "Origin", origin, "Authorization", basic(s.client.id, s.client.secret)),
			"no page":    s.form(anyone(), "/none", nil, "Origin", origin),
			"wrong verb": anyone().send(t.Context(), "PUT", s.URL+"/token", http.NoBody, http.Header{"Origin": {origin}}),
		} {
			allowed := got.header.Values("Access-Control-Allow-Origin")
			if (len(allowed) == 1 && allowed[0] == origin) != listed || !listed && len(allowed) > 0 {
				t.Errorf("%s for %s: %d, Allow-Origin %q", what, origin, got.status, allowed)
			}
			if got.header.Get("Vary") == "" {
				t.Errorf("%s for %s: no Vary", what, origin)
			}
		}
	}
}

// A proxy that closes its connections after each request gets the answer too, though
// the issuer reads no more of a body than it has to.
func TestRefusedUploadsAreAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	large := strings.Repeat("x", 1<<20)
	for range 20 {
		for target, status := range map[string]int{"/token": http.StatusRequestEntityTooLarge, "/none": http.StatusNotFound} {
			got := from(1).send(t.Context(), "POST", s.URL+target, strings.NewReader(large), http.Header{"Content-Type": {formType}})
			if got.err != nil || got.status != status {
				t.Fatalf("%s: %d %v, want %d", target, got.status, got.err, status)
			}
		}
	}
}

// A body that comes slowly, or never, holds nobody up and does not stay.
func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	began := time.Now()
	got := from(1).send(t.Context(), "POST", s.URL+"/token", reader, http.Header{"Content-Type": {formType}})
	if got.err == nil && got.status == http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if waited := time.Since(began); waited > 45*time.Second {
		t.Errorf("it was waited for %v", waited)
	}
}

// What an issuer says of itself is what it does.
func TestMetadataIsTrue(t *testing.T) {
	t.Parallel()
	s := start(t, func(setup *live.IssuerSetup) {
		setup.Document = strings.Replace(setup.Document, `"{issuer}"`, `"{issuer}/agents"`, 1)
	})
	var first map[string]any
	for _, path := range []string{"/.well-known/oauth-authorization-server/agents", "/agents/.well-known/openid-configuration"} {
		got := s.must(anyone().send(t.Context(), "GET", s.URL+path, http.NoBody, nil), http.StatusOK)
		var said map[string]any
		if err := json.Unmarshal(got.body, &said); err != nil {
			t.Fatal(err)
		}
		if said["issuer"] != s.URL+"/agents" {
			t.Errorf("%s: issuer %v", path, said["issuer"])
		}
		first = said
	}
	for _, name := range []string{"token_endpoint", "jwks_uri"} {
		address, _ := first[name].(string)
		if !strings.HasPrefix(address, s.URL+"/agents/") {
			t.Fatalf("%s: %q", name, address)
		}
	}
	keys := s.must(anyone().send(t.Context(), "GET", fmt.Sprint(first["jwks_uri"]), http.NoBody, nil), http.StatusOK)
	if strings.Contains(string(keys.body), `"d"`) || !strings.Contains(string(keys.body), `"kid"`) {
		t.Errorf("keys %s", keys.body)
	}
	got := anyone().send(t.Context(), "POST", fmt.Sprint(first["token_endpoint"]), strings.NewReader("grant_type=client_credentials"),
		http.Header{"Content-Type": {formType}, "Authorization": {basic(s.client.id, s.client.secret)}})
	s.must(got, http.StatusOK)
	if claims := part(t, got.AccessToken, 1); claims["iss"] != s.URL+"/agents" {
		t.Errorf("iss %v", claims["iss"])
	}
}
