package issuers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

const backendSecret = "a secret of 64 bytes, as long as HS512 would ask for: 0123456789"

// job is one token that a library is told to sign.
type job struct {
	Alg    string         `json:"alg"`
	Key    string         `json:"key"` // "own", or "other" for one that nobody publishes
	Kid    string         `json:"kid"`
	Claims map[string]any `json:"claims"`

	name    string
	reason  string // expected
	subject string // expected in X-Auth-Subject, where the reason is ok
}

// library is a maker of tokens.
type library struct {
	name       string
	mint       func(t *testing.T, name string) *exec.Cmd
	algorithms []string // with public keys
	unsecured  bool     // it also makes tokens with alg none
}

func libraries() []library {
	node := func(t *testing.T, name string) *exec.Cmd { return live.Node(t, ".", "mint.mjs", name) }
	python := func(t *testing.T, name string) *exec.Cmd {
		return live.Python(t, ".", []string{"jwt", "jose", "cryptography"}, "mint.py", name)
	}
	return []library{
		{name: "jsonwebtoken", mint: node, algorithms: []string{"RS256", "PS256", "ES256", "ES384"}, unsecured: true},
		{name: "jose", mint: node, algorithms: []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}, unsecured: true},
		{name: "pyjwt", mint: python, algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"}, unsecured: true},
		{name: "python-jose", mint: python, algorithms: []string{"RS256", "ES256"}},
	}
}

var tokensAccepted atomic.Int64

// Each library's good tokens are accepted, and each flawed one differs from a
// good one by its flaw.
func TestLibrariesTokens(t *testing.T) {
	t.Run("libraries", func(t *testing.T) {
		for _, l := range libraries() {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				l.judge(t)
			})
		}
	})
	live.Figure("issuer_tokens_accepted", tokensAccepted.Load(), "tokens")
}

func (l library) judge(t *testing.T) {
	t.Helper()
	jobs := backendJobs(time.Now().Unix(), l.unsecured)
	for _, alg := range l.algorithms {
		jobs = append(jobs, issuerJobs(time.Now().Unix(), l.issuer(), alg)...)
	}
	jwks, tokens := l.run(t, jobs)
	g := live.Start(t, live.Setup{
		Upstream: mirror(t),
		Policy:   l.policy(),
		Keys:     map[string][]byte{"backend/current": []byte(backendSecret), "library/jwks": jwks},
	})
	for i, j := range jobs {
		what := fmt.Sprintf("%s, %s", j.Alg, j.name)
		a := ask(t, g, tokens[i])
		if a.reason != j.reason || (a.status == http.StatusOK) != (j.reason == "ok") {
			t.Errorf("%s: %d %s, want %s\n%s", what, a.status, a.reason, j.reason, tokens[i])
			continue
		}
		if j.reason == "ok" {
			tokensAccepted.Add(1)
			if got := a.agent.Get("X-Auth-Subject"); got != j.subject {
				t.Errorf("%s: the agent saw the subject %q, want %q", what, got, j.subject)
			}
		}
		if expired := a.detail == "Token has expired"; expired != (j.reason == "expired") {
			t.Errorf("%s: the detail is %q", what, a.detail)
		}
	}
}

func (l library) issuer() string { return "https://" + l.name + ".example" }

func (l library) policy() string {
	return fmt.Sprintf(`
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: libraries}
spec:
  jwt:
    providers:
    - name: backend
      algorithms: [HS256]
      clockSkew: 60s
      secretRef: {name: backend, keys: [current]}
    - name: library
      issuers: [%q]
      audiences: [agent]
      algorithms: [%s]
      clockSkew: 60s
      localJWKS: {configMapRef: {name: library, key: jwks}}
`, l.issuer(), strings.Join(l.algorithms, ", "))
}

