package grant

import (
	"errors"
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/policy/bounds"
)

func (c *checker) session(field string, s *Session) {
	verified := len(s.Providers) > 0 || s.Introspection != nil
	if !verified && s.Anonymous == nil {
		c.Fail(field, "set one of providers, introspection, anonymous: nobody has a session otherwise")
	}
	c.Count(field+".providers", len(s.Providers), 0, 8)
	names := make([]string, len(s.Providers))
	for i := range s.Providers {
		names[i] = s.Providers[i].Name
		c.provider(bounds.At(field+".providers", i), &s.Providers[i])
	}
	c.UniqueNames(field+".providers", names)
	if s.Introspection != nil {
		c.introspection(field+".introspection", s)
	}
	if s.Anonymous != nil {
		c.Text(field+".anonymous.rateLimit", s.Anonymous.RateLimit, bounds.Rate)
		c.scopes(field+".anonymous.scopes", s.Anonymous.Scopes)
	}
	c.scopes(field+".scopes", s.Scopes)
	c.Optional(field+".scopesFrom", s.ScopesFrom, bounds.Claim)
	if !verified && len(s.Scopes) > 0 {
		c.Fail(field+".scopes", "are for verified sessions: set providers or introspection, or use anonymous.scopes")
	}
	if !verified && s.ScopesFrom != "" {
		c.Fail(field+".scopesFrom", "is for verified sessions: set providers or introspection, or use anonymous.scopes")
	}
}

// provider asks policy about a provider and the place of its tokens: they are
// those of a policy, which has other names for the fields around them.
func (c *checker) provider(field string, p *SessionProvider) {
	c.source(field+".extractFrom", p.ExtractFrom)
	_, found, warnings := judged(policy.Spec{JWT: &policy.JWT{
		Providers:   []policy.Provider{p.Provider},
		ExtractFrom: &policy.ExtractFrom{Headers: []policy.TokenHeader{p.Source()}},
	}})
	here := inSession(field, p)
	for _, e := range found {
		if at, ok := here(e.Field); ok {
			c.Errors = append(c.Errors, bounds.FieldError{Field: at, Detail: e.Detail})
		}
	}
	for _, warning := range warnings {
		at, remark, _ := strings.Cut(warning, ": ")
		if at, ok := here(at); ok && !strings.HasPrefix(remark, "a cookie speaks only") { // origins refuses it
			c.Warnings = append(c.Warnings, at+": "+remark)
		}
	}
}

// ownTokens refuses providers that take the issuer's own tokens for sessions: a
// visitor's or a client's token would be traded for that of a session, again and
// again. Decide sees those that come by another way.
func (c *checker) ownTokens(field string, s *Spec) {
	const text = "whoever had one of the issuer's own tokens could get new ones for ever: use the key and the issuer of the system that makes the sessions"
	for i := range s.Session.Providers {
		p, field := &s.Session.Providers[i], bounds.At(field, i)
		if p.SigningKeyRef != nil && p.SigningKeyRef.Name == s.SigningKeyRef.Name && p.SigningKeyRef.Name != "" {
			c.Fail(field+".signingKeyRef", "is the issuer's own key: %s", text)
		}
		if slices.Contains(p.Issuers, s.Issuer) && s.Issuer != "" {
			c.Fail(field+".issuers", "names this issuer: %s", text)
		}
	}
}

// inSession translates the field of a policy with one provider.
func inSession(field string, p *SessionProvider) func(string) (string, bool) {
	const providers, header = "spec.jwt.providers[0]", "spec.jwt.extractFrom.headers[0]"
	return func(at string) (string, bool) {
		if rest, ok := strings.CutPrefix(at, providers); ok {
			return field + rest, true
		}
		rest, ok := strings.CutPrefix(at, header)
		if p.ExtractFrom == nil || !ok {
			return "", false
		}
		if p.ExtractFrom.Cookie != "" {
			return field + ".extractFrom.cookie", true
		}
		return field + ".extractFrom" + strings.Replace(rest, ".name", ".header", 1), true
	}
}

