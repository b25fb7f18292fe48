package grant_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/grant"
)

func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// everybody is one principal of each kind that the full spec knows.
func everybody() map[string]grant.Principal {
	session := map[string]any{
		"sub": "u-1", "permissions": []any{"agents:read", "agents:delete"}, "tenant_id": "t-1", "iss": "evil", "scope": "all",
		"user": map[string]any{"id": json.Number("7"), "email": "a@b.example"},
	}
	crm := &grant.Client{ID: "crm", Scopes: []string{"crm:sync", "agents:run"}, Claims: map[string]string{"tenant_id": "t-2", "sub": "root", "client_id": "other", "role": "robot"}}
	return map[string]grant.Principal{
		"nobody":                {},
		"a session":             {Provider: "laravel", Claims: session},
		"a session of nobody":   {Provider: "unknown", Claims: session},
		"an introspected one":   {Introspected: true, Claims: session},
		"a client":              {Client: crm},
		"a client without id":   {Client: &grant.Client{}},
		"a user":                {User: "ann"},
		"a user of a client":    {User: "ann", Client: crm},
		"a service account":     {ServiceAccount: "system:serviceaccount:agents:crm", Claims: map[string]any{"sub": "system:serviceaccount:agents:crm"}},
		"an unnamed account":    {ServiceAccount: "system:serviceaccount:agents:default"},
		"a visitor":             {Anonymous: "1"},
		"a visitor of a client": {Anonymous: "1", Client: crm},
		"two at once":           {Provider: "laravel", User: "ann", Claims: session},
		"a session of a client": {Provider: "laravel", Client: crm, Claims: session},
	}
}

// Every kind of principal by every grant: what it gets, or the code it is refused
// with.
func TestWhoMayUseWhichGrant(t *testing.T) {
	p := compile(t, full)
	gets := map[grant.Grant]map[string]string{
		grant.GrantSession:           {"a session": "u-1", "an introspected one": "7", "a visitor": "anonymous:1", "a session of a client": "u-1"},
		grant.GrantClientCredentials: {"a client": "crm"},
		grant.GrantPassword:          {"a user": "ann", "a user of a client": "ann"},
		grant.GrantTokenExchange:     {"a session": "u-1", "a session of a client": "u-1", "a service account": "system:serviceaccount:agents:crm"},
		grant.GrantRefreshToken:      {"a user": "ann", "a user of a client": "ann"},
	}
	code := map[grant.Grant]grant.Code{grant.GrantTokenExchange: grant.InvalidRequest}
	for _, g := range grant.Grants() {
		for name, who := range everybody() {
			request := grant.Request{Grant: g}
			if g == grant.GrantRefreshToken {
				request.Earlier = &grant.Earlier{Grant: grant.GrantPassword, Audiences: p.Spec().Audiences}
			}
			ticket, err := p.Decide(request, who, now())
			want, may := gets[g][name]
			switch refusal := (*grant.Refusal)(nil); {
			case may && (err != nil || ticket.Subject != want):
				t.Errorf("%s by %s = %+v, %v, want the subject %s", name, g, ticket, err, want)
			case may:
			case !errors.As(err, &refusal):
				t.Errorf("%s gets a token by %s: %+v", name, g, ticket)
			default:
				wantCode := code[g]
				switch {
				case name == "a client":
					wantCode = grant.UnauthorizedClient
				case g == grant.GrantClientCredentials && isNobody(name):
					wantCode = grant.InvalidClient
				case wantCode == "":
					wantCode = grant.InvalidGrant
				}
				if refusal.Code != wantCode {
					t.Errorf("%s by %s is refused with %v, want %s", name, g, refusal, wantCode)
				}
			}
		}
	}
}

func isNobody(name string) bool {
	return slices.Contains([]string{"nobody", "a client without id", "two at once", "a visitor of a client"}, name)
}

