package issuer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/token"
)

func numberOf(value any) (int64, error) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number", value)
	}
	return number.Int64()
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// One way of authentication, the right secret under the right id (RFC 6749 section
// 2.3.1), and errors as section 5.2 has them.
func TestClientsAuthenticate(t *testing.T) {
	t.Parallel()
	other := newAPIKey(t)
	w := start(t, nil)
	w.addClient("erp", other)
	plain := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	key := w.client.Reveal()
	cc := formOf("grant_type", "client_credentials")
	for sentence, c := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
	}{
		"Basic":                        {cc, []string{"Authorization", basic("crm", key)}, 200, ""},
		"in the body":                  {cc + "&" + formOf("client_id", "crm", "client_secret", key), nil, 200, ""},
		"Basic, named in the body too": {cc + "&client_id=crm", []string{"Authorization", basic("crm", key)}, 200, ""},
		"Basic with escapes":           {cc, []string{"Authorization", plain("c%72m:" + key)}, 200, ""},
		"Basic with bad escapes":       {cc, []string{"Authorization", plain("crm:%zz" + key)}, 401, "invalid_client"},
		"in lower case":                {cc, []string{"Authorization", "basic" + basic("crm", key)[5:]}, 200, ""},
		"both ways":                    {cc + "&" + formOf("client_id", "crm", "client_secret", key), []string{"Authorization", basic("crm", key)}, 400, "invalid_request"},
		"two headers":                  {cc, []string{"Authorization", basic("crm", key), "Authorization", basic("crm", key)}, 400, "invalid_request"},
		"another id in the body":       {cc + "&client_id=erp", []string{"Authorization", basic("crm", key)}, 400, "invalid_request"},
		"another client's secret":      {cc, []string{"Authorization", basic("crm", other.Reveal())}, 401, "invalid_client"},
		"an unknown client":            {cc, []string{"Authorization", basic("nobody", key)}, 401, "invalid_client"},
		"a secret that is none":        {cc, []string{"Authorization", basic("crm", "secret")}, 401, "invalid_client"},
		"a secret and no id":           {cc + "&" + formOf("client_secret", key), nil, 401, "invalid_client"},
		"an id and no secret":          {cc + "&client_id=crm", nil, 401, "invalid_client"},
		"nobody":                       {cc, nil, 401, "invalid_client"},
		"a bearer token":               {cc, []string{"Authorization", "Bearer a.b.c"}, 401, "invalid_client"},
		"Basic that is not base64":     {cc, []string{"Authorization", "Basic ????"}, 401, "invalid_client"},
		"Basic without a colon":        {cc, []string{"Authorization", "Basic YWJj"}, 401, "invalid_client"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := w.do("POST", "/token", c.body, c.headers...)
			if got.status != c.status || got.get("error") != c.code {
				t.Fatalf("%d %s", got.status, got.text)
			}
			if got.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("WWW-Authenticate %q", got.header["Www-Authenticate"])
			}
			if got.status != 200 && (got.get("detail") == "" || got.get("error_description") == "") {
				t.Errorf("says no more than %s", got.text)
			}
			if got.status == 200 {
				if claims := w.verified(got.get("access_token")); claims["client_id"] != claims["sub"] {
					t.Errorf("claims %v", claims)
				}
			}
		})
	}
}

