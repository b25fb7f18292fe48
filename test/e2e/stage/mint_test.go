package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tokens are minted and shown, early and late; a valid one that is refused is found,
// one that expired on the way is not held against anybody.
func TestMinter(t *testing.T) {
	for name, test := range map[string]struct {
		issuer  int           // status of its answers
		agent   int           // status of the agent's
		life    time.Duration // of tokens
		want    func(Minted) bool
		refused bool // a finding says so
	}{
		"all is well":              {200, 200, 4 * time.Second, func(t Minted) bool { return t.Young["k"] > 10 && t.Old["k"] > 0 }, false},
		"a valid token is refused": {200, 401, time.Minute, func(t Minted) bool { return t.Tokens["k"] > 10 && len(t.Refused) > 10 }, true},
		"an expired token":         {200, 401, -time.Second, func(t Minted) bool { return t.Tokens["k"] > 10 && len(t.Refused) == 0 }, false},
		"nobody answers":           {200, 502, time.Minute, func(t Minted) bool { return len(t.Unanswered) > 10 && len(t.Refused) == 0 }, false},
		"come again":               {503, 200, time.Minute, func(t Minted) bool { return t.Put > 10 && len(t.Unminted) == 0 }, false},
		"a wrong secret":           {401, 200, time.Minute, func(t Minted) bool { return len(t.Unminted) > 10 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := httptest.NewServer(playIssuer(t, test.issuer, test.life))
			defer issuer.Close()
			agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.agent) }))
			defer agent.Close()
			m := &Minter{
				Client: issuer.Client(), TokenURL: issuer.URL, ID: "load", Secret: "a secret", PerSec: 50,
				Aim: func(int) Aim { return Aim{Name: "pod", URL: agent.URL} },
			}
			m.During(t.Context(), func() {
				_ = Eventually(t.Context(), 20*time.Second, func(context.Context) error {
					if !test.want(m.Tally()) {
						return fmt.Errorf("%+v", m.Tally())
					}
					return nil
				})
			})
			if !test.want(m.Tally()) {
				t.Errorf("%+v", m.Tally())
			}
			refused := slices.ContainsFunc(m.Tally().Findings(), func(f Finding) bool { return f.Err != nil && f.What == "valid tokens refused" })
			if refused != test.refused {
				t.Errorf("found refusals: %t, want %t", refused, test.refused)
			}
		})
	}
}

// playIssuer answers the client's form with the status, and with a token if it is 200.
func playIssuer(t *testing.T, status int, life time.Duration) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if body, err := io.ReadAll(r.Body); id != "load" || secret != "a+secret" || string(body) != "grant_type=client_credentials" || err != nil ||
			!strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			t.Errorf("%s %s %q %v", id, secret, body, r.Header)
		}
		w.WriteHeader(status)
		if status == http.StatusOK {
			token, err := Key{KID: "k", Secret: []byte("secret")}.Sign(Claims{}, time.Now(), life, true)
			if err != nil {
				t.Error(err)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token.Text, "token_type": "bearer"})
		}
	})
}
