package grant

import (
	"regexp"
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/policy/bounds"
)

// checker collects what is wrong with a spec: every bound of the field markers,
// because a file never met an API server, and the rules that no schema can
// express.
type checker struct{ bounds.Checker }

// spec checks everything; field paths begin with "spec." as in the resource.
func (c *checker) spec(s *Spec) {
	c.issuer("spec.issuer", s.Issuer)
	c.Text("spec.signingKeyRef.name", s.SigningKeyRef.Name, bounds.SigningKey)
	if s.TokenLifetime != nil {
		c.Duration("spec.tokenLifetime", s.TokenLifetime.Duration, MinTokenLifetime, MaxTokenLifetime)
	}
	c.Count("spec.audiences", len(s.Audiences), 1, 16)
	c.Texts("spec.audiences", s.Audiences, 16, bounds.Form{Most: 2048})
	bounds.OneOf(&c.Checker, "spec.tokenType", "type", s.TokenType, TypeJWT, TypeATJWT)
	c.grants("spec.grants", s)
	if s.Session != nil {
		c.session("spec.session", s.Session)
		c.ownTokens("spec.session.providers", s)
	}
	if s.Clients != nil {
		c.Count("spec.clients.credentialSelector.matchLabels", len(s.Clients.CredentialSelector.MatchLabels), 0, 16)
	}
	if s.Password != nil {
		c.password("spec.password", s.Password)
	}
	if s.TokenExchange != nil {
		c.exchange("spec.tokenExchange", s)
	}
	if s.RefreshToken != nil {
		c.refresh("spec.refreshToken", s.RefreshToken)
	}
	c.claims("spec.claims", s.Claims)
	c.shared(s)
	c.origins("spec.cors", s)
	c.unused(s)
	c.people(s)
	if s.RateLimit != nil {
		c.Optional("spec.rateLimit.perClient", s.RateLimit.PerClient, bounds.Rate)
		c.Optional("spec.rateLimit.perIP", s.RateLimit.PerIP, bounds.Rate)
	}
	c.Number("spec.replicas", s.Replicas, 1, maxReplicas)
}

const maxReplicas = 16

// issuerForm is made when it is needed: sidecars hold this package too, and check
// no issuer.
func issuerForm() bounds.Form {
	return bounds.Form{
		Most: 512, Pattern: regexp.MustCompile(`^https?://[^\s?#@/]+(/[^\s?#/]+)*$`),
		Hint: "is no issuer: write https://host or https://host/path, without a slash at the end, query and fragment (RFC 8414 section 2)",
	}
}

// issuer checks the address that is the iss of the tokens, compared byte for byte,
// and the front of every endpoint.
func (c *checker) issuer(field, issuer string) {
	before := len(c.Errors)
	c.Text(field, issuer, issuerForm())
	if len(c.Errors) > before {
		return
	}
	u, ok := bounds.ParseHTTP(issuer)
	switch {
	case !ok || !bounds.ValidPort(u.Port()) || u.Hostname() == "":
		c.Fail(field, "%q is no address: write https://host or https://host/path", issuer)
	case strings.ContainsAny(u.EscapedPath(), "%;\\") || slices.ContainsFunc(strings.Split(u.Path, "/"), isDots):
		c.Fail(field, "%q has a path that clients may write in several ways: use one without escapes, dot segments and semicolons", issuer)
	case u.Scheme == "http" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") && u.Hostname() != "::1":
		c.Warn(field, "is plain http: whoever is on the way can read passwords and tokens")
	}
}

func isDots(segment string) bool { return segment == "." || segment == ".." }

// grants checks that each grant has what it needs.
func (c *checker) grants(field string, s *Spec) {
	c.Count(field, len(s.Grants), 1, 5)
	for i, g := range s.Grants {
		bounds.RequireOneOf(&c.Checker, bounds.At(field, i), "grant", g, Grants()...)
	}
	bounds.Unique(&c.Checker, field, s.Grants)
	for _, need := range []struct {
		grant        Grant
		missing      bool
		field, fails string
	}{
		{GrantSession, s.Session == nil, "spec.session", "is required by the grant Session: say who may call /api/get-token"},
		{GrantClientCredentials, s.Clients == nil, "spec.clients", "is required by the grant ClientCredentials: say which APIKeys are OAuth clients"},
		{GrantPassword, s.Password == nil, "spec.password", "is required by the grant Password: say where the users are"},
		{GrantPassword, !s.LegacyPasswordGrant, "spec.legacyPasswordGrant", "OAuth 2.1 drops the grant Password: set it to true if a client needs it nevertheless"},
		{GrantTokenExchange, s.TokenExchange == nil, "spec.tokenExchange", "is required by the grant TokenExchange: say whose tokens are exchanged"},
		{GrantRefreshToken, !s.has(GrantPassword), field, "RefreshToken needs Password: no other grant hands out refresh tokens"},
	} {
		if s.has(need.grant) && need.missing {
			c.Fail(need.field, "%s", need.fails)
		}
	}
	if s.IsStateful() && (s.Replicas == nil || *s.Replicas != 1) {
		c.Fail("spec.replicas", "Password and RefreshToken keep their state in memory: set replicas: 1")
	}
}

