package issuers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
)

// betterAuth is Better Auth with one user, who is signed in.
type betterAuth struct {
	t       *testing.T
	url     string
	user    string      // the user's id
	session http.Header // with the session's cookie
	opaque  string      // the session token, which is no JWT
}

func startBetterAuth(t *testing.T, alg, claims string) *betterAuth {
	t.Helper()
	address := live.FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	settings := fmt.Sprintf(`{"port": %s, "alg": %q, "claims": %q}`, port, alg, claims)
	live.Run(t, live.Node(t, ".", "better-auth.mjs", settings)).AwaitListening(t, address)
	b := &betterAuth{t: t, url: "http://" + address}
	b.session = http.Header{"Origin": {b.url}, "Content-Type": {"application/json"}}
	body, _ := do(t, http.MethodPost, b.url+"/api/auth/sign-up/email",
		`{"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}`, b.session)
	var signedUp struct {
		Token string            `json:"token"`
		User  map[string]any    `json:"user"`
		Error map[string]string `json:"error"`
	}
	decode(t, body, &signedUp)
	b.opaque, b.user = signedUp.Token, fmt.Sprint(signedUp.User["id"])
	return b
}

// token asks for a token as the signed-in user.
func (b *betterAuth) token() string {
	b.t.Helper()
	return b.tokenFrom(http.MethodGet, "/api/auth/token", "")
}

// sign lets the JWT plugin sign any payload with its current key.
func (b *betterAuth) sign(payload string) string {
	b.t.Helper()
	return b.tokenFrom(http.MethodPost, "/test/sign", `{"payload": `+payload+`}`)
}

func (b *betterAuth) tokenFrom(method, path, body string) string {
	b.t.Helper()
	got, status := do(b.t, method, b.url+path, body, b.session.Clone())
	var answer struct {
		Token string `json:"token"`
	}
	decode(b.t, got, &answer)
	if answer.Token == "" {
		b.t.Fatalf("%s: %d %s", path, status, got)
	}
	return answer.Token
}

// tell does one of the things that only time would do.
func (b *betterAuth) tell(path string) {
	b.t.Helper()
	if got, status := do(b.t, http.MethodPost, b.url+path, "", http.Header{}); status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", path, status, got)
	}
}

// guard starts a sidecar that trusts this issuer as the guide says.
func (b *betterAuth) guard(alg, refetch string) *live.Sidecar {
	return live.Start(b.t, live.Setup{Upstream: mirror(b.t), Policy: fmt.Sprintf(`
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: better-auth}
spec:
  jwt:
    providers:
    - name: better-auth
      issuers: [%[1]q]
      audiences: [%[1]q]
      algorithms: [%[2]s]
      remoteJWKS: {uri: "%[1]s/api/auth/jwks", allowInsecureHTTP: true, unknownKeyRefetchInterval: %[3]s}
`, b.url, alg, refetch)})
}

// claimsOf reads a token's header or payload without judging it.
func claimsOf(t *testing.T, token string, part int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	decode(t, raw, &claims)
	return claims
}

func TestBetterAuthIsAnIssuer(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"EdDSA", "RS256", "ES256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			b := startBetterAuth(t, alg, "own")
			g := b.guard(alg, "1s")
			token := b.token()
			awaitKeys(t, g, token)
			a := ask(t, g, token)
			want := http.Header{
				"X-Auth-Subject": {b.user}, "X-Auth-Email": {"ada@example.com"}, "X-Auth-Name": {"Ada Lovelace"},
				"X-Auth-Roles": {`["teacher"]`}, "X-Auth-Scopes": {`["agents:run"]`}, "X-Auth-Provider": {"better-auth"},
				"X-Auth-Expires": {fmt.Sprintf("%.0f", claimsOf(t, token, 1)["exp"])},
			}
			if diff := cmp.Diff(want, identity(a.agent)); a.status != http.StatusOK || diff != "" {
				t.Fatalf("%d %s %s; identity (-want +got):\n%s", a.status, a.detail, a.reason, diff)
			}
			refuseFlaws(t, b, g)
		})
	}
}

// identity is what of a request's headers says who is asking.
func identity(h http.Header) http.Header {
	out := make(http.Header)
	for name, values := range h {
		if strings.HasPrefix(name, "X-Auth-") {
			out[name] = values
		}
	}
	return out
}

