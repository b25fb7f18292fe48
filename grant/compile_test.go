package grant_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
)

func TestCompileWarnsOfWhatIsProbablyNotMeant(t *testing.T) {
	const cookie = `
issuer: https://a.example
signingKeyRef: {name: k}
audiences: [a]
grants: [Session]
session: {providers: [{name: a, algorithms: [HS256], secretRef: {name: s, keys: [k]}, extractFrom: {cookie: c}}]}
`
	const alone = cookie + "cors: {allowOrigins: ['https://b.example'], allowCredentials: true}"
	for _, test := range []struct{ sentence, spec, want string }{
		{"plain http beyond this machine", strings.Replace(plain, "https://auth", "http://auth", 1), "spec.issuer: is plain http: whoever is on the way can read passwords and tokens"},
		{"plain http on this machine", strings.Replace(alone, "https://a.example", "http://127.0.0.1:8080", 1), ""},
		{"a session nobody reads", strings.Replace(strings.Replace(plain, "[Session, TokenExchange]", "[TokenExchange]", 1), "{sessions: true}", "{serviceAccounts: [{name: a}]}", 1), "spec.session: changes nothing: spec.grants lacks Session"},
		{"a cookie that pages cannot send", cookie + "cors: {allowOrigins: ['https://b.example']}", "spec.cors.allowCredentials: is false: pages of another origin cannot send the cookie of their session"},
		{"a prefix without a blank", strings.Replace(plain, "keys: [k]}}", "keys: [k]}, extractFrom: {header: X-Session, valuePrefix: S}}", 1), `spec.session.providers[0].extractFrom.valuePrefix: "S" does not end in a blank: the one before the token makes every token malformed; write "S " in quotes`},
		{"insecure introspection", strings.Replace(plain, "forwardCookie: c", "forwardCookie: c, allowInsecureHTTP: true", 1), "spec.session.introspection.allowInsecureHTTP: whoever is on the way to spec.session.introspection.uri can say who has a session"},
		{"everybody's headers", plain + "trustedProxies: [0.0.0.0/0]", "spec.trustedProxies[0]: trusts everybody's X-Forwarded-* headers"},
		{"all origins", strings.Replace(plain, "[\"https://app.example.com\"], allowCredentials: true", "[\"https://app.example.com\", \"*\"]", 1), "spec.cors.allowOrigins: contains *: the other origins change nothing"},
		{"people of two systems", plain, "spec.grants: take people from session:laravel, introspection: an id that two of them have is one sub; if they are not the same person, tell them apart in rules by the claim gatepost.dev/source"},
		{"nothing", alone, ""},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got := compile(t, test.spec).Warnings()
			if test.want == "" && len(got) > 0 || test.want != "" && !slices.Contains(got, test.want) {
				t.Errorf("Warnings = %q, want %q", got, test.want)
			}
		})
	}
}

func TestCompileDoesNotQuoteKeys(t *testing.T) {
	s := parse(t, plain)
	const key = "gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"
	s.Claims = []grant.Claim{{Name: "role", Value: new(key)}, {Name: "scope", From: key}, {Name: "a", From: "/~" + key}}
	s.Issuer, s.TokenType = key, key
	_, err := grant.Compile(s)
	if err == nil || strings.Contains(err.Error(), "gpk_") {
		t.Errorf("Compile = %v", err)
	}
}

func TestThePlanHasTheDefaultsOfProvidersAndOrigins(t *testing.T) {
	p := compile(t, plain)
	spec := p.Spec()
	provider := p.Providers()[0]
	if provider.ClockSkew == nil || provider.ClockSkew.Duration != 10*time.Second || len(provider.Types) != 2 {
		t.Errorf("Providers = %+v", provider)
	}
	if got, want := spec.Session.Providers[0].Source(), (policy.TokenHeader{Name: "Authorization", ValuePrefix: "Bearer "}); got != want {
		t.Errorf("Source = %+v", got)
	}
	if len(spec.CORS.AllowHeaders) == 0 || spec.CORS.Mode != policy.CORSGateway {
		t.Errorf("CORS = %+v", spec.CORS)
	}
	again, err := grant.Compile(spec)
	if err != nil {
		t.Fatalf("the defaulted spec does not compile: %v", err)
	}
	if diff := cmp.Diff(spec, again.Spec()); diff != "" {
		t.Errorf("defaults are not final:\n%s", diff)
	}
}

func TestSourcesOfSessions(t *testing.T) {
	spec := compile(t, full).Spec()
	want := []policy.TokenHeader{
		{Name: "Authorization", ValuePrefix: "Bearer "}, {Name: "X-Session", ValuePrefix: "S "}, {Name: "Cookie", ValuePrefix: "session="},
	}
	for i := range want {
		if got := spec.Session.Providers[i].Source(); got != want[i] {
			t.Errorf("Source of %s = %+v, want %+v", spec.Session.Providers[i].Name, got, want[i])
		}
	}
}

func TestCompileLeavesTheSpecAlone(t *testing.T) {
	s := parse(t, full)
	before := s.DeepCopy()
	p, err := grant.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*before, s); diff != "" {
		t.Errorf("Compile changed the spec:\n%s", diff)
	}
	s.Audiences[0] = "changed"
	if p.Spec().Audiences[0] == "changed" {
		t.Error("the plan shares the spec")
	}
}

func TestTheZeroPlanGivesNothing(t *testing.T) {
	var none *grant.Plan
	for _, p := range []*grant.Plan{none, {}} {
		for _, g := range append(grant.Grants(), "") {
			if p.Offers(g) || p.IssuesRefreshTokens(g) || p.Lifetime(time.Now(), time.Time{}) != 0 {
				t.Errorf("the zero plan offers %q", g)
			}
			for _, who := range everybody() {
				if ticket, err := p.Decide(grant.Request{Grant: g}, who, time.Now()); err == nil || !reflect.ValueOf(ticket).IsZero() {
					t.Errorf("the zero plan gives %+v", ticket)
				}
			}
		}
		if _, err := p.ServiceAccount("agents", "system:serviceaccount:agents:crm", []string{"issuer"}); err == nil {
			t.Error("the zero plan takes service accounts")
		}
		if p.Providers() != nil || p.Warnings() != nil || !reflect.ValueOf(p.Spec()).IsZero() {
			t.Error("the zero plan holds something")
		}
	}
}

func TestErrorsAreThoseOfPolicies(t *testing.T) {
	_, err := grant.Compile(grant.Spec{})
	var errs policy.Errors
	if !errors.As(err, &errs) || len(errs) < 4 {
		t.Errorf("Compile = %v", err)
	}
}
