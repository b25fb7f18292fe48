package explain_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/explain"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const secret = "an HMAC secret of thirty-two bytes or more"

// snapshot is a policy that takes tokens from a header and from a cookie.
func snapshot(t *testing.T) *bundle.Snapshot {
	t.Helper()
	doc, err := manifest.Parse([]byte(`
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat}
spec:
  jwt:
    providers:
    - {name: own, issuers: ["https://auth.example.com"], audiences: [chat], algorithms: [HS256], maxTokenLifetime: 1h, types: [JWT], requiredClaims: [sub], revokedBefore: "2026-11-22T11:00:00Z", secretRef: {name: s, keys: [current]}}
    extractFrom: {headers: [{name: Authorization, valuePrefix: "Bearer "}, {name: Cookie, valuePrefix: "session="}]}
  apiKeyAuth: {credentialSelector: {}}
  cors: {allowOrigins: ["https://app.example.com"]}
  authorization:
    rules:
    - {name: none, action: Deny, operation: {paths: [{value: /none}]}}
    - {name: admins, operation: {paths: [{value: /admin}]}, principal: {providers: [own], claims: [{name: role, values: [admin]}]}}
    - {name: run, operation: {paths: [{value: /run}]}, principal: {scopes: {anyOf: ["agents:run"]}}}
    - {name: rest, operation: {paths: [{type: Prefix, value: /rest}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	made, err := bundle.Load(doc, bundle.Directory("keys", map[string][]byte{"s/current": []byte(secret)}), bundle.Options{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// signed is a token that is good but for what is changed.
func signed(t *testing.T, header, change map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": "https://auth.example.com", "aud": "chat", "sub": "u-1", "iat": noon.Unix() - 10, "exp": noon.Unix() + 50}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	text, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, header, claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each reason of a token is explained by what made it so in the very case.
func TestWhatMadeATokenFail(t *testing.T) {
	t.Parallel()
	in := snapshot(t)
	for sentence, test := range map[string]struct {
		text   string
		reason policy.Reason
		here   string
	}{
		"a good one":         {signed(t, nil, nil), policy.OK, ""},
		"an opaque one":      {"session", policy.MalformedToken, "an opaque token"},
		"another issuer":     {signed(t, nil, map[string]any{"iss": "https://auth.example.com/"}), policy.IssuerMismatch, `iss is "https://auth.example.com/", and provider own accepts "https://auth.example.com"`},
		"another type":       {signed(t, map[string]any{"typ": "refresh+jwt"}, nil), policy.TypeNotAllowed, `typ is "refresh+jwt", and provider own accepts JWT`},
		"another key":        {signed(t, map[string]any{"kid": "old"}, nil), policy.UnknownKey, `kid is "old", and provider own has "current"`},
		"another signature":  {signed(t, map[string]any{"kid": "current"}, nil) + "A", policy.SignatureInvalid, `the token names the key "current", which provider own has`},
		"no subject":         {signed(t, nil, map[string]any{"sub": nil}), policy.ClaimInvalid, "the claim sub is absent"},
		"a bound one":        {signed(t, nil, map[string]any{"cnf": map[string]any{}}), policy.ClaimInvalid, "binds the token to a key"},
		"another audience":   {signed(t, nil, map[string]any{"aud": []string{"mail"}}), policy.AudienceMismatch, `aud is ["mail"], and provider own accepts "chat"`},
		"for a day":          {signed(t, nil, map[string]any{"exp": noon.Unix() + 86390}), policy.LifetimeExceeded, "exp is 1d after iat, and provider own accepts maxTokenLifetime, 1h"},
		"in milliseconds":    {signed(t, nil, map[string]any{"exp": (noon.Unix() + 60) * 1000}), policy.LifetimeExceeded, "beyond the year 9999"},
		"of the future":      {signed(t, nil, map[string]any{"nbf": noon.Unix() + 30}), policy.NotYetValid, "nbf is in 30s"},
		"of the past":        {signed(t, nil, map[string]any{"iat": noon.Unix() - 400, "exp": noon.Unix() - 300}), policy.Expired, "exp was 5m ago, and clockSkew 10s is counted in"},
		"from before it all": {signed(t, nil, map[string]any{"iat": noon.Unix() - 3601, "exp": noon.Unix() - 2}), policy.Revoked, "iat is 2026-11-22T10:59:59Z, and revokedBefore of provider own is 2026-11-22T11:00:00Z"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := explain.Credential(t.Context(), in, test.text, noon)
			if got.Reason != test.reason || !strings.Contains(got.Here, test.here) || (test.here == "") != (got.Here == "") {
				t.Errorf("%s: %s, want %s: %s", got.Reason, got.Here, test.reason, test.here)
			}
			if got.Means == "" || got.Do == "" {
				t.Errorf("it says too little: %+v", got)
			}
		})
	}
}

// A request is explained by its token wherever that is, and by each rule.
func TestWhatMadeARequestFail(t *testing.T) {
	t.Parallel()
	in := snapshot(t)
	good, other := signed(t, nil, nil), signed(t, nil, map[string]any{"aud": "mail"})
	for sentence, test := range map[string]struct {
		target, name, value string
		reason              policy.Reason
		here, rule          string // of the explanation, and what is said of the first rule that names the path
	}{
		"in its header":              {"/rest", "Authorization", "Bearer " + other, policy.AudienceMismatch, `aud is "mail"`, ""},
		"in its cookie":              {"/rest", "Cookie", "a=b; session=" + other, policy.AudienceMismatch, `aud is "mail"`, ""},
		"nowhere":                    {"/rest", "X", "y", policy.MissingCredential, "", ""},
		"a rule that denies":         {"/none", "Authorization", "Bearer " + good, policy.RuleDenied, "the rule none denies it", "none: decides"},
		"a rule that does not match": {"/admin", "Authorization", "Bearer " + good, policy.RuleDenied, "no rule matches", "admins: does not match: claim role (String) is none of admin"},
		"a rule that wants a scope":  {"/run", "Authorization", "Bearer " + good, policy.InsufficientScope, "the rule run asks for agents:run", "run: fits but for its scopes: agents:run"},
		"a rule that lets it in":     {"/rest/x", "Authorization", "Bearer " + good, policy.OK, "", "rest: decides"},
		"an API key":                 {"/rest", "X-API-Key", "gpk_0123", policy.APIKeyInvalid, "", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			header.Set(test.name, test.value)
			got, err := explain.Requested(t.Context(), in, "", explain.Request{Method: "GET", Target: test.target, Header: header}, noon)
			if err != nil {
				t.Fatal(err)
			}
			if got.Reason != test.reason || !strings.Contains(got.Here, test.here) || (test.here == "") != (got.Here == "") {
				t.Errorf("%s: %q, want %s: %q", got.Reason, got.Here, test.reason, test.here)
			}
			for _, met := range got.Rules {
				if met.Rule+": "+met.Says == test.rule {
					return
				}
			}
			if test.rule != "" {
				t.Errorf("%s is not among %+v", test.rule, got.Rules)
			}
		})
	}
}
