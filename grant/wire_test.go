package grant_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/grant"
)

func TestEndpointsAreBelowTheIssuer(t *testing.T) {
	for issuer, want := range map[string]grant.Endpoints{
		"https://auth.example.com": {
			GetToken: "https://auth.example.com/api/get-token", RefreshToken: "https://auth.example.com/api/refresh-token",
			Token: "https://auth.example.com/token", JWKS: "https://auth.example.com/.well-known/jwks.json",
			OAuthMetadata:  "https://auth.example.com/.well-known/oauth-authorization-server",
			OpenIDMetadata: "https://auth.example.com/.well-known/openid-configuration",
		},
		"https://[::1]:8443/a/b": {
			GetToken: "https://[::1]:8443/a/b/api/get-token", RefreshToken: "https://[::1]:8443/a/b/api/refresh-token",
			Token: "https://[::1]:8443/a/b/token", JWKS: "https://[::1]:8443/a/b/.well-known/jwks.json",
			OAuthMetadata:  "https://[::1]:8443/.well-known/oauth-authorization-server/a/b",
			OpenIDMetadata: "https://[::1]:8443/a/b/.well-known/openid-configuration",
		},
	} {
		if diff := cmp.Diff(want, grant.EndpointsOf(issuer)); diff != "" {
			t.Errorf("EndpointsOf(%s) (-want +got):\n%s", issuer, diff)
		}
	}
}

func TestGrantTypesAreReadAsTheyAreWritten(t *testing.T) {
	for _, g := range grant.Grants() {
		got, ok := grant.ByType(g.Type())
		if g == grant.GrantSession {
			if ok || g.Type() != "" {
				t.Errorf("Session is at /token as %q", g.Type())
			}
			continue
		}
		if !ok || got != g {
			t.Errorf("ByType(%q) = %q, %t", g.Type(), got, ok)
		}
	}
	for _, text := range []string{"", "Password", "PASSWORD", "authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"} {
		if g, ok := grant.ByType(text); ok {
			t.Errorf("ByType(%q) = %q", text, g)
		}
	}
}

func TestTokenTypesOfAnExchange(t *testing.T) {
	const names = "urn:ietf:params:oauth:token-type:"
	for _, test := range []struct {
		name, issued string
		subject      bool
	}{
		{"", names + "access_token", false},
		{names + "access_token", names + "access_token", true},
		{names + "jwt", names + "jwt", true},
		{names + "id_token", "", true},
		{names + "refresh_token", "", false},
		{names + "saml2", "", false},
		{"jwt", "", false},
	} {
		if got := grant.TakesSubjectType(test.name); got != test.subject {
			t.Errorf("TakesSubjectType(%q) = %t", test.name, got)
		}
		if got, ok := grant.IssuedType(test.name); got != test.issued || ok != (test.issued != "") {
			t.Errorf("IssuedType(%q) = %q, %t", test.name, got, ok)
		}
	}
}

func TestCodesHaveTheStatusOfOAuth(t *testing.T) {
	for code, want := range map[grant.Code]int{
		grant.InvalidRequest: 400, grant.InvalidClient: 401, grant.InvalidGrant: 400, grant.UnauthorizedClient: 400,
		grant.UnsupportedGrantType: 400, grant.InvalidScope: 400, grant.InvalidTarget: 400, grant.TemporarilyUnavailable: 503, "": 400,
	} {
		if got := code.Status(); got != want {
			t.Errorf("%q.Status() = %d, want %d", code, got, want)
		}
	}
}