// source checks that a session token is in one place.
func (c *checker) source(field string, s *SessionSource) {
	if s == nil {
		return
	}
	if (s.Header != "") == (s.Cookie != "") {
		c.Fail(field, "set exactly one of header, cookie")
	}
	if s.ValuePrefix != "" && s.Header == "" {
		c.Fail(field+".valuePrefix", "stands before a token in a header: remove it, or set header")
	}
	if policy.EqualFoldASCII(s.Header, "cookie") {
		c.Fail(field+".header", "set cookie to the cookie's name instead")
	}
	c.Optional(field+".cookie", s.Cookie, cookieForm())
}

// cookieForm is that of a cookie's name, which is a token as a header's name is (RFC
// 6265 section 4.1.1).
func cookieForm() bounds.Form {
	return bounds.Form{Most: 128, Pattern: bounds.AnyHeader.Pattern, Hint: "is no name of a cookie (RFC 6265 section 4.1.1)"}
}

func (c *checker) introspection(field string, s *Session) {
	i := s.Introspection
	c.RemoteURL(field+".uri", i.URI, i.AllowInsecureHTTP)
	if i.AllowInsecureHTTP {
		c.Warn(field+".allowInsecureHTTP", "whoever is on the way to %s.uri can say who has a session", field)
	}
	c.Text(field+".forwardCookie", i.ForwardCookie, cookieForm())
	if i.ForwardCookie != "" && slices.ContainsFunc(s.Providers, func(p SessionProvider) bool {
		return p.ExtractFrom != nil && p.ExtractFrom.Cookie == i.ForwardCookie
	}) {
		c.Fail(field+".forwardCookie", "is the cookie of a provider's tokens too: every request with it would have two sessions, take another name")
	}
	c.Optional(field+".subject", i.Subject, bounds.Claim)
}

func (c *checker) exchange(field string, s *Spec) {
	x := s.TokenExchange
	if !x.Sessions && len(x.ServiceAccounts) == 0 {
		c.Fail(field, "set one of serviceAccounts, sessions: nothing can be exchanged otherwise")
	}
	if x.Sessions && (s.Session == nil || len(s.Session.Providers) == 0) {
		c.Fail(field+".sessions", "needs session.providers: they verify the tokens")
	}
	c.Count(field+".serviceAccounts", len(x.ServiceAccounts), 0, 64)
	names := make([]string, len(x.ServiceAccounts))
	for i := range x.ServiceAccounts {
		account, field := &x.ServiceAccounts[i], bounds.At(field+".serviceAccounts", i)
		names[i] = account.Name
		c.Text(field+".name", account.Name, bounds.Object)
		c.Optional(field+".audience", account.Audience, bounds.Form{Most: 2048})
		if isAPIServer(account.Audience) {
			c.Fail(field+".audience", "%q is the API server: project a token for this issuer instead", account.Audience)
		}
		c.scopes(field+".scopes", account.Scopes)
	}
	c.UniqueNames(field+".serviceAccounts", names)
}

// isAPIServer reports the audiences of tokens that speak to the API server: to take
// them would be to ask for them.
func isAPIServer(audience string) bool {
	host := strings.TrimPrefix(audience, "https://")
	return host == "kubernetes" || host == "kubernetes.default" || host == "kubernetes.default.svc" || strings.HasPrefix(host, "kubernetes.default.svc.")
}

// origins asks for the origins of pages whose cookies speak for somebody.
func (c *checker) origins(field string, s *Spec) {
	if s.Session == nil {
		return
	}
	cookie := s.Session.Introspection != nil || slices.ContainsFunc(s.Session.Providers, func(p SessionProvider) bool {
		return p.ExtractFrom != nil && p.ExtractFrom.Cookie != ""
	})
	named := s.CORS != nil && slices.ContainsFunc(s.CORS.AllowOrigins, func(origin string) bool { return origin != "*" })
	switch {
	case !cookie:
	case !named:
		c.Fail(field+".allowOrigins", "a session in a cookie speaks only for pages whose origin is named: list them")
	case !s.CORS.AllowCredentials:
		c.Warn(field+".allowCredentials", "is false: pages of another origin cannot send the cookie of their session")
	}
}

// judged is what policy says of the parts that a policy has too.
func judged(s policy.Spec) (*policy.Policy, bounds.Errors, []string) {
	compiled, err := policy.Compile(s)
	var found bounds.Errors
	errors.As(err, &found)
	return compiled, found, compiled.Warnings()
}
