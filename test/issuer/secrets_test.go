package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"gatepost.dev/gatepost/test/live"
)

// hoard is what must never be seen outside: each text with its name.
type hoard map[string]string

// add keeps a secret, as it is and as people write bytes.
func (h hoard) add(name, raw string) string {
	h[name] = raw
	h[name+" in base64"] = base64.RawStdEncoding.EncodeToString([]byte(raw))
	h[name+" in base64url"] = base64.RawURLEncoding.EncodeToString([]byte(raw))
	h[name+" in hex"] = hex.EncodeToString([]byte(raw))
	h[name+" escaped"] = url.QueryEscape(raw)
	return raw
}

// fresh makes up a secret and keeps it.
func (h hoard) fresh(name string) string { return h.add(name, name+"-"+rand.Text()) }

// token keeps a token whole, and its claims and signature by themselves.
func (h hoard) token(name, compact string) string {
	h[name] = compact
	for i, part := range strings.Split(compact, ".")[1:] {
		h[fmt.Sprintf("part %d of %s", i+2, name)] = part
	}
	return compact
}

// leaks are the names of what is found in a text.
func (h hoard) leaks(text []byte) (found []string) {
	for name, secret := range h {
		if bytes.Contains(text, []byte(secret)) {
			found = append(found, name)
		}
	}
	return found
}

const siteSecret = "the site's own secret, of thirty-two bytes or more"

// scene is an issuer all of whose secrets are in a hoard.
type scene struct {
	*stage
	hoard

	password string
	asked    int
}

func newScene(t *testing.T) *scene {
	t.Helper()
	in := &scene{hoard: hoard{}}
	in.password = in.fresh("password")
	hash, err := bcrypt.GenerateFromPassword([]byte(in.password), 10)
	if err != nil {
		t.Fatal(err)
	}
	key := privateKey(t, "ES256")
	block, _ := pem.Decode(key)
	in.add("private key", string(block.Bytes))
	in.hoard["private key in PEM"] = strings.Split(string(key), "\n")[1]
	in.hoard["private key, last line"] = strings.Split(string(key), "\n")[2]
	in.hoard["hash"] = string(hash)
	in.add("site secret", siteSecret)
	in.stage = start(t, func(setup *live.IssuerSetup) {
		setup.Users = "ada:" + string(hash) + "\n"
		setup.Keys["agent/current"], setup.Keys["site/current"] = key, []byte(siteSecret)
	})
	in.add("client secret", in.client.secret)
	in.hoard["random part of the client secret"] = in.client.secret[strings.LastIndexByte(in.client.secret, '_')+1:]
	return in
}

