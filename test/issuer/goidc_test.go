package issuer

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"gatepost.dev/gatepost/test/live"
)

// A Go program discovers the issuer, gets a token as a client with either way to say
// its secret, for the resource it names (RFC 8707), and verifies it.
func TestGoProgramsDiscoverAskAndVerify(t *testing.T) {
	t.Parallel()
	var verifications atomic.Int64
	t.Cleanup(func() { live.Figure("tokens_verified_by_go-oidc", verifications.Load(), "tokens") })
	for alg, keys := range signers(t) {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(setup *live.IssuerSetup) { sign(setup, keys) })
			provider, err := oidc.NewProvider(t.Context(), s.URL)
			if err != nil {
				t.Fatal(err)
			}
			for name, style := range map[string]oauth2.AuthStyle{"in the header": oauth2.AuthStyleInHeader, "in the body": oauth2.AuthStyleInParams} {
				config := clientcredentials.Config{
					ClientID: s.client.id, ClientSecret: s.client.secret, TokenURL: provider.Endpoint().TokenURL,
					Scopes: []string{"agents:run"}, AuthStyle: style, EndpointParams: url.Values{"resource": {crm}},
				}
				token, err := config.Token(t.Context())
				if err != nil {
					t.Fatalf("secret %s: %v", name, err)
				}
				verified, err := provider.Verifier(&oidc.Config{ClientID: crm, SupportedSigningAlgs: []string{alg}}).Verify(t.Context(), token.AccessToken)
				if err != nil {
					t.Fatalf("secret %s: %v", name, err)
				}
				verifications.Add(1)
				if diff := cmp.Diff([]string{crm}, verified.Audience); diff != "" || verified.Issuer != s.URL || verified.Subject != "crm" {
					t.Errorf("iss %q, sub %q, aud (-want +got):\n%s", verified.Issuer, verified.Subject, diff)
				}
				if _, err := provider.Verifier(&oidc.Config{ClientID: chat, SupportedSigningAlgs: []string{alg}}).Verify(t.Context(), token.AccessToken); err == nil {
					t.Error("a token for one resource is accepted for another")
				}
			}
		})
	}
}

func TestResourcesAndScopesAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for name, c := range map[string]struct {
		parameters url.Values
		status     int
		err        string
		audience   []string
		scope      string
	}{
		"nothing asked for":      {url.Values{}, 200, "", []string{chat, crm}, "agents:run agents:admin"},
		"one resource":           {url.Values{"resource": {chat}}, 200, "", []string{chat}, "agents:run agents:admin"},
		"two resources":          {url.Values{"resource": {chat, crm}}, 200, "", []string{chat, crm}, "agents:run agents:admin"},
		"another's resource":     {url.Values{"resource": {"https://other.example.com"}}, 400, "invalid_target", nil, ""},
		"one of ours and one of": {url.Values{"resource": {chat, "https://other.example.com"}}, 400, "invalid_target", nil, ""},
		"no URI":                 {url.Values{"resource": {"chat"}}, 400, "invalid_target", nil, ""},
		"a URI with a fragment":  {url.Values{"resource": {chat + "#x"}}, 400, "invalid_target", nil, ""},
		"a longer one":           {url.Values{"resource": {chat + "/"}}, 400, "invalid_target", nil, ""},
		"fewer scopes":           {url.Values{"scope": {"agents:run"}}, 200, "", []string{chat, crm}, "agents:run"},
		"another scope":          {url.Values{"scope": {"agents:run root"}}, 400, "invalid_scope", nil, ""},
		"a scope in other case":  {url.Values{"scope": {"Agents:run"}}, 400, "invalid_scope", nil, ""},
	} {
		c.parameters.Set("grant_type", "client_credentials")
		got := s.form(anyone(), "/token", c.parameters, "Authorization", basic(s.client.id, s.client.secret))
		if got.status != c.status || got.Error != c.err {
			t.Errorf("%s: %d %s", name, got.status, got.body)
			continue
		}
		if c.status != http.StatusOK {
			continue
		}
		claims := part(t, got.AccessToken, 1)
		if diff := cmp.Diff(c.audience, texts(claims["aud"])); diff != "" || claims["scope"] != c.scope {
			t.Errorf("%s: scope %q, aud (-want +got):\n%s", name, claims["scope"], diff)
		}
	}
}

// texts is a claim that is a text or a list of them.
func texts(claim any) []string {
	switch claim := claim.(type) {
	case string:
		return strings.Fields(claim)
	case []any:
		var all []string
		for _, one := range claim {
			text, _ := one.(string)
			all = append(all, text)
		}
		return all
	}
	return nil
}