func TestAGrantThatIsNotOfferedIsUnsupported(t *testing.T) {
	p := compile(t, strings.Replace(plain, "[Session, TokenExchange]", "[Session]", 1))
	for _, g := range append(grant.Grants(), "", "Implicit") {
		_, err := p.Decide(grant.Request{Grant: g}, everybody()["a session"], now())
		refusal := (*grant.Refusal)(nil)
		if refused := errors.As(err, &refusal); refused != (g != grant.GrantSession) || refused && refusal.Code != grant.UnsupportedGrantType {
			t.Errorf("%q: %v", g, err)
		}
	}
}

func TestWhatIsInATicket(t *testing.T) {
	p := compile(t, full)
	both := []string{"https://chat.example.com", "https://crm.example.com"}
	claims := func(from string, scopes []string, more map[string]any) map[string]any {
		out := map[string]any{"role": "user", grant.ClaimSource: from}
		if len(scopes) > 0 {
			out["scope"], out["scopes"] = strings.Join(scopes, " "), scopes
		}
		maps.Copy(out, more)
		return out
	}
	for _, test := range []struct {
		sentence string
		request  grant.Request
		who      string
		want     grant.Ticket
	}{
		{
			"a session has the allowed scopes that its claim names, and its claims are copied",
			grant.Request{Grant: grant.GrantSession},
			"a session",
			grant.Ticket{
				Subject: "u-1", Audiences: both, Scopes: []string{"agents:read"},
				Claims: claims("session:laravel", []string{"agents:read"}, map[string]any{"tenant_id": "t-1", "email": "a@b.example", "client_id": "laravel"}),
			},
		},
		{
			"an integer is a subject as its decimal text",
			grant.Request{Grant: grant.GrantSession},
			"an introspected one",
			grant.Ticket{
				Subject: "7", Audiences: both, Scopes: []string{"agents:read"},
				Claims: claims("introspection", []string{"agents:read"}, map[string]any{"tenant_id": "t-1", "email": "a@b.example", "client_id": "introspection"}),
			},
		},
		{
			"a visitor has no claims but fixed ones",
			grant.Request{Grant: grant.GrantSession},
			"a visitor",
			grant.Ticket{Subject: "anonymous:1", Audiences: both, Scopes: []string{"agents:read"}, Claims: claims("anonymous", []string{"agents:read"}, map[string]any{"client_id": "anonymous"})},
		},
		{
			"a client has the scopes and claims of its APIKey, except the issuer's own",
			grant.Request{Grant: grant.GrantClientCredentials, Targets: []string{"https://crm.example.com"}},
			"a client",
			grant.Ticket{
				Subject: "crm", Audiences: both[1:], Scopes: []string{"crm:sync", "agents:run"},
				Claims: claims("client", []string{"crm:sync", "agents:run"}, map[string]any{"tenant_id": "t-2", "client_id": "crm"}),
			},
		},
		{
			"a user of a client has its own scopes, not the client's",
			grant.Request{Grant: grant.GrantPassword},
			"a user of a client",
			grant.Ticket{Subject: "ann", Audiences: both, Scopes: []string{"agents:run"}, Claims: claims("password", []string{"agents:run"}, map[string]any{"client_id": "crm"})},
		},
		{
			"a subset is granted in the order of the spec",
			grant.Request{Grant: grant.GrantTokenExchange, Scope: "agents:read agents:run agents:read"},
			"a service account",
			grant.Ticket{
				Subject: "system:serviceaccount:agents:crm", Audiences: both, Scopes: []string{"agents:run", "agents:read"},
				Claims: claims("service_account", []string{"agents:run", "agents:read"}, map[string]any{"client_id": "crm"}),
			},
		},
		{
			"empty targets are none, and each is once",
			grant.Request{Grant: grant.GrantPassword, Targets: []string{"", both[1], both[0], both[1]}},
			"a user",
			grant.Ticket{Subject: "ann", Audiences: both, Scopes: []string{"agents:run"}, Claims: claims("password", []string{"agents:run"}, map[string]any{"client_id": "password"})},
		},
		{
			"a refreshed token has no more than the first",
			grant.Request{Grant: grant.GrantRefreshToken, Earlier: &grant.Earlier{Grant: grant.GrantPassword, Audiences: both[:1]}},
			"a user",
			grant.Ticket{Subject: "ann", Audiences: both[:1], Claims: claims("password", nil, map[string]any{"client_id": "password"})},
		},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got, err := p.Decide(test.request, everybody()[test.who], now())
			if err != nil {
				t.Fatal(err)
			}
			test.want.Lifetime, test.want.Type = 5*time.Minute, grant.TypeATJWT
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	p := compile(t, full)
	earlier := func(edit func(*grant.Earlier)) *grant.Earlier {
		e := &grant.Earlier{Grant: grant.GrantPassword, Scopes: []string{"agents:run"}, Audiences: p.Spec().Audiences}
		edit(e)
		return e
	}
	whole := func(*grant.Earlier) {}
	for _, test := range []struct {
		sentence string
		request  grant.Request
		who      grant.Principal
		want     grant.Code
	}{
		{"a scope that is not allowed", grant.Request{Grant: grant.GrantPassword, Scope: "agents:run admin"}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"a scope in other letters", grant.Request{Grant: grant.GrantPassword, Scope: "Agents:run"}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"two blanks between scopes", grant.Request{Grant: grant.GrantPassword, Scope: "agents:run  agents:run"}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"a blank alone", grant.Request{Grant: grant.GrantPassword, Scope: " "}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"a tab between scopes", grant.Request{Grant: grant.GrantPassword, Scope: "agents:run\tagents:run"}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"a target of somebody else", grant.Request{Grant: grant.GrantPassword, Targets: []string{"https://chat.example.com", "https://evil.example"}}, grant.Principal{User: "ann"}, grant.InvalidTarget},
		{"a target with a slash more", grant.Request{Grant: grant.GrantPassword, Targets: []string{"https://chat.example.com/"}}, grant.Principal{User: "ann"}, grant.InvalidTarget},
		{"a token of this very issuer as a session", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "u", "iss": "https://auth.example.com/agents"}}, grant.InvalidGrant},
		{"a token of this very issuer in exchange", grant.Request{Grant: grant.GrantTokenExchange}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "u", "iss": "https://auth.example.com/agents"}}, grant.InvalidRequest},
		{"a session of a service account's subject", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "system:serviceaccount:agents:crm"}}, grant.InvalidGrant},
		{"a session of a visitor's subject", grant.Request{Grant: grant.GrantTokenExchange}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "anonymous:1"}}, grant.InvalidRequest},
		{"an introspected session of a visitor's subject", grant.Request{Grant: grant.GrantSession}, grant.Principal{Introspected: true, Claims: map[string]any{"user": map[string]any{"id": "anonymous:1"}}}, grant.InvalidGrant},
		{"a user of a visitor's name", grant.Request{Grant: grant.GrantPassword}, grant.Principal{User: "anonymous:1"}, grant.InvalidGrant},
		{"a session whose subject has a line end", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "a\r\nb"}}, grant.InvalidGrant},
		{"an introspected subject with a zero byte", grant.Request{Grant: grant.GrantSession}, grant.Principal{Introspected: true, Claims: map[string]any{"user": map[string]any{"id": "a\x00b"}}}, grant.InvalidGrant},
		{"a session whose subject has a control of Latin-1", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "a\u0085b"}}, grant.InvalidGrant},
		{"a session that ends now", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "a"}, NotAfter: now()}, grant.InvalidGrant},
		{"a service account's token that has ended", grant.Request{Grant: grant.GrantTokenExchange}, grant.Principal{ServiceAccount: "system:serviceaccount:agents:crm", NotAfter: now().Add(-time.Second)}, grant.InvalidRequest},
		{"a session without a subject", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{}}, grant.InvalidGrant},
		{"a session whose subject is a list", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": []any{"a"}}}, grant.InvalidGrant},
		{"a session whose subject is a fraction", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": json.Number("1.5")}}, grant.InvalidGrant},
		{"a session whose subject is minus nothing", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": json.Number("-0")}}, grant.InvalidGrant},
		{"a session whose subject is very long", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": strings.Repeat("a", 1025)}}, grant.InvalidGrant},
		{"a session that says too much", grant.Request{Grant: grant.GrantSession}, grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "a", "tenant_id": strings.Repeat("a", 7000)}}, grant.InvalidGrant},
		{"an exchanged session without a subject", grant.Request{Grant: grant.GrantTokenExchange}, grant.Principal{Provider: "laravel"}, grant.InvalidRequest},
		{"a refresh without an earlier token", grant.Request{Grant: grant.GrantRefreshToken}, grant.Principal{User: "ann"}, grant.InvalidGrant},
		{"an earlier token without a refresh", grant.Request{Grant: grant.GrantPassword, Earlier: earlier(whole)}, grant.Principal{User: "ann"}, grant.InvalidGrant},
		{"a refresh of a grant that gives none", grant.Request{Grant: grant.GrantRefreshToken, Earlier: earlier(func(e *grant.Earlier) { e.Grant = grant.GrantSession })}, grant.Principal{User: "ann"}, grant.InvalidGrant},
		{"a refresh for more scopes than at first", grant.Request{Grant: grant.GrantRefreshToken, Scope: "agents:run", Earlier: earlier(func(e *grant.Earlier) { e.Scopes = nil })}, grant.Principal{User: "ann"}, grant.InvalidScope},
		{"a refresh for an audience not had at first", grant.Request{Grant: grant.GrantRefreshToken, Targets: []string{"https://crm.example.com"}, Earlier: earlier(func(e *grant.Earlier) { e.Audiences = e.Audiences[:1] })}, grant.Principal{User: "ann"}, grant.InvalidTarget},
		{"a refresh for audiences that are gone", grant.Request{Grant: grant.GrantRefreshToken, Earlier: earlier(func(e *grant.Earlier) { e.Audiences = []string{"https://old.example"} })}, grant.Principal{User: "ann"}, grant.InvalidTarget},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			ticket, err := p.Decide(test.request, test.who, now())
			refusal := (*grant.Refusal)(nil)
			if !errors.As(err, &refusal) || refusal.Code != test.want {
				t.Fatalf("Decide = %+v, %v, want %s", ticket, err, test.want)
			}
			if diff := cmp.Diff(grant.Ticket{}, ticket); diff != "" {
				t.Errorf("a refusal comes with a ticket:\n%s", diff)
			}
			if strings.ContainsAny(refusal.Description, "\"\\") || refusal.Description == "" {
				t.Errorf("error_description %q is none (RFC 6749 section 5.2)", refusal.Description)
			}
		})
	}
}