// addClient writes a further client and waits until it is in force.
func (w *world) addClient(id string, key apikey.Key) {
	w.t.Helper()
	w.write("issuer.yaml", strings.ReplaceAll(testSpec, "{issuer}", w.url)+clientDocument("crm", w.client)+clientDocument(id, key))
	w.await("the client is in force", func() bool { return w.issuer.current.Load().knows(id) })
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	ask := func(pairs ...string) reply {
		return w.do("POST", "/token", formOf(append([]string{"grant_type", "client_credentials"}, pairs...)...), "Authorization", basic("crm", w.client.Reveal()))
	}
	got := ask("resource", chat)
	if got.status != 200 || got.get("token_type") != "bearer" || got.get("scope") != "agents:run agents:crm" || got.body["expires_in"] != 120.0 || got.body["refresh_token"] != nil {
		t.Fatalf("%d %s", got.status, got.text)
	}
	claims := w.verified(got.get("access_token"))
	for _, name := range []string{"iat", "exp", "jti"} {
		delete(claims, name)
	}
	want := map[string]any{
		"iss": w.url, "sub": "crm", "client_id": "crm", "aud": chat, "tier": "gold", "tenant_id": "t-1", "gatepost.dev/source": "client",
		"scope": "agents:run agents:crm", "scopes": []any{"agents:run", "agents:crm"},
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if got := ask("resource", chat, "resource", search, "scope", "agents:crm"); got.status != 200 || got.get("scope") != "agents:crm" {
		t.Errorf("two resources and a scope: %d %s", got.status, got.text)
	}
	for sentence, c := range map[string]struct {
		pairs []string
		code  string
	}{
		"another resource":                   {[]string{"resource", "https://evil.example"}, "invalid_target"},
		"another resource beside a good one": {[]string{"resource", chat, "resource", "https://evil.example"}, "invalid_target"},
		"a scope too many":                   {[]string{"scope", "agents:run admin"}, "invalid_scope"},
		"a scope that is none":               {[]string{"scope", `agents:"run"`}, "invalid_scope"},
	} {
		if got := ask(c.pairs...); got.status != 400 || got.get("error") != c.code {
			t.Errorf("%s: %d %s", sentence, got.status, got.text)
		}
	}
}

// What two readers could take differently is refused, whoever asks.
func TestTokenRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	cc := formOf("grant_type", "client_credentials")
	for sentence, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"a form":                         {"POST", "/token", cc, nil, 200, ""},
		"with a charset":                 {"POST", "/token", cc, []string{"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"}, 200, ""},
		"an empty parameter is left out": {"POST", "/token", cc + "&scope=&resource=", nil, 200, ""},
		"an unknown parameter":           {"POST", "/token", cc + "&x=y", nil, 200, ""},
		"another charset":                {"POST", "/token", cc, []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-16"}, 400, "invalid_request"},
		"JSON":                           {"POST", "/token", `{"grant_type":"client_credentials"}`, []string{"Content-Type", "application/json"}, 400, "invalid_request"},
		"multipart":                      {"POST", "/token", cc, []string{"Content-Type", "multipart/form-data; boundary=a"}, 400, "invalid_request"},
		"nothing":                        {"POST", "/token", "", nil, 400, "invalid_request"},
		"a parameter in the query":       {"POST", "/token?scope=agents:run", cc, nil, 400, "invalid_request"},
		"all parameters in the query":    {"POST", "/token?" + cc, "", nil, 400, "invalid_request"},
		"an empty query":                 {"POST", "/token?", cc, nil, 400, "invalid_request"},
		"no grant_type":                  {"POST", "/token", "scope=a", nil, 400, "invalid_request"},
		"an unknown grant_type":          {"POST", "/token", "grant_type=authorization_code", nil, 400, "unsupported_grant_type"},
		"grant_type twice":               {"POST", "/token", cc + "&" + cc, nil, 400, "invalid_request"},
		"grant_type twice, once escaped": {"POST", "/token", cc + "&grant%5Ftype=password", nil, 400, "invalid_request"},
		"a bad escape":                   {"POST", "/token", cc + "&scope=%zz", nil, 400, "invalid_request"},
		"a NUL":                          {"POST", "/token", cc + "&scope=a%00", nil, 400, "invalid_request"},
		"bad UTF-8":                      {"POST", "/token", cc + "&scope=%ff", nil, 400, "invalid_request"},
		"an empty pair":                  {"POST", "/token", cc + "&&scope=agents:run", nil, 400, "invalid_request"},
		"a semicolon":                    {"POST", "/token", cc + ";scope=agents:run", nil, 400, "invalid_request"},
		"65 parameters":                  {"POST", "/token", cc + strings.Repeat("&resource="+url.QueryEscape(chat), 64), nil, 400, "invalid_request"},
		"8 KiB":                          {"POST", "/token", cc + "&x=" + strings.Repeat("y", maxForm-len(cc)-3), nil, 200, ""},
		"8 KiB and a byte":               {"POST", "/token", cc + "&x=" + strings.Repeat("y", maxForm-len(cc)-2), nil, 413, "invalid_request"},
		"GET":                            {"GET", "/token", "", nil, 405, ""},
		"PUT":                            {"PUT", "/token", cc, nil, 405, ""},
		"an encoded body":                {"POST", "/token", cc, []string{"Content-Encoding", "gzip"}, 400, "invalid_request"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := w.do(c.method, c.path, c.body, append([]string{"Authorization", basic("crm", w.client.Reveal())}, c.headers...)...)
			if got.status != c.status || got.get("error") != c.code {
				t.Errorf("%d %s", got.status, got.text)
			}
			if c.status == 405 && got.header.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("Allow %q", got.header.Get("Allow"))
			}
		})
	}
}