// has reports whether the spec names a grant.
func (s *Spec) has(g Grant) bool { return slices.Contains(s.Grants, g) }

// unused warns of sections that no grant reads.
func (c *checker) unused(s *Spec) {
	exchanged := s.has(GrantTokenExchange) && s.TokenExchange != nil && s.TokenExchange.Sessions
	atToken := s.has(GrantClientCredentials) || s.has(GrantPassword) || s.has(GrantTokenExchange)
	for _, section := range []struct {
		there, read bool
		field       string
		grant       Grant
	}{
		{s.Session != nil, s.has(GrantSession) || exchanged, "spec.session", GrantSession},
		{s.Clients != nil, atToken, "spec.clients", GrantClientCredentials},
		{s.Password != nil, s.has(GrantPassword), "spec.password", GrantPassword},
		{s.TokenExchange != nil, s.has(GrantTokenExchange), "spec.tokenExchange", GrantTokenExchange},
		{s.RefreshToken != nil, s.has(GrantRefreshToken), "spec.refreshToken", GrantRefreshToken},
	} {
		if section.there && !section.read {
			c.Warn(section.field, "changes nothing: spec.grants lacks %s", section.grant)
		}
	}
}

// people warns of several systems that name people: one id may be two of them.
func (c *checker) people(s *Spec) {
	var from []string
	if s.Session != nil && (s.has(GrantSession) || s.has(GrantTokenExchange)) {
		for _, name := range s.Session.names() {
			from = append(from, "session:"+name)
		}
		if s.Session.Introspection != nil {
			from = append(from, "introspection")
		}
	}
	if s.has(GrantPassword) {
		from = append(from, "password")
	}
	if len(from) > 1 {
		c.Warn("spec.grants", "take people from %s: an id that two of them have is one sub; if they are not the same person, tell them apart in rules by the claim %s", strings.Join(from, ", "), ClaimSource)
	}
}

func (c *checker) password(field string, p *Password) {
	ref := field + ".usersSecretRef"
	c.Text(ref+".name", p.UsersSecretRef.Name, bounds.Object)
	for _, suffix := range []string{".gatepost-state", ".gatepost-bundle", ".gatepost-issuer"} {
		if strings.HasSuffix(p.UsersSecretRef.Name, suffix) {
			c.Fail(ref+".name", "may not end in %s: those Secrets are the controller's own", suffix)
		}
	}
	c.Text(ref+".key", p.UsersSecretRef.Key, bounds.DataKey)
	c.scopes(field+".scopes", p.Scopes)
}

func (c *checker) refresh(field string, r *RefreshToken) {
	if r.Lifetime != nil {
		c.Duration(field+".lifetime", r.Lifetime.Duration, minRefreshLifetime, maxRefreshLifetime)
	}
	if r.ReuseGrace != nil {
		c.Duration(field+".reuseGrace", r.ReuseGrace.Duration, 0, maxReuseGrace)
	}
}

func (c *checker) scopes(field string, scopes []string) { c.Texts(field, scopes, 64, bounds.Scope) }

func (c *checker) claims(field string, claims []Claim) {
	c.Count(field, len(claims), 0, 32)
	names := make([]string, len(claims))
	for i := range claims {
		claim, field := &claims[i], bounds.At(field, i)
		names[i] = claim.Name
		c.Text(field+".name", claim.Name, bounds.Form{Most: 256})
		if isOwn(claim.Name) {
			c.Fail(field+".name", "%q is the issuer's own: scopes come from session.scopes, password.scopes, the APIKey or the service account", claim.Name)
		}
		if (claim.Value != nil) == (claim.From != "") {
			c.Fail(field, "set exactly one of value, from")
		}
		if claim.Value != nil {
			c.Optional(field+".value", *claim.Value, bounds.Form{Most: 1024})
			c.KeyText(field+".value", *claim.Value)
		}
		c.Optional(field+".from", claim.From, bounds.Claim)
	}
	c.UniqueNames(field, names)
}

// isOwn reports the claims that no spec, session and APIKey can set: what they
// say is the issuer's to say (RFC 7519 section 4.1, RFC 7800, RFC 8693 section
// 4.1, RFC 9068 section 2.2).
func isOwn(claim string) bool {
	switch claim {
	case "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf", "act", "client_id", claimScope, claimScopes, ClaimSource:
		return true
	}
	return false
}

// shared checks what a policy has too.
func (c *checker) shared(s *Spec) {
	_, found, warnings := judged(policy.Spec{CORS: s.CORS, TrustedProxies: s.TrustedProxies})
	keep := func(field string) bool {
		return strings.HasPrefix(field, "spec.cors") || strings.HasPrefix(field, "spec.trustedProxies")
	}
	for _, e := range found {
		if keep(e.Field) {
			c.Errors = append(c.Errors, e)
		}
	}
	for _, warning := range warnings {
		if keep(warning) {
			c.Warnings = append(c.Warnings, warning)
		}
	}
	if s.CORS != nil && s.CORS.Mode == policy.CORSPassthrough {
		c.Fail("spec.cors.mode", "an issuer has nobody behind it: remove it, or set it to Gateway")
	}
}
