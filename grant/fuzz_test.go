package grant_test

import (
	"encoding/json"
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

// FuzzCompile gives Compile whatever JSON makes of a Spec: an error of its own
// type, or a plan whose defaults are final and that gives nobody a token.
func FuzzCompile(f *testing.F) {
	for _, spec := range []string{full, plain} {
		seed, err := json.Marshal(parse(f, spec))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte(`{"issuer":"https://a","signingKeyRef":{"name":"k"},"audiences":["a"],"grants":["Session"],"session":{"anonymous":{"rateLimit":"1/s"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s grant.Spec
		if json.Unmarshal(data, &s) != nil {
			return
		}
		p, err := grant.Compile(s)
		if err != nil {
			if errs := (policy.Errors{}); !errors.As(err, &errs) || len(errs) == 0 || p != nil {
				t.Fatalf("Compile = %v, %#v", p, err)
			}
			return
		}
		again, err := grant.Compile(p.Spec())
		if err != nil {
			t.Fatalf("the defaulted spec does not compile: %v", err)
		}
		if diff := cmp.Diff(p.Spec(), again.Spec()); diff != "" {
			t.Fatalf("defaults are not final:\n%s", diff)
		}
		for _, g := range grant.Grants() {
			if ticket, err := p.Decide(grant.Request{Grant: g}, grant.Principal{}, now()); err == nil {
				t.Fatalf("nobody gets %+v by %s", ticket, g)
			}
		}
	})
}

// FuzzDecide asks a plan for tokens with whatever a session and a request say:
// a ticket never holds more than the spec allows.
func FuzzDecide(f *testing.F) {
	p := compile(f, full)
	f.Add([]byte(`{"sub":"u","permissions":"agents:run agents:read","tenant_id":"t","user":{"email":"e"}}`), "agents:run", "https://chat.example.com", byte(0))
	f.Add([]byte(`{"sub":7,"permissions":["agents:read"],"iss":"x","exp":1}`), "", "", byte(1))
	f.Add([]byte(`{"user":{"id":"7"},"scope":"all"}`), "agents:run  agents:read", "https://evil.example", byte(2))
	f.Fuzz(func(t *testing.T, session []byte, scope, target string, kind byte) {
		decoder := json.NewDecoder(strings.NewReader(string(session)))
		decoder.UseNumber()
		var claims map[string]any
		if decoder.Decode(&claims) != nil {
			return
		}
		who := grant.Principal{Claims: claims, NotAfter: now().Add(time.Duration(kind) * time.Second)}
		switch kind % 4 {
		case 0:
			who.Provider = "laravel"
		case 1:
			who.Introspected = true
		case 2:
			who.User = target
		case 3:
			who.ServiceAccount = "system:serviceaccount:agents:" + target
		}
		for _, g := range grant.Grants() {
			request := grant.Request{Grant: g, Scope: scope, Targets: []string{target}}
			ticket, err := p.Decide(request, who, now())
			if err != nil {
				if refusal := (*grant.Refusal)(nil); !errors.As(err, &refusal) || !reflect.ValueOf(ticket).IsZero() {
					t.Fatalf("Decide = %+v, %v", ticket, err)
				}
				continue
			}
			holds(t, p, ticket)
		}
	})
}

// holds checks what is true of every ticket of the full spec.
func holds(t *testing.T, p *grant.Plan, ticket grant.Ticket) {
	t.Helper()
	for _, scope := range ticket.Scopes {
		if scope != "agents:run" && scope != "agents:read" {
			t.Fatalf("the scope %q is not of the spec", scope)
		}
	}
	for _, audience := range ticket.Audiences {
		if !slices.Contains(p.Spec().Audiences, audience) {
			t.Fatalf("the audience %q is not of the spec", audience)
		}
	}
	for name := range ticket.Claims {
		if !slices.Contains([]string{"role", "tenant_id", "email", "scope", "scopes", "client_id", grant.ClaimSource}, name) {
			t.Fatalf("the claim %q is not of the spec", name)
		}
	}
	if ticket.Subject == "" || len(ticket.Audiences) == 0 || ticket.Lifetime < grant.MinTokenLifetime || ticket.Lifetime > p.Spec().TokenLifetime.Duration {
		t.Fatalf("Decide = %+v", ticket)
	}
}
