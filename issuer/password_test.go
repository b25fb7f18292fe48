package issuer

import (
	"strings"
	"sync"
	"testing"
)

func login(w *world, user, secret string, more ...string) reply {
	return w.do("POST", "/token", formOf(append([]string{"grant_type", "password", "username", user, "password", secret}, more...)...))
}

func renew(w *world, given string, more ...string) reply {
	return w.do("POST", "/token", formOf(append([]string{"grant_type", "refresh_token", "refresh_token", given}, more...)...))
}

// RFC 6749 section 4.3, as FastAPI's OAuth2PasswordRequestForm asks: with a client
// or without.
func TestPasswords(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	got := login(w, "ada", userPassword, "scope", "agents:run")
	if got.status != 200 || got.get("token_type") != "bearer" || got.get("refresh_token") == "" {
		t.Fatalf("%d %s", got.status, got.text)
	}
	if claims := w.verified(got.get("access_token")); claims["sub"] != "ada" || claims["client_id"] != nil || claims["scope"] != "agents:run" {
		t.Errorf("claims %v", claims)
	}
	withClient := w.do("POST", "/token", formOf("grant_type", "password", "username", "ada", "password", userPassword), "Authorization", basic("crm", w.client.Reveal()))
	if withClient.status != 200 || w.verified(withClient.get("access_token"))["client_id"] != "crm" {
		t.Errorf("with a client: %d %s", withClient.status, withClient.text)
	}
	var texts []string
	for sentence, c := range map[string]struct {
		user, secret string
		status       int
		code         string
	}{
		"a wrong password":          {"ada", "wrong", 400, "invalid_grant"},
		"an unknown user":           {"eve", userPassword, 400, "invalid_grant"},
		"no password":               {"ada", "", 400, "invalid_request"},
		"no user":                   {"", userPassword, 400, "invalid_request"},
		"a password without end":    {"ada", strings.Repeat("x", 5000), 400, "invalid_grant"},
		"the password and one more": {"ada", userPassword + "x", 400, "invalid_grant"},
	} {
		got := login(w, c.user, c.secret)
		if got.status != c.status || got.get("error") != c.code {
			t.Errorf("%s: %d %s", sentence, got.status, got.text)
		}
		if c.code == "invalid_grant" {
			texts = append(texts, got.text)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("answers tell who is known: %q", texts)
		}
	}
	if got := login(w, "ada", userPassword, "scope", "admin"); got.status != 400 || got.get("error") != "invalid_scope" {
		t.Errorf("a scope too many: %d %s", got.status, got.text)
	}
}

func TestWrongPasswordsAreHeldBack(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	limited := 0
	for range 40 {
		if got := login(w, "ada", "wrong"); got.status == 429 {
			limited++
			if got.header.Get("Retry-After") == "" || got.get("detail") != "Too many requests" {
				t.Fatalf("429 %v %s", got.header, got.text)
			}
		}
	}
	if hashes := w.issuer.hasher.Computed(); hashes > 20 || limited < 20 {
		t.Errorf("%d hashes, %d held back of 40", hashes, limited)
	}
}

// Refresh tokens are used once, but by a client that uses one twice at once.
func TestRefreshTokens(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	first := login(w, "ada", userPassword).get("refresh_token")
	var both [2]reply
	var group sync.WaitGroup
	for i := range both {
		group.Go(func() { both[i] = renew(w, first) })
	}
	group.Wait()
	for _, got := range both {
		if got.status != 200 || got.get("refresh_token") != both[0].get("refresh_token") {
			t.Fatalf("twice at once: %d %s", got.status, got.text)
		}
		if claims := w.verified(got.get("access_token")); claims["sub"] != "ada" {
			t.Errorf("claims %v", claims)
		}
	}
	second := both[0].get("refresh_token")
	if got := renew(w, second, "scope", "admin"); got.status != 400 || got.get("error") != "invalid_scope" {
		t.Errorf("more than before: %d %s", got.status, got.text)
	}
	if got := renew(w, second); got.status != 200 {
		t.Errorf("a refused request used the token up: %d %s", got.status, got.text)
	}
	for sentence, text := range map[string]string{"a token that is none": "abc", "an access token": both[0].get("access_token")} {
		if got := renew(w, text); got.status != 400 || got.get("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", sentence, got.status, got.text)
		}
	}
	if got := renew(w, ""); got.status != 400 || got.get("error") != "invalid_request" {
		t.Errorf("no token: %d %s", got.status, got.text)
	}
}

// A family belongs to the client that began it, and ends with the password.
func TestRefreshTokensAreBound(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	crm := []string{"Authorization", basic("crm", w.client.Reveal())}
	own := w.do("POST", "/token", formOf("grant_type", "password", "username", "ada", "password", userPassword), crm...).get("refresh_token")
	refresh := formOf("grant_type", "refresh_token", "refresh_token", own)
	if got := w.do("POST", "/token", refresh); got.status != 400 || got.get("error") != "invalid_grant" {
		t.Errorf("without its client: %d %s", got.status, got.text)
	}
	got := w.do("POST", "/token", refresh, crm...)
	if got.status != 200 {
		t.Fatalf("with its client: %d %s", got.status, got.text)
	}
	own = got.get("refresh_token")
	before := w.issuer.current.Load()
	w.write("keys/users/htpasswd", "ada:"+hashOf("another password")+"\n")
	w.await("the new password is in force", func() bool { return w.issuer.current.Load() != before })
	if got := w.do("POST", "/token", formOf("grant_type", "refresh_token", "refresh_token", own), crm...); got.status != 400 || got.get("error") != "invalid_grant" {
		t.Errorf("after the password changed: %d %s", got.status, got.text)
	}
}

func TestRefreshTokensThatAreStolenEndTheFamily(t *testing.T) {
	t.Parallel()
	w := start(t, func(spec string) string { return strings.Replace(spec, "reuseGrace: 10s", "reuseGrace: 0s", 1) })
	first := login(w, "ada", userPassword).get("refresh_token")
	second := renew(w, first).get("refresh_token")
	if second == "" {
		t.Fatal("no second token")
	}
	if got := renew(w, first); got.status != 400 || got.get("error") != "invalid_grant" {
		t.Errorf("used again: %d %s", got.status, got.text)
	}
	if got := renew(w, second); got.status != 400 {
		t.Errorf("the family lives on: %d %s", got.status, got.text)
	}
}
