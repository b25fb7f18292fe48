package issuer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Metadata is where RFC 8414 and OpenID Connect Discovery look for it, whether or
// not what is in front takes the issuer's path away.
func TestDocumentsAreFound(t *testing.T) {
	t.Parallel()
	w := start(t, func(spec string) string {
		at := strings.Index(spec, `issuer: "`) + len(`issuer: "`)
		return spec[:at] + strings.Replace(spec[at:], `"`, `/agents"`, 1)
	})
	issuer := w.url + "/agents"
	var oauth, openID string
	for _, path := range []string{"/.well-known/oauth-authorization-server/agents", "/agents/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"} {
		got := w.do("GET", path, "")
		if got.status != 200 || got.get("issuer") != issuer || oauth != "" && got.text != oauth {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
		oauth = got.text
	}
	for _, path := range []string{"/agents/.well-known/openid-configuration", "/.well-known/openid-configuration/agents", "/.well-known/openid-configuration"} {
		got := w.do("GET", path, "", "Origin", "https://anywhere.example")
		if got.status != 200 || got.get("issuer") != issuer || openID != "" && got.text != openID || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s %v", path, got.status, got.text, got.header)
		}
		openID = got.text
	}
	var about metadata
	if err := json.Unmarshal([]byte(openID), &about); err != nil {
		t.Fatal(err)
	}
	want := metadata{
		Issuer: issuer, TokenEndpoint: issuer + "/token", JWKSURI: issuer + "/.well-known/jwks.json", ResponseTypes: []string{},
		GrantTypes:   []string{"client_credentials", "password", exchangeGrant, "refresh_token"},
		AuthMethods:  []string{"client_secret_basic", "client_secret_post", "none"},
		SubjectTypes: []string{"public"}, IDTokenAlgs: []string{"ES256"}, Claims: []string{"iss", "sub", "aud", "exp", "iat", "jti"},
	}
	if diff := cmp.Diff(want, about); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/agents/.well-known/jwks.json", "/.well-known/jwks.json"} {
		got := w.do("GET", path, "")
		if got.status != 200 || !strings.Contains(got.text, `"kid":"1-aaaaaaaaaa"`) || strings.Contains(got.text, `"d"`) || strings.Contains(got.header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: %d %s %v", path, got.status, got.text, got.header)
		}
		if got := w.do("HEAD", path, ""); got.status != 200 || got.text != "" {
			t.Errorf("HEAD %s: %d %q", path, got.status, got.text)
		}
		if got := w.do("POST", path, ""); got.status != 405 || got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("POST %s: %d", path, got.status)
		}
	}
	for _, path := range []string{"/agents/token", "/token"} {
		if got := w.do("POST", path, formOf("grant_type", "client_credentials"), "Authorization", basic("crm", w.client.Reveal())); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
	for _, path := range []string{"/", "/agents", "/agents/", "/agents/agents/token", "/Token", "/token/", "//token", "/%74oken", "/debug/pprof/", "/metrics", "/state", "/healthz"} {
		if got := w.do("GET", path, ""); got.status != 404 || got.get("detail") != "Not found" {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
}

// Pages of listed origins read every answer, other pages none but the documents.
func TestPagesReadAnswers(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for sentence, c := range map[string]struct {
		method, path, origin string
		asks                 string // Access-Control-Request-Method
		status               int
		allowed, credentials string
	}{
		"a refusal":                           {"POST", "/api/get-token", appOrigin, "", 401, appOrigin, "true"},
		"a refusal at /token":                 {"POST", "/token", appOrigin, "", 400, appOrigin, "true"},
		"a path that is not there":            {"POST", "/none", appOrigin, "", 404, appOrigin, "true"},
		"a method that is not there":          {"DELETE", "/token", appOrigin, "", 405, appOrigin, "true"},
		"another page":                        {"POST", "/api/get-token", "https://evil.example", "", 401, "", ""},
		"a page without origin":               {"POST", "/api/get-token", "null", "", 401, "", ""},
		"a preflight":                         {"OPTIONS", "/api/get-token", appOrigin, "POST", 204, appOrigin, "true"},
		"a preflight of another page":         {"OPTIONS", "/api/get-token", "https://evil.example", "POST", 204, "", ""},
		"a preflight for a document":          {"OPTIONS", "/.well-known/openid-configuration", "https://mcp.example", "GET", 204, "*", ""},
		"a preflight of nobody's path":        {"OPTIONS", "/none", appOrigin, "GET", 404, appOrigin, "true"},
		"OPTIONS that is no preflight":        {"OPTIONS", "/token", appOrigin, "", 405, appOrigin, "true"},
		"keys, for a page of any origin":      {"GET", "/.well-known/jwks.json", "https://mcp.example", "", 200, "*", ""},
		"keys, for a page of a listed origin": {"GET", "/.well-known/jwks.json", appOrigin, "", 200, appOrigin, "true"},
	} {
		t.Run(sentence, func(t *testing.T) {
			headers := []string{"Origin", c.origin}
			if c.asks != "" {
				headers = append(headers, "Access-Control-Request-Method", c.asks, "Access-Control-Request-Headers", "authorization")
			}
			got := w.do(c.method, c.path, "", headers...)
			if got.status != c.status || strings.Join(got.header["Access-Control-Allow-Origin"], "|") != c.allowed ||
				got.header.Get("Access-Control-Allow-Credentials") != c.credentials || !strings.Contains(strings.Join(got.header["Vary"], ","), "Origin") {
				t.Errorf("%d %v", got.status, got.header)
			}
			if c.status == 204 && c.allowed == appOrigin && !strings.Contains(strings.ToLower(got.header.Get("Access-Control-Allow-Headers")), "authorization") {
				t.Errorf("preflight %v", got.header)
			}
			if c.status == 401 && got.header.Get("Access-Control-Expose-Headers") == "" {
				t.Errorf("the page does not see the challenge: %v", got.header)
			}
		})
	}
}