// A grant that the issuer does not have, or a client may not use, is refused in
// RFC 6749's words.
func TestGrantsThatAreNotOffered(t *testing.T) {
	t.Parallel()
	w := start(t, func(string) string {
		return strings.ReplaceAll(`apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: auth}
spec: {issuer: "{issuer}", signingKeyRef: {name: agent}, audiences: [a], grants: [ClientCredentials], tokenType: at+jwt, clients: {credentialSelector: {}}}
`, "{issuer}", "http://127.0.0.1:1")
	})
	for _, name := range []string{"password", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"} {
		if got := w.do("POST", "/token", formOf("grant_type", name), "Authorization", basic("crm", w.client.Reveal())); got.status != 400 || got.get("error") != "unsupported_grant_type" {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	if got := w.do("POST", "/api/get-token", ""); got.status != 404 {
		t.Errorf("a session: %d %s", got.status, got.text)
	}
	got := w.do("POST", "/token", formOf("grant_type", "client_credentials"), "Authorization", basic("crm", w.client.Reveal()))
	if header := headerOf(t, got.get("access_token")); got.status != 200 || header["typ"] != "at+jwt" {
		t.Errorf("RFC 9068: %d %s, header %v", got.status, got.text, header)
	}
}

func headerOf(t *testing.T, text string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(text, ".")
	plain, err := base64.RawURLEncoding.DecodeString(head)
	var header map[string]any
	if err != nil || json.Unmarshal(plain, &header) != nil {
		t.Fatalf("no token: %q", text)
	}
	return header
}

const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

// RFC 8693: tokens of sessions and of service accounts of this namespace, for the
// issuer, in time.
func TestTokenExchange(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	account := func(change map[string]any) string {
		claims := map[string]any{
			"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:agents:batch", "aud": []string{w.url}, "exp": time.Now().Unix() + 3600,
			"kubernetes.io": map[string]any{"namespace": "agents"},
		}
		maps.Copy(claims, change)
		text, err := token.Mint(w.cluster, nil, claims)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := session(t, sessionSecret, "https://app.example", nil)
	for sentence, c := range map[string]struct {
		subject string
		pairs   []string
		status  int
		code    string
		sub     string
		scope   string
	}{
		"a session":                          {good, nil, 200, "", "u-1", "agents:run agents:read"},
		"a session, narrowed":                {good, []string{"audience", search, "scope", "agents:read", "requested_token_type", grant.TokenTypeJWT}, 200, "", "u-1", "agents:read"},
		"a service account":                  {account(nil), nil, 200, "", "system:serviceaccount:agents:batch", "agents:batch"},
		"one of another namespace":           {account(map[string]any{"sub": "system:serviceaccount:other:batch"}), nil, 400, "invalid_request", "", ""},
		"another of this namespace":          {account(map[string]any{"sub": "system:serviceaccount:agents:default"}), nil, 400, "invalid_request", "", ""},
		"one for another audience":           {account(map[string]any{"aud": []string{"vault"}}), nil, 400, "invalid_request", "", ""},
		"one for the API server":             {account(map[string]any{"aud": []string{"https://kubernetes.default.svc"}}), nil, 400, "invalid_request", "", ""},
		"an expired one":                     {account(map[string]any{"exp": 1000}), nil, 400, "invalid_request", "", ""},
		"one that ended while clocks differ": {account(map[string]any{"exp": time.Now().Unix() - 4}), nil, 400, "invalid_request", "", ""},
		"a session that has just ended":      {session(t, sessionSecret, "https://app.example", map[string]any{"exp": time.Now().Unix() - 4}), nil, 400, "invalid_request", "", ""},
		"a session of another's signature":   {session(t, cookieSecret, "https://app.example", nil), nil, 400, "invalid_request", "", ""},
		"no token":                           {"", nil, 400, "invalid_request", "", ""},
		"no JWT":                             {"abc", nil, 400, "invalid_request", "", ""},
		"a kind of token that is not known":  {good, []string{"subject_token_type", "urn:ietf:params:oauth:token-type:saml2"}, 400, "invalid_request", "", ""},
		"a wish that cannot be fulfilled":    {good, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, 400, "invalid_request", "", ""},
		"delegation":                         {good, []string{"actor_token", good, "actor_token_type", grant.TokenTypeJWT}, 400, "invalid_request", "", ""},
		"another audience":                   {good, []string{"audience", "https://evil.example"}, 400, "invalid_target", "", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			pairs := []string{"grant_type", exchangeGrant, "subject_token", c.subject}
			if !strings.Contains(strings.Join(c.pairs, " "), "subject_token_type") {
				pairs = append(pairs, "subject_token_type", grant.TokenTypeJWT)
			}
			got := w.do("POST", "/token", formOf(append(pairs, c.pairs...)...))
			if got.status != c.status || got.get("error") != c.code {
				t.Fatalf("%d %s", got.status, got.text)
			}
			if c.status != 200 {
				return
			}
			claims := w.verified(got.get("access_token"))
			if claims["sub"] != c.sub || got.get("scope") != c.scope || !strings.HasPrefix(got.get("issued_token_type"), "urn:ietf:params:oauth:token-type:") {
				t.Errorf("%s, claims %v", got.text, claims)
			}
		})
	}
}
