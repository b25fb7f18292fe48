package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// circumstances are what a sentence about one refused token is made of.
type circumstances struct {
	in      *bundle.Snapshot
	said    unverified.Token
	outcome token.Outcome
	now     time.Time
}

// say is what made it so in this very case; empty where the reason says it all.
func (c *circumstances) say() string {
	header := func(name string) string { return unverified.Text(c.said.Header, name) }
	p := c.provider(c.outcome.Provider)
	switch c.outcome.Reason {
	case policy.MalformedToken:
		return c.said.Flaw
	case policy.IssuerMismatch:
		return fmt.Sprintf("iss is %s, and %s", unverified.Text(c.said.Claims, "iss"), c.issuers())
	case policy.AlgNotAllowed:
		return fmt.Sprintf("alg is %s, and provider %s accepts %s%s", header("alg"), p.Name, join(p.Algorithms), c.otherwiseIssuer(&p))
	case policy.TypeNotAllowed:
		return fmt.Sprintf("typ is %s, and provider %s accepts %s", header("typ"), p.Name, join(orTypes(p.Types)))
	case policy.UnknownKey:
		return fmt.Sprintf("kid is %s, and provider %s has %s", header("kid"), p.Name, c.live(p.Name))
	case policy.SignatureInvalid:
		return c.signature(p.Name)
	case policy.KeysUnavailable:
		return c.unavailable(&p)
	default:
		return c.sayClaims(&p)
	}
}

// sayClaims is say for what comes after the signature.
func (c *circumstances) sayClaims(p *policy.Provider) string {
	claim := func(name string) string { return unverified.Text(c.said.Claims, name) }
	switch c.outcome.Reason {
	case policy.ClaimInvalid:
		if c.outcome.Claim == "cnf" {
			return "the claim cnf binds the token to a key of its owner, so it is no bearer token"
		}
		return fmt.Sprintf("the claim %s is %s", c.outcome.Claim, claim(c.outcome.Claim))
	case policy.AudienceMismatch:
		return fmt.Sprintf("aud is %s, and provider %s accepts %s", claim("aud"), p.Name, quoted(p.Audiences))
	case policy.LifetimeExceeded:
		return c.lifetime(p)
	case policy.NotYetValid:
		return c.early()
	case policy.Expired:
		return fmt.Sprintf("exp was %s, and clockSkew %s is counted in", unverified.Length(c.outcome.ExpiredFor)+" ago", skew(p))
	case policy.Revoked:
		before := ""
		if p.RevokedBefore != nil {
			before = *p.RevokedBefore
		}
		return fmt.Sprintf("iat is %s, and revokedBefore of provider %s is %s", c.date("iat"), p.Name, before)
	default:
		return ""
	}
}

// provider is the policy's provider of that name, with defaults.
func (c *circumstances) provider(name string) policy.Provider {
	if jwt := c.in.Policy.Spec().JWT; jwt != nil {
		for _, p := range jwt.Providers {
			if p.Name == name {
				return p
			}
		}
	}
	return policy.Provider{Name: name}
}

// issuers says which providers accept which issuers.
func (c *circumstances) issuers() string {
	jwt := c.in.Policy.Spec().JWT
	if jwt == nil {
		return "the policy accepts no tokens: it has no jwt"
	}
	var each []string
	for _, p := range jwt.Providers {
		each = append(each, fmt.Sprintf("provider %s accepts %s", p.Name, quoted(p.Issuers)))
	}
	return strings.Join(each, ", ")
}

// otherwiseIssuer adds that a provider without issuers was asked for want of a
// better one.
func (c *circumstances) otherwiseIssuer(p *policy.Provider) string {
	if len(p.Issuers) > 0 {
		return ""
	}
	named := slices.ContainsFunc(c.in.Policy.Spec().JWT.Providers, func(p policy.Provider) bool { return len(p.Issuers) > 0 })
	if !named {
		return ""
	}
	return fmt.Sprintf("; it was asked because iss is %s, which no provider names", unverified.Text(c.said.Claims, "iss"))
}

