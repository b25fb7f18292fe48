package sidecar

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpguts"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// verified makes a Verified of claims, in the only way there is.
func verified(t *testing.T, claims map[string]any) *token.Verified {
	t.Helper()
	keys, errs := token.NewKeySet([]token.Key{{Alg: "HS256", K: token.Secret(testSecret)}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	verifier, err := token.NewVerifier([]token.Provider{{Provider: policy.Provider{Name: "local", Algorithms: []policy.Algorithm{"HS256"}}, Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	raw, reason := token.Extract([]string{mint(t, claims)}, "", 0)
	if reason != "" {
		t.Fatal(reason)
	}
	outcome := verifier.Verify(t.Context(), raw, time.Now())
	if !outcome.Verified.Valid() {
		t.Fatal(outcome.Reason)
	}
	return outcome.Verified
}

func TestIdentityHeaders(t *testing.T) {
	custom := []policy.ClaimToHeader{{Claim: "sub", Header: "x-user"}, {Claim: "/org/id", Header: "X-Org"}, {Claim: "flags", Header: "X-Flags"}}
	for name, c := range map[string]struct {
		claims map[string]any
		want   map[string]string
	}{
		"nothing but a subject":       {nil, map[string]string{"X-Auth-Subject": "u-1", "X-User": "u-1"}},
		"an integer subject":          {map[string]any{"sub": 17}, map[string]string{"X-Auth-Subject": "17", "X-User": "17"}},
		"null claims":                 {map[string]any{"email": nil, "roles": nil, "tenant_id": nil, "scopes": nil}, map[string]string{"X-Auth-Subject": "u-1", "X-User": "u-1"}},
		"a role":                      {map[string]any{"sub": nil, "role": "x,admin"}, map[string]string{"X-Auth-Roles": `["x,admin"]`}},
		"several roles before a role": {map[string]any{"sub": nil, "roles": []string{"a", "b c"}, "role": "d"}, map[string]string{"X-Auth-Roles": `["a","b c"]`}},
		"scopes in a string":          {map[string]any{"sub": nil, "scope": " a:b  c:d "}, map[string]string{"X-Auth-Scopes": `["a:b","c:d"]`}},
		"scopes in an array":          {map[string]any{"sub": nil, "scopes": []string{"agents:*:run"}}, map[string]string{"X-Auth-Scopes": `["agents:*:run"]`}},
		"a name beyond ASCII":         {map[string]any{"sub": nil, "name": "Zoë 50% <a>"}, map[string]string{"X-Auth-Name": "Zo%C3%AB 50%25 <a>"}},
		"claims below others":         {map[string]any{"sub": nil, "org": map[string]any{"id": 7}, "flags": map[string]any{"a": true}}, map[string]string{"X-Org": "7", "X-Flags": `{"a":true}`}},
		"a truth":                     {map[string]any{"sub": nil, "flags": true}, map[string]string{"X-Flags": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{outputs: newOutputs(custom), logKey: []byte("k")}
			v := verified(t, c.claims)
			h := http.Header{}
			s.newPersona(v).identify(h)
			if h.Get("X-Auth-Provider") != "local" || h.Get("X-Auth-Expires") == "" {
				t.Errorf("provider %q, expires %q", h.Get("X-Auth-Provider"), h.Get("X-Auth-Expires"))
			}
			got := map[string]string{}
			for name := range h {
				if name != "X-Auth-Provider" && name != "X-Auth-Expires" {
					got[name] = h.Get(name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("headers (-want +got)\n%s", diff)
			}
		})
	}
}

func TestNobodyHasNoIdentity(t *testing.T) {
	s := &site{outputs: newOutputs(nil)}
	h := http.Header{}
	s.newPersona(nil).identify(h)
	s.newPersona(&token.Verified{}).identify(h)
	if len(h) > 0 {
		t.Errorf("nobody is %v", h)
	}
}

// FuzzEscape holds that an agent gets back exactly what was verified, and that
// every value can be a header's.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a", "Zoë", "100%", "%61", " a ", "a\r\nb", "\x00\x7f\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		escaped := escape(text)
		if !httpguts.ValidHeaderFieldValue(escaped) {
			t.Errorf("%q is no header value", escaped)
		}
		if back, err := url.PathUnescape(escaped); err != nil || back != text {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	})
}

// FuzzHeaderPlan holds that no spelling of a reserved name gets through.
func FuzzHeaderPlan(f *testing.F) {
	plan := newHeaderPlan(newOutputs([]policy.ClaimToHeader{{Claim: "org", Header: "X-Org"}}), []source{{name: "X-Token"}}, []string{"X-Tenant-Id"})
	for _, seed := range []string{"X-Auth-Subject", "X_auth.subject", "X-ORG", "x_token", "X-Token", "X-Tenant_id", "Accept"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = http.CanonicalHeaderKey(name)
		out := plan.clean(http.Header{name: {"v"}}, http.Header{})
		folded := fold(name)
		for _, reserved := range []string{"x-org", "x-user-id", "x-original-url", "content-length", "transfer-encoding"} {
			if folded == reserved && len(out) > 0 {
				t.Errorf("%q reached the agent", name)
			}
		}
		for folds, only := range map[string]string{"x-token": "X-Token", "x-tenant-id": "X-Tenant-Id"} {
			if folded == folds && len(out) > 0 != (name == only) {
				t.Errorf("%q: reached the agent %v", name, len(out) > 0)
			}
		}
		for _, prefix := range reservedPrefixes {
			if len(folded) >= len(prefix) && folded[:len(prefix)] == prefix && len(out) > 0 {
				t.Errorf("%q reached the agent", name)
			}
		}
	})
}
