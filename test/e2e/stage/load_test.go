package stage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// claimsOf verifies a token the long way round, apart from Sign.
func claimsOf(t *testing.T, token string, secret []byte) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s", parts[0], parts[1])
	if !hmac.Equal(signature, mac.Sum(nil)) {
		t.Error("the signature is wrong")
	}
	for n, into := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestSign(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := Key{KID: "1-abc", Secret: []byte("0123456789abcdef0123456789abcdef")}
	for name, test := range map[string]struct {
		lifetime time.Duration
		withKID  bool
		header   map[string]any
		iat, exp float64
	}{
		"a valid token names its key": {
			lifetime: 5 * time.Second, withKID: true,
			header: map[string]any{"alg": "HS256", "typ": "JWT", "kid": "1-abc"}, iat: 1_800_000_000, exp: 1_800_000_005,
		},
		"a small back end's token does not": {
			lifetime: 5 * time.Second,
			header:   map[string]any{"alg": "HS256", "typ": "JWT"}, iat: 1_800_000_000, exp: 1_800_000_005,
		},
		"an expired token was issued before it expired": {
			lifetime: -time.Minute,
			header:   map[string]any{"alg": "HS256", "typ": "JWT"}, iat: 1_799_999_939, exp: 1_799_999_940,
		},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := key.Sign(Teacher(), now, test.lifetime, test.withKID)
			if err != nil {
				t.Fatal(err)
			}
			header, claims := claimsOf(t, token.Text, key.Secret)
			if diff := cmp.Diff(test.header, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			want := map[string]any{"sub": 42.0, "name": "Ada", "role": "teacher", "iat": test.iat, "exp": test.exp}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if got := token.Expires.Unix(); float64(got) != test.exp || token.KID != "1-abc" {
				t.Errorf("token says key %s, expires %d", token.KID, got)
			}
		})
	}
}

// runLoad lets a few users loose on a server until done says so, or for 10 seconds.
func runLoad(t *testing.T, answer http.HandlerFunc, done func(Tally) bool) Tally {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	key := Key{KID: "k1", Secret: make([]byte, 32)}
	load := &Load{
		Client: server.Client(), Users: 4, Pause: 5 * time.Millisecond, Lifetime: 10 * time.Second,
		Aim: func(int) Aim { return Aim{Name: "pod", URL: server.URL + "/agent"} },
		Sign: func(_ context.Context, lifetime time.Duration, withKID bool) (Token, error) {
			return key.Sign(Teacher(), time.Now(), lifetime, withKID)
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		load.Run(ctx)
		close(ended)
	}()
	for ctx.Err() == nil && !done(load.Tally()) {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-ended
	return load.Tally()
}

func TestLoadCountsWhatBecameOfItsRequests(t *testing.T) {
	t.Run("accepted, by key", func(t *testing.T) {
		got := runLoad(t, func(http.ResponseWriter, *http.Request) {}, func(tally Tally) bool { return tally.Accepted["k1"].Count >= 20 })
		use := got.Accepted["k1"]
		if use.Count < 20 || !use.First.Before(use.Last) || len(got.Refused)+len(got.Unanswered) > 0 {
			t.Errorf("tally %+v", got)
		}
	})
	t.Run("a valid token that is refused", func(t *testing.T) {
		refuse := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }
		got := runLoad(t, refuse, func(tally Tally) bool { return len(tally.Refused) >= 4 })
		if len(got.Refused) < 4 || len(got.Accepted) > 0 || !strings.Contains(got.Refused[0], "401 no") {
			t.Errorf("tally %+v", got)
		}
	})
	t.Run("a server that hangs up", func(t *testing.T) {
		hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		got := runLoad(t, hangUp, func(tally Tally) bool { return len(tally.Unanswered) >= 4 })
		if len(got.Unanswered) < 4 || len(got.Accepted)+len(got.Refused) > 0 {
			t.Errorf("tally %+v", got)
		}
	})
}

func TestMetricsAreReadAndAddedUp(t *testing.T) {
	samples, err := ParseMetrics(strings.NewReader(`# HELP a_total Something.
# TYPE a_total counter
a_total{reason="expired",policy="x\"y"} 3
a_total{reason="expired",policy="z"} 4
a_total{reason="ok",policy="z"} 1e+02
up 1
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"expired": 7, "ok": 100}, SumBy(samples, "a_total", "reason", nil)); diff != "" {
		t.Errorf("by reason (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"expired": 3}, SumBy(samples, "a_total", "reason", map[string]string{"policy": `x"y`})); diff != "" {
		t.Errorf("of one policy (-want +got):\n%s", diff)
	}
	if _, err := ParseMetrics(strings.NewReader("{nonsense\n")); err == nil {
		t.Error("nonsense was read")
	}
}