// live names the loaded keys of a provider.
func (c *circumstances) live(name string) string {
	for _, state := range c.in.Verifier.State(c.now) {
		if state.Name != name {
			continue
		}
		unnamed := state.Keys - len(state.KIDs)
		switch {
		case state.Keys == 0:
			return "no key"
		case len(state.KIDs) == 0:
			return fmt.Sprintf("%d without a kid", unnamed)
		case unnamed > 0:
			return fmt.Sprintf("%s, and %d without a kid", quoted(state.KIDs), unnamed)
		}
		return quoted(state.KIDs)
	}
	return "no key"
}

// keysTried are the ids of the keys that a provider held the token against.
func (c *circumstances) keysTried(o *token.Outcome) []string {
	switch o.Reason {
	case policy.AlgNotAllowed, policy.TypeNotAllowed, policy.UnknownKey, policy.KeysUnavailable, policy.IssuerMismatch:
		return nil
	case policy.SignatureInvalid:
		if kid, ok := c.said.Header["kid"].(string); ok {
			return []string{kid}
		}
		for _, state := range c.in.Verifier.State(c.now) {
			if state.Name == o.Provider {
				return state.KIDs
			}
		}
		return nil
	default:
		if o.KID == "" {
			return nil
		}
		return []string{o.KID}
	}
}

func (c *circumstances) signature(name string) string {
	if kid, ok := c.said.Header["kid"].(string); ok {
		return fmt.Sprintf("the token names the key %q, which provider %s has, and the signature is not by it", kid, name)
	}
	return fmt.Sprintf("the token names no key, so those of provider %s were tried: %s", name, c.live(name))
}

func (c *circumstances) unavailable(p *policy.Provider) string {
	if p.RemoteJWKS != nil {
		return fmt.Sprintf("the keys of provider %s are fetched from %s, and have not been: give --fetch to fetch them here", p.Name, p.RemoteJWKS.URI)
	}
	return fmt.Sprintf("provider %s has no key", p.Name)
}

func (c *circumstances) lifetime(p *policy.Provider) string {
	from, what := c.now, "now"
	if iat, ok := c.said.Date("iat"); ok {
		from, what = iat, "iat"
	}
	most := "its SigningKey's maxTokenLifetime"
	if p.SigningKeyRef == nil {
		most = "24h, as maxTokenLifetime is not set"
	}
	if p.MaxTokenLifetime != nil {
		most = "maxTokenLifetime, " + p.MaxTokenLifetime.String()
	}
	exp, ok := c.said.Date("exp")
	if !ok {
		return fmt.Sprintf("exp is %s seconds, beyond the year 9999: provider %s accepts %s", unverified.Text(c.said.Claims, "exp"), p.Name, most)
	}
	return fmt.Sprintf("exp is %s after %s, and provider %s accepts %s", unverified.Length(exp.Sub(from)), what, p.Name, most)
}

// early says which date lies in the future.
func (c *circumstances) early() string {
	for _, claim := range []string{"nbf", "iat"} {
		if at, ok := c.said.Date(claim); ok && at.After(c.now) {
			return fmt.Sprintf("%s is %s", claim, unverified.FromNow(at, c.now))
		}
	}
	return ""
}

func (c *circumstances) date(claim string) string {
	if at, ok := c.said.Date(claim); ok {
		return at.Format(time.RFC3339)
	}
	return unverified.Text(c.said.Claims, claim)
}

func skew(p *policy.Provider) string {
	if p.ClockSkew != nil {
		return p.ClockSkew.String()
	}
	return "10s"
}

func orTypes(types []string) []string {
	if len(types) == 0 {
		return []string{"JWT", "at+jwt"}
	}
	return types
}

func join[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}

func quoted(texts []string) string {
	if len(texts) == 0 {
		return "any"
	}
	each := make([]string, len(texts))
	for i, text := range texts {
		each[i] = fmt.Sprintf("%q", text)
	}
	return strings.Join(each, ", ")
}