// post asks for a token; an answer that refuses holds no secret.
func (in *scene) post(path, body string, header ...string) answer {
	in.t.Helper()
	h := http.Header{"Content-Type": {formType}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	got := anyone().send(in.t.Context(), http.MethodPost, in.URL+path, strings.NewReader(body), h)
	if got.err != nil {
		in.t.Fatal(got.err)
	}
	if in.asked++; got.status != http.StatusOK {
		if found := in.leaks(fmt.Appendf(nil, "%v %s", got.header, got.body)); len(found) > 0 {
			in.t.Errorf("the answer %d to %s has %q", got.status, path, found)
		}
	}
	return got
}

// play lets everything happen that brings secrets: right, wrong, and in places where
// they do not belong.
func (in *scene) play() {
	in.t.Helper()
	login := url.Values{"grant_type": {"password"}, "username": {"ada"}, "password": {in.password}}.Encode()
	wrong := url.Values{"grant_type": {"password"}, "username": {in.fresh("name of nobody")}, "password": {in.fresh("wrong password")}}.Encode()
	client := url.Values{"grant_type": {"client_credentials"}, "client_id": {"crm"}, "client_secret": {in.client.secret}}.Encode()
	authorized := basic("crm", in.client.secret)
	in.hoard["client in Basic"] = strings.TrimPrefix(authorized, "Basic ")
	ok := in.must(in.post("/token", login), http.StatusOK)
	in.token("access token", ok.AccessToken)
	in.add("refresh token", ok.RefreshToken)
	if found := in.leaks(ok.body); len(found) < 2 {
		in.t.Errorf("in an answer with two tokens only %q is found: the search is blind", found)
	}
	next := in.must(in.post("/token", "grant_type=refresh_token&refresh_token="+ok.RefreshToken), http.StatusOK)
	in.token("second access token", next.AccessToken)
	in.add("second refresh token", next.RefreshToken)
	in.token("client's token", in.must(in.post("/token", client), http.StatusOK).AccessToken)
	time.Sleep(3 * time.Second)
	for range 3 { // the first of them revokes the family
		in.must(in.post("/token", "grant_type=refresh_token&refresh_token="+ok.RefreshToken), http.StatusBadRequest)
	}
	for _, body := range []string{
		wrong, login + "&password=" + in.fresh("second password"), client + "&x=%zz", login + ";" + in.fresh("after a semicolon"),
		"grant_type=" + in.fresh("as a grant"), "grant_type=password&username=" + url.QueryEscape(in.password) + "&password=ada",
		"grant_type=client_credentials&client_id=" + in.fresh("as a client") + "&client_secret=" + in.fresh("of no client"),
		"grant_type=client_credentials&scope=" + in.fresh("as a scope"), login + "&resource=https://" + in.fresh("as a resource"),
		in.fresh("as a body"), login + "&x=" + strings.Repeat(in.fresh("in a large body"), 500), in.password + "=1",
	} {
		in.post("/token", body)
		in.post("/token", body, "Authorization", authorized)
		in.post("/token", body, "Content-Type", "application/json")
		in.post("/api/get-token", body, "Authorization", "Bearer "+in.fresh("as a session"))
	}
	for _, path := range []string{
		"/token?" + login, "/token?" + client, "/api/get-token?token=" + ok.AccessToken, "/" + url.PathEscape(in.password),
		"/token/" + ok.RefreshToken, "/.well-known/" + in.client.secret,
	} {
		in.post(path, login)
	}
	in.post("/token", login, "Authorization", "Basic "+in.fresh("as Basic"))
	in.post("/token", login, "X-Forwarded-For", in.fresh("as an address"), "User-Agent", in.fresh("as a browser"))
	in.post("/api/get-token", "", "Authorization", "Bearer "+ok.AccessToken, "Origin", "https://"+in.fresh("as an origin"))
	in.sessions()
}

// sessions are good and bad ones of the site, in its cookie.
func (in *scene) sessions() {
	in.t.Helper()
	for name, c := range map[string]struct {
		secret string
		lives  time.Duration
		status int
	}{
		"session": {siteSecret, time.Minute, 200}, "expired session": {siteSecret, -time.Hour, 401}, "forged session": {strings.Repeat("x", 32), time.Minute, 401},
	} {
		session := in.token(name, mint(in.t, c.secret, map[string]any{
			"iss": "https://site.example.com", "sub": in.fresh("subject of " + name), "email": in.fresh("email of " + name),
			"exp": time.Now().Add(c.lives).Unix(), "iat": time.Now().Add(c.lives - time.Minute).Unix(),
		}))
		got := in.must(in.post("/api/get-token", "", "Cookie", "session="+session, "Origin", app), c.status)
		if c.status == http.StatusOK {
			in.token("token of the session", got.Token)
		}
		in.post("/token", url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token":      {session},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		}.Encode())
	}
}

// Whatever happens, no secret is in what the issuer writes, counts, answers in a
// refusal, says of itself, or shows of its process. Names of unknown users are secrets
// too: people type passwords there.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	in := newScene(t)
	in.play()
	in.broken()
	seen := map[string][]byte{}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/state?nonce=" + rand.Text(), "/debug/pprof/", "/"} {
		_, body := in.Private(path)
		seen["the admin port's "+path] = []byte(body)
	}
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		seen[path] = anyone().send(t.Context(), http.MethodGet, in.URL+path, http.NoBody, nil).body
	}
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(in.PID), file))
		if err == nil {
			seen[file] = content
		}
	}
	in.Stop()
	seen["its records"] = []byte(in.Logs.String())
	found := 0
	for where, content := range seen {
		if len(content) == 0 && where != "environ" {
			t.Errorf("%s is empty", where)
		}
		for _, name := range in.leaks(content) {
			found++
			t.Errorf("%s has %s", where, name)
		}
	}
	if records := bytes.Count(seen["its records"], []byte(`"msg":"request"`)); records < 20 {
		t.Errorf("%d records of requests: there is nothing to search", records)
	}
	live.Figure("issuer_secret_occurrences", found, "")
	live.Figure("issuer_secret_texts_looked_for", len(in.hoard), "")
	live.Figure("issuer_secret_requests", in.asked, "")
}

// broken replaces files by ones that cannot be used and waits until that was said.
func (in *scene) broken() {
	in.t.Helper()
	in.Write("users", []byte(in.fresh("line of users")+"\nbob:"+in.fresh("plain password of bob")+"\n"))
	in.Await(in.t, "its record of the users", func(context.Context) bool { return strings.Contains(in.Logs.String(), "line 1 of the users") })
	in.Write("users", []byte("ada:"+in.hoard["hash"]+"\n"))
	in.Write("keys/agent/current", []byte("-----BEGIN PRIVATE KEY-----\n"+in.fresh("no key")+"\n-----END PRIVATE KEY-----\n"))
	before := strings.Count(in.Logs.String(), "signingKeyRef")
	in.Await(in.t, "its record of the key", func(context.Context) bool { return strings.Count(in.Logs.String(), "signingKeyRef") > before })
}
