package policy_test

import (
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
)

// A header that steers, or that somebody else writes or believes, carries no key.
func TestCompileRefusesCarriersOfKeysThatMeanSomethingElse(t *testing.T) {
	for _, header := range []string{
		"X-Auth-Subject", "x-auth-key", "X-User-ID", "Origin", "Referer", "Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "X-Forwarded-For", "X-Forwarded-Anything",
		"Forwarded", "X-Real-IP", "Host", "Cookie", "Set-Cookie", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Transfer-Encoding", "Expect", "Proxy-Authorization",
		"HTTP2-Settings", "X-Gatepost-Key", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-HTTP-Method-Override", "Access-Control-Request-Method", "X-Envoy-Original-Path",
		"Mcp-Session-Id", "Last-Event-ID", "If-None-Match", "Range", "Accept", "Content-Type",
	} {
		spec := policy.Spec{APIKeyAuth: &policy.APIKeyAuth{ExtractFrom: []policy.APIKeySource{{Header: header}}}}
		_, err := policy.Compile(spec)
		want := "spec.apiKeyAuth.extractFrom[0].header: \"" + header + "\" cannot carry a key: use X-API-Key or a header of your own"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile = %v, want %q", err, want)
		}
	}
}

// No claim is written where the client's key was.
func TestCompileRefusesClaimsInTheHeaderOfAKey(t *testing.T) {
	for _, from := range [][]policy.APIKeySource{nil, {{Header: "X-CRM-Key"}, {Header: "x-api-key"}}} {
		spec := parse(t, "jwt: {providers: [{name: a, algorithms: [HS256], secretRef: {name: s, keys: [k]}}], claimToHeaders: [{claim: team, header: X-Team}, {claim: plan, header: X-API-Key}]}\n")
		spec.APIKeyAuth = &policy.APIKeyAuth{ExtractFrom: from}
		_, err := policy.Compile(spec)
		const want = `spec.jwt.claimToHeaders[1].header: "X-API-Key" carries an API key: choose another header`
		if err == nil || err.Error() != want {
			t.Errorf("Compile = %v, want %q", err, want)
		}
	}
}

// A tenant is read where the client wrote it and the agent reads it too.
func TestCompileRefusesTenantsInHeadersThatTheAgentDoesNotGet(t *testing.T) {
	const jwt = "jwt: {providers: [{name: a, algorithms: [HS256], secretRef: {name: s, keys: [k]}}], extractFrom: {headers: [{name: X-Token}]}, claimToHeaders: [{claim: team, header: X-Team}]}\n"
	const own = "apiKeyAuth: {credentialSelector: {}, extractFrom: [{header: X-CRM-Key}], forwardClientIDHeader: X-Caller}\n"
	for _, test := range []struct {
		header, auth string
		refused      bool
	}{
		{"X-Tenant-ID", own, false},
		{"X-API-Key", own, false},
		{"X-API-Key", "apiKeyAuth: {credentialSelector: {}}\n", true},
		{"x-crm-key", own, true},
		{"X-CALLER", own, true},
		{"X-Token", "", true},
		{"X-Team", "", true},
		{"Authorization", "", true},
		{"Cookie", "", true},
		{"Connection", "", true},
		{"Host", "", true},
		{"HTTP2-Settings", "", true},
		{"X-Forwarded-Host", "", true},
		{"Forwarded", "", true},
		{"X-Real-IP", "", true},
		{"X-User-ID", "", true},
		{"X-Auth-Tenant", "", true},
		{"X-Gatepost-Tenant", "", true},
		{"X-Original-Host", "", true},
		{"X-Rewrite-URL", "", true},
	} {
		spec := parse(t, jwt+test.auth+"authorization: {rules: [{name: r, principal: {tenant: {match: {header: X-Tenant-ID}}}}]}\n")
		spec.Authorization.Rules[0].Principal.Tenant.Match.Header = test.header
		_, err := policy.Compile(spec)
		want := "spec.authorization.rules[0].principal.tenant.match.header: \"" + test.header + "\" cannot name a tenant: "
		if test.refused != (err != nil) || err != nil && (!strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "choose a header such as X-Tenant-ID")) {
			t.Errorf("%s with %q: Compile = %v, want refused %t", test.header, test.auth, err, test.refused)
		}
	}
}

// A key is found anywhere in a value, and no error repeats it.
func TestErrorsQuoteNoKeyWithinAValue(t *testing.T) {
	const key = "gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"
	spec := policy.APIKeySpec{
		ClientID: "x " + key, Scopes: []string{"a b " + key}, Claims: map[string]policy.ClaimText{"c" + key: "v", "d": "Bearer " + key},
		Values: []policy.APIKeyValue{{Name: "a " + key, KeyHash: "sha256:" + key, ExpiresAt: new("at " + strings.ToUpper(key))}},
	}
	rules := policy.Spec{Authorization: &policy.Authorization{Rules: []policy.Rule{{Name: "n " + key, Principal: &policy.Principal{
		Providers: []string{key}, APIKeys: []string{"crm." + key}, Scopes: &policy.Scopes{AnyOf: []string{"a b " + key}},
	}}}}}
	_, compile := policy.Compile(rules)
	for _, err := range []error{policy.CheckAPIKey(spec), compile} {
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "gpk_aaa") {
			t.Errorf("the error is missing or shows the key: %v", err)
		}
	}
	spec.ClientID = "crm." + key
	if err := policy.CheckAPIKey(spec); err == nil || !strings.HasPrefix(err.Error(), "spec.clientID: looks like a key") {
		t.Errorf("a client id with a key in it: %v", err)
	}
}
