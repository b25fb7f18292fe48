package issuer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

// keysOf are the files of one signing key.
type keysOf map[string][]byte

// signers are keys of every algorithm that an issuer can show.
func signers(t *testing.T) map[string]keysOf {
	t.Helper()
	rsa := privateKey(t, "RSA")
	all := map[string]keysOf{}
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		text := rsa
		if strings.HasPrefix(alg, "E") {
			text = privateKey(t, alg)
		}
		private, err := token.ParsePrivate(alg, text)
		if err != nil {
			t.Fatal(err)
		}
		private.KID = "k-" + strings.ToLower(alg)
		public, err := token.PublicJWK(private)
		if err != nil {
			t.Fatal(err)
		}
		all[alg] = keysOf{
			"agent/current": text, "agent/current.kid": []byte(private.KID),
			"agent/jwks.json": fmt.Appendf(nil, `{"keys":[%s]}`, public),
		}
	}
	return all
}

func sign(setup *live.IssuerSetup, keys keysOf) { maps.Copy(setup.Keys, keys) }

// part is the header (0) or the claims (1) of a token, judged by nobody.
func part(t testing.TB, compact string, n int) map[string]any {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", compact)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// basic is client_secret_basic, by RFC 6749 section 2.3.1.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// verdict is what a library says of one token.
type verdict struct {
	OK     bool           `json:"ok"`
	Error  string         `json:"error"`
	Claims map[string]any `json:"claims"`
}

// job is a token that a library verifies.
type job struct {
	Token    string `json:"token"`
	Alg      string `json:"alg"`
	JWKS     string `json:"jwks"`   // its address; empty: Secret
	Secret   string `json:"secret"` // of an HMAC algorithm
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
}

// ask lets a library judge tokens.
func ask(t *testing.T, command *exec.Cmd, jobs []job) []verdict {
	t.Helper()
	input, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &problems)
	}
	var verdicts []verdict
	if err := json.Unmarshal(output, &verdicts); err != nil || len(verdicts) != len(jobs) {
		t.Fatalf("%v: %s", err, output)
	}
	return verdicts
}

// Libraries of other languages verify what the issuer signs, by the keys that it shows,
// and refuse it for another audience or issuer.
func TestLibrariesVerifyTokens(t *testing.T) {
	t.Parallel()
	keys := signers(t)
	keys["HS256"] = keysOf{"agent/current": []byte(hmacSecret)}
	var jobs []job
	for alg, files := range keys {
		jobs = append(jobs, jobsFor(t, alg, "JWT", files)...)
	}
	jobs = append(jobs, jobsFor(t, "ES256", "at+jwt", keys["ES256"])...)
	for library, command := range map[string]*exec.Cmd{
		"PyJWT":        live.Python(t, ".", []string{"jwt", "cryptography"}, "verify.py"),
		"jose":         live.Node(t, ".", "verify.mjs", "jose"),
		"jsonwebtoken": live.Node(t, ".", "verify.mjs", "jsonwebtoken"),
	} {
		t.Run(library, func(t *testing.T) { judged(t, library, jobs, ask(t, command, jobs)) })
	}
}

// jobsFor mints a token and asks about it three times: as it is meant, by another
// audience, by another issuer.
func jobsFor(t *testing.T, alg, typ string, files keysOf) []job {
	t.Helper()
	s := start(t, func(setup *live.IssuerSetup) {
		sign(setup, files)
		setup.Document = strings.Replace(setup.Document, "tokenLifetime: 1m", "tokenLifetime: 1m\n  tokenType: "+typ, 1)
	})
	got := s.must(s.form(anyone(), "/token", url.Values{"grant_type": {"client_credentials"}},
		"Authorization", basic(s.client.id, s.client.secret)), 200)
	header := part(t, got.AccessToken, 0)
	if header["alg"] != alg || header["typ"] != typ {
		t.Errorf("the header says %v", header)
	}
	good := job{Token: got.AccessToken, Alg: alg, JWKS: s.URL + "/.well-known/jwks.json", Issuer: s.URL, Audience: chat}
	if alg == "HS256" {
		good.JWKS, good.Secret = "", hmacSecret
	}
	otherAudience, otherIssuer := good, good
	otherAudience.Audience, otherIssuer.Issuer = "https://other.example.com", s.URL+"/"
	return []job{good, otherAudience, otherIssuer}
}

// judged compares the verdicts on triples: a good one, another audience, another issuer.
func judged(t *testing.T, library string, jobs []job, verdicts []verdict) {
	t.Helper()
	verified := 0
	for i, v := range verdicts {
		alg, good := jobs[i].Alg, i%3 == 0
		if library == "jsonwebtoken" && alg == "EdDSA" {
			if v.OK {
				t.Error("jsonwebtoken has learned EdDSA: take the exception out")
			}
			continue
		}
		if v.OK != good {
			t.Errorf("%s: %v %s, want %v", alg, v.OK, v.Error, good)
		}
		if !good || !v.OK {
			continue
		}
		verified++
		if v.Claims["sub"] != "crm" || v.Claims["role"] != "teacher" {
			t.Errorf("%s: claims %v", alg, v.Claims)
		}
	}
	live.Figure("tokens_verified_by_"+library, verified, "tokens")
}

// mint signs claims as another system with an HMAC secret does.
func mint(t testing.TB, secret string, claims map[string]any) string {
	t.Helper()
	compact, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, nil, claims)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}