func TestScopesOfASession(t *testing.T) {
	with := func(fields string) *grant.Plan {
		return compile(t, strings.Replace(plain, "session:\n", "session:\n  "+fields+"\n", 1))
	}
	for _, test := range []struct {
		sentence string
		plan     *grant.Plan
		claim    any
		want     []string
	}{
		{"none are allowed", compile(t, plain), "a b", nil},
		{"those of the spec", with("scopes: [a, b]"), "c", []string{"a", "b"}},
		{"all of the claim as words", with("scopesFrom: s"), "a  b a", []string{"a", "b"}},
		{"all of the claim as a list", with("scopesFrom: s"), []any{"a", "b"}, []string{"a", "b"}},
		{"a list with a number in it has none", with("scopesFrom: s"), []any{"a", json.Number("1")}, nil},
		{"a list with a word that is no scope", with("scopesFrom: s"), []any{"a", "b c", `d"`, ""}, []string{"a"}},
		{"a list with a word that is too long", with("scopesFrom: s"), []any{"a", strings.Repeat("b", 257), strings.Repeat("c", 256)}, []string{"a", strings.Repeat("c", 256)}},
		{"a claim that is true has none", with("scopesFrom: s"), true, nil},
		{"a claim that is null has none", with("scopesFrom: s"), nil, nil},
		{"both in common", with("scopes: [c, a]\n  scopesFrom: s"), "a b c", []string{"c", "a"}},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			who := grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "u", "s": test.claim}}
			got, err := test.plan.Decide(grant.Request{Grant: grant.GrantSession}, who, now())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Scopes); diff != "" {
				t.Errorf("Scopes (-want +got):\n%s", diff)
			}
			_, words := got.Claims["scope"]
			_, list := got.Claims["scopes"]
			if words != (len(test.want) > 0) || list != words {
				t.Errorf("Claims = %v", got.Claims)
			}
		})
	}
}