// run lets the library sign and returns its key set and the tokens.
func (l library) run(t *testing.T, jobs []job) (jwks []byte, tokens []string) {
	t.Helper()
	order, err := json.Marshal(map[string]any{"secret": backendSecret, "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	command := l.mint(t, l.name)
	command.Stdin = strings.NewReader(string(order))
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v %s", l.name, err, stderr(err))
	}
	var result struct {
		JWKS   json.RawMessage `json:"jwks"`
		Tokens []string        `json:"tokens"`
	}
	decode(t, out, &result)
	if len(result.Tokens) != len(jobs) {
		t.Fatalf("%s made %d tokens of %d", l.name, len(result.Tokens), len(jobs))
	}
	return result.JWKS, result.Tokens
}

func stderr(err error) []byte {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.Stderr
	}
	return nil
}

// with returns the claims, changed; nil removes one.
func with(claims map[string]any, name string, value any) map[string]any {
	out := map[string]any{name: value}
	for key, old := range claims {
		if key != name {
			out[key] = old
		}
	}
	if value == nil {
		delete(out, name)
	}
	return out
}

// backendJobs are what small back ends sign with a shared secret: no iss, no aud,
// no kid.
func backendJobs(now int64, unsecured bool) []job {
	good := map[string]any{"sub": "42", "name": "Ada", "email": "ada@example.com", "iat": now, "exp": now + 600}
	h := func(name, reason string, claims map[string]any) job {
		return job{Alg: "HS256", Key: "own", Claims: claims, name: name, reason: reason, subject: "42"}
	}
	jobs := []job{
		h("the form of small back ends", "ok", good),
		h("an integer subject, as Laravel signs it", "ok", with(good, "sub", 42)),
		h("roles as a list", "ok", with(good, "roles", []string{"teacher", "admin"})),
		h("claims that are null", "ok", with(with(good, "roles", json.RawMessage("null")), "tenant_id", json.RawMessage("null"))),
		h("an issuer that no provider names", "ok", with(good, "iss", "https://backend.example")),
		h("expired", "expired", with(with(good, "iat", now-600), "exp", now-300)),
		h("expired within the leeway", "ok", with(with(good, "iat", now-60), "exp", now-1)),
		h("not yet valid", "not_yet_valid", with(good, "nbf", now+300)),
		h("without exp", "claim_invalid", with(good, "exp", nil)),
		h("exp in milliseconds", "lifetime_exceeded", with(good, "exp", (now+600)*1000)),
		h("no subject, where none is asked for", "ok", with(good, "sub", nil)),
	}
	jobs[len(jobs)-1].subject = ""
	other := h("another secret", "signature_invalid", good)
	other.Key = "other"
	longer := h("another hash, the same secret", "alg_not_allowed", good)
	longer.Alg = "HS512"
	jobs = append(jobs, other, longer)
	if unsecured {
		none := h("without a signature", "alg_not_allowed", good)
		none.Alg = "none"
		jobs = append(jobs, none)
	}
	return jobs
}

// issuerJobs are what issuers with public keys sign.
func issuerJobs(now int64, issuer, alg string) []job {
	good := map[string]any{"iss": issuer, "aud": "agent", "sub": "ada", "iat": now, "exp": now + 600}
	p := func(name, reason string, claims map[string]any) job {
		return job{Alg: alg, Key: "own", Kid: alg, Claims: claims, name: name, reason: reason, subject: "ada"}
	}
	anonymous := p("without a kid", "ok", good)
	anonymous.Kid = ""
	forged := p("another key under this kid", "signature_invalid", good)
	forged.Key = "other"
	unknown := p("a kid that is not published", "unknown_key", good)
	unknown.Kid = "another"
	swapped := p("the kid of a key of another kind", "alg_not_allowed", good)
	if swapped.Kid = "ES256"; alg == "ES256" {
		swapped.Kid = "RS256"
	}
	return []job{
		p("all is well", "ok", good),
		p("one of two audiences", "ok", with(good, "aud", []string{"other", "agent"})),
		p("expired", "expired", with(with(good, "iat", now-600), "exp", now-300)),
		p("not yet valid", "not_yet_valid", with(good, "nbf", now+300)),
		p("issued in the future", "not_yet_valid", with(good, "iat", now+300)),
		p("another audience", "audience_mismatch", with(good, "aud", "agents")),
		p("no audience", "audience_mismatch", with(good, "aud", nil)),
		p("another issuer", "alg_not_allowed", with(good, "iss", issuer+"/")),
		anonymous, forged, unknown, swapped,
	}
}
