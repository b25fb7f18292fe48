package issuer

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

func TestRefreshTokensAreUsedOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	first := s.must(s.login(anyone(), "ada", horse), http.StatusOK).RefreshToken
	other := s.must(s.login(anyone(), "ada", horse), http.StatusOK).RefreshToken
	next := s.must(s.refresh(first), http.StatusOK)
	if next.RefreshToken == first || next.RefreshToken == "" {
		t.Fatal("a refresh token has no successor")
	}
	if claims := part(t, next.AccessToken, 1); claims["sub"] != "ada" || claims["role"] != "teacher" {
		t.Errorf("claims %v", claims)
	}
	newest := s.must(s.refresh(next.RefreshToken), http.StatusOK).RefreshToken
	time.Sleep(3 * time.Second) // longer than reuseGrace
	reused := s.must(s.refresh(first), http.StatusBadRequest)
	ended := s.must(s.refresh(newest), http.StatusBadRequest)
	if reused.Error != "invalid_grant" || ended.Error != "invalid_grant" {
		t.Errorf("reused: %s, its family: %s", reused.body, ended.body)
	}
	s.must(s.refresh(other), http.StatusOK)
}

// The Agno client refreshes twice at the same moment.
func TestRefreshingTwiceAtOnceWorks(t *testing.T) {
	t.Parallel()
	s := start(t, func(setup *live.IssuerSetup) {
		setup.Document = strings.Replace(setup.Document, "reuseGrace: 2s", "reuseGrace: 30s", 1)
	})
	token := s.must(s.login(anyone(), "ada", horse), http.StatusOK).RefreshToken
	for range 5 {
		var answers [2]answer
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = s.refresh(token) })
		}
		all.Wait()
		for _, got := range answers {
			s.must(got, http.StatusOK)
		}
		if answers[0].RefreshToken != answers[1].RefreshToken {
			t.Error("there are two lines")
		}
		token = answers[1].RefreshToken
	}
	s.must(s.refresh(token), http.StatusOK)
}

func TestRefreshTokensAreForNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	login := s.must(s.login(anyone(), "ada", horse), http.StatusOK)
	for name, wrong := range map[string]string{
		"an access token": login.AccessToken, "nothing": "", "an unknown one": "gpr_" + login.RefreshToken[8:] + "AAAA",
		"one with a blank": login.RefreshToken + " ",
	} {
		if got := s.refresh(wrong); got.status != http.StatusBadRequest || got.RefreshToken != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	narrow := s.must(s.form(anyone(), "/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {login.RefreshToken}, "scope": {"agents:read"}, "resource": {chat},
	}), http.StatusOK)
	claims := part(t, narrow.AccessToken, 1)
	if claims["scope"] != "agents:read" || len(texts(claims["aud"])) != 1 {
		t.Errorf("scope %v, aud %v", claims["scope"], claims["aud"])
	}
	wide := s.form(anyone(), "/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {narrow.RefreshToken}, "scope": {"agents:admin"},
	})
	if wide.status != http.StatusBadRequest || wide.Error != "invalid_scope" {
		t.Errorf("another scope than the login's: %d %s", wide.status, wide.body)
	}
	s.must(s.refresh(narrow.RefreshToken), http.StatusOK) // what was refused was not used
}

// A user who is gone, or has another password, and a restart end families.
func TestChangedUsersRefreshNothing(t *testing.T) {
	t.Parallel()
	for name, users := range map[string]string{
		"who is gone": bobBcrypt, "with another password": bobBcrypt + "ada" + bobBcrypt[3:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			ada := s.must(s.login(anyone(), "ada", horse), http.StatusOK).RefreshToken
			bob := s.must(s.login(anyone(), "bob", umlauts), http.StatusOK).RefreshToken
			s.Write("users", []byte(users))
			deadline := time.Now().Add(30 * time.Second)
			for {
				got := s.refresh(ada)
				if got.status == http.StatusBadRequest && got.Error == "invalid_grant" {
					break
				}
				if s.must(got, http.StatusOK); time.Now().After(deadline) {
					t.Fatal("a user " + name + " still refreshes after 30 s")
				}
				ada = got.RefreshToken
				time.Sleep(200 * time.Millisecond)
			}
			bob = s.must(s.refresh(bob), http.StatusOK).RefreshToken
			s.must(s.login(from(1), "ada", horse), http.StatusBadRequest)
			s.Write("users", []byte(adaBcrypt+bobBcrypt))
			deadline = time.Now().Add(30 * time.Second)
			for s.login(from(2), "ada", horse).status != http.StatusOK { // what ended stays so
				if time.Now().After(deadline) {
					t.Fatal("the user is not back after 30 s")
				}
				time.Sleep(2 * time.Second) // not to be held back for wrong passwords
			}
			s.must(s.refresh(ada), http.StatusBadRequest)
			s.must(s.refresh(bob), http.StatusOK)
		})
	}
}
