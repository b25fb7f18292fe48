package grant

import (
	"slices"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Plan is a compiled Spec: immutable, safe for any number of goroutines. Nil and
// the zero Plan give nobody a token.
// +kubebuilder:object:generate=false
type Plan struct {
	compiled bool
	spec     Spec
	warnings []string
}

// Compile checks every field and every rule between fields, applies every
// default and returns the plan that decides about tokens. The error is of type
// policy.Errors and names all that is wrong. What needs the SigningKey itself (its
// maxTokenLifetime, its signer) the caller checks.
func Compile(s Spec) (*Plan, error) {
	var c checker
	c.spec(&s)
	if err := c.Err(); err != nil {
		return nil, err
	}
	p := &Plan{compiled: true, spec: *s.DeepCopy(), warnings: c.Warnings}
	setDefaults(&p.spec)
	return p, nil
}

// Spec is the plan's spec with every default filled in. It is shared: do not
// change it.
func (p *Plan) Spec() Spec {
	if p == nil {
		return Spec{}
	}
	return p.spec
}

// Warnings are remarks on a valid spec that probably does not do what its author
// wants, each as "field: remark".
func (p *Plan) Warnings() []string {
	if p == nil {
		return nil
	}
	return p.warnings
}

// Offers reports whether the issuer has a grant.
func (p *Plan) Offers(g Grant) bool {
	return p != nil && p.compiled && slices.Contains(p.spec.Grants, g)
}

// Lifetime is how long a token lives that is made now for a principal whose own
// credential expires at notAfter; the zero time: it does not expire. A token
// outlives the session it was made from by less than MinTokenLifetime. One that has
// expired gets none: Decide refuses it.
func (p *Plan) Lifetime(now, notAfter time.Time) time.Duration {
	if p == nil || !p.compiled {
		return 0
	}
	lifetime := p.spec.TokenLifetime.Duration
	if notAfter.IsZero() {
		return lifetime
	}
	return min(lifetime, max(notAfter.Sub(now), MinTokenLifetime))
}

// The bounds of Spec.TokenLifetime, and what it is where nobody says.
const (
	DefaultTokenLifetime = 2 * time.Minute
	MinTokenLifetime     = 10 * time.Second
	MaxTokenLifetime     = 24 * time.Hour
)

// IssuesRefreshTokens reports whether a token by grant g comes with a refresh
// token: with Password alone. One for ClientCredentials would add nothing (RFC
// 6749 section 4.4.3), one for a session would outlive it.
func (p *Plan) IssuesRefreshTokens(g Grant) bool {
	return g == GrantPassword && p.Offers(GrantPassword) && p.Offers(GrantRefreshToken)
}

// Providers are the session providers with their defaults, in the form that
// verifiers are made of, by the same index as Spec.Session.Providers.
func (p *Plan) Providers() []policy.Provider {
	if p == nil || p.spec.Session == nil {
		return nil
	}
	out := make([]policy.Provider, len(p.spec.Session.Providers))
	for i := range out {
		out[i] = p.spec.Session.Providers[i].Provider
	}
	return out
}