// refuseFlaws signs, with the issuer's own key, tokens that differ from a good
// one by their flaw.
func refuseFlaws(t *testing.T, b *betterAuth, g *live.Sidecar) {
	t.Helper()
	now := time.Now().Unix()
	good := func(change string) string {
		return fmt.Sprintf(`{"sub": "7", "iat": %d, "exp": %d, "tenant_id": null, "scopes": null%s}`, now, now+600, change)
	}
	other := startBetterAuth(t, "EdDSA", "own")
	for name, test := range map[string]struct {
		token  string
		status int
		reason string
	}{
		"all is well":                   {b.sign(good("")), 200, "ok"},
		"another audience":              {b.sign(good(`, "aud": "https://elsewhere.example"`)), 401, "audience_mismatch"},
		"one of several audiences fits": {b.sign(good(`, "aud": ["https://elsewhere.example", "` + b.url + `"]`)), 200, "ok"},
		"another issuer":                {b.sign(good(`, "iss": "https://elsewhere.example"`)), 401, "issuer_mismatch"},
		"a slash behind the issuer":     {b.sign(good(`, "iss": "` + b.url + `/"`)), 401, "issuer_mismatch"},
		"the issuer's path":             {b.sign(good(`, "iss": "` + b.url + `/api/auth"`)), 401, "issuer_mismatch"},
		"expired":                       {b.sign(fmt.Sprintf(`{"sub": "7", "iat": %d, "exp": %d}`, now-120, now-60)), 401, "expired"},
		"not yet valid":                 {b.sign(good(fmt.Sprintf(`, "nbf": %d`, now+300))), 401, "not_yet_valid"},
		"lives too long":                {b.sign(fmt.Sprintf(`{"sub": "7", "iat": %d, "exp": %d}`, now, now+25*3600)), 401, "lifetime_exceeded"},
		"bound to a key (cnf)":          {b.sign(good(`, "cnf": {"jkt": "x"}`)), 401, "claim_invalid"},
		"changed after signing":         {changed(t, b.sign(good(""))), 401, "signature_invalid"},
		"the session token, opaque":     {b.opaque, 401, "malformed_token"},
		"of another Better Auth":        {other.sign(good(`, "iss": "` + b.url + `", "aud": "` + b.url + `"`)), 401, ""},
	} {
		a := ask(t, g, test.token)
		if test.reason == "" && (a.reason == "unknown_key" || a.reason == "alg_not_allowed") {
			test.reason = a.reason // which of both depends on the algorithm of this run
		}
		if a.status != test.status || a.reason != test.reason {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.reason, test.status, test.reason)
		}
	}
}

// changed makes another subject of a signed token's.
func changed(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	claims := claimsOf(t, token, 1)
	claims["sub"] = "8"
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
}

// Without definePayload the token holds the whole user, with null and dates; and
// without other settings a key that is new is heard of at once.
func TestBetterAuthWithItsDefaults(t *testing.T) {
	t.Parallel()
	b := startBetterAuth(t, "EdDSA", "default")
	token := b.token() // makes the first key, which the first fetch must find: the next comes ten seconds later
	g := b.guard("EdDSA", "10s")
	if image, ok := claimsOf(t, token, 1)["image"]; ok && image != nil {
		t.Errorf("image is %v: is there still a claim that is null?", image)
	}
	awaitKeys(t, g, token)
	if a := ask(t, g, token); a.status != http.StatusOK || a.agent.Get("X-Auth-Subject") != b.user {
		t.Errorf("%d %s %s, subject %q", a.status, a.detail, a.reason, a.agent.Get("X-Auth-Subject"))
	}
	b.tell("/test/rotate")
	if a := ask(t, g, b.token()); a.status != http.StatusOK {
		t.Errorf("under a key that is new: %d %s %s", a.status, a.detail, a.reason)
	}
}

var (
	rotationsSeen atomic.Int64
	validRefused  atomic.Int64
)

// Better Auth makes its next key when it signs after the interval has passed,
// and uses it at once: nobody has seen it before.
func TestBetterAuthRotates(t *testing.T) {
	t.Run("algorithms", func(t *testing.T) {
		for _, alg := range []string{"EdDSA", "RS256", "ES256"} {
			t.Run(alg, func(t *testing.T) {
				t.Parallel()
				rotate(t, alg, times(5))
			})
		}
	})
	live.Figure("better_auth_rotations", rotationsSeen.Load(), "rotations")
	live.Figure("better_auth_valid_refused", validRefused.Load(), "requests")
}

func rotate(t *testing.T, alg string, rotations int) {
	t.Helper()
	b := startBetterAuth(t, alg, "own")
	g := b.guard(alg, "1s")
	valid := []string{b.token()}
	awaitKeys(t, g, valid[0])
	for range rotations {
		time.Sleep(1100 * time.Millisecond) // past unknownKeyRefetchInterval; real rotations are days apart
		b.tell("/test/rotate")
		fresh := b.token()
		if claimsOf(t, fresh, 0)["kid"] == claimsOf(t, valid[0], 0)["kid"] {
			t.Fatal("the issuer has not changed its key")
		}
		rotationsSeen.Add(1)
		accept(t, g, "the first requests under the new key", fresh, fresh, fresh, fresh)
		accept(t, g, "keys in their grace period", valid...)
		valid = append([]string{fresh}, valid[:min(len(valid), 2)]...)
	}
	b.tell("/test/forget")
	time.Sleep(1100 * time.Millisecond)
	b.tell("/test/rotate")
	accept(t, g, "the last new key", b.token())
	if a := ask(t, g, valid[1]); a.reason != "unknown_key" {
		t.Errorf("a key past its grace period: %d %s, want unknown_key", a.status, a.reason)
	}
}

// accept sends all tokens at once.
func accept(t *testing.T, g *live.Sidecar, what string, tokens ...string) {
	t.Helper()
	var all sync.WaitGroup
	for _, token := range tokens {
		all.Go(func() {
			if a := send(t, g, token); a.status != http.StatusOK {
				validRefused.Add(1)
				t.Errorf("%s: %d %s", what, a.status, a.detail)
			}
		})
	}
	all.Wait()
}