// A null claim is as good as absent, whatever holds it.
func TestClaimsThatAreNotThereAreLeftOut(t *testing.T) {
	p := compile(t, full)
	who := grant.Principal{Provider: "laravel", Claims: map[string]any{"sub": "u", "tenant_id": nil, "user": []any{}}}
	got, err := p.Decide(grant.Request{Grant: grant.GrantSession}, who, now())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"role": "user", "client_id": "laravel", grant.ClaimSource: "session:laravel"}, got.Claims); diff != "" {
		t.Errorf("Claims (-want +got):\n%s", diff)
	}
}

func TestATokenHardlyOutlivesItsSession(t *testing.T) {
	p := compile(t, full)
	for _, test := range []struct {
		left time.Duration
		want time.Duration
	}{
		{time.Hour, 5 * time.Minute}, {5 * time.Minute, 5 * time.Minute}, {time.Minute, time.Minute}, {time.Second, 10 * time.Second}, {time.Millisecond, 10 * time.Second},
	} {
		who := everybody()["a session"]
		who.NotAfter = now().Add(test.left)
		got, err := p.Decide(grant.Request{Grant: grant.GrantSession}, who, now())
		if err != nil || got.Lifetime != test.want {
			t.Errorf("with %s left: %s, %v, want %s", test.left, got.Lifetime, err, test.want)
		}
	}
}

func TestServiceAccountsAreOfTheOwnNamespace(t *testing.T) {
	p := compile(t, full)
	const own = "https://auth.example.com/agents"
	for _, test := range []struct {
		sentence, namespace, subject string
		audiences                    []string
		accepted                     bool
	}{
		{"the audience of the spec", "agents", "system:serviceaccount:agents:crm", []string{"x", "issuer"}, true},
		{"the issuer by default", "agents", "system:serviceaccount:agents:etl", []string{own}, true},
		{"another audience", "agents", "system:serviceaccount:agents:crm", []string{own}, false},
		{"the API server's audience beside it", "agents", "system:serviceaccount:agents:crm", []string{"issuer", "https://kubernetes.default.svc"}, false},
		{"no audience", "agents", "system:serviceaccount:agents:crm", nil, false},
		{"another namespace", "agents", "system:serviceaccount:other:crm", []string{"issuer"}, false},
		{"another account", "agents", "system:serviceaccount:agents:default", []string{own}, false},
		{"an account of a namespace with a colon", "agents", "system:serviceaccount:agents:x:crm", []string{"issuer"}, false},
		{"a person", "agents", "crm", []string{"issuer"}, false},
		{"an issuer without a namespace", "", "system:serviceaccount::crm", []string{"issuer"}, false},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got, err := p.ServiceAccount(test.namespace, test.subject, test.audiences)
			if refusal := (*grant.Refusal)(nil); test.accepted != (err == nil) || err != nil && (!errors.As(err, &refusal) || refusal.Code != grant.InvalidRequest) {
				t.Fatalf("ServiceAccount = %q, %v", got, err)
			}
			if test.accepted && got != test.subject {
				t.Errorf("ServiceAccount = %q", got)
			}
		})
	}
}

func TestRefreshTokensComeWithPasswordsAlone(t *testing.T) {
	p, without := compile(t, full), compile(t, strings.Replace(full, ", RefreshToken]", "]", 1))
	for _, g := range grant.Grants() {
		if got := p.IssuesRefreshTokens(g); got != (g == grant.GrantPassword) {
			t.Errorf("IssuesRefreshTokens(%s) = %t", g, got)
		}
		if without.IssuesRefreshTokens(g) {
			t.Errorf("without the grant, %s comes with a refresh token", g)
		}
	}
}
