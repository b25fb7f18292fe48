package policy

import "slices"

// principal is a compiled Principal; everything in it must hold.
type principal struct {
	anonymous bool
	providers []string
	clients   []string
	claims    []claimTest
	tenant    *tenantTest
	scopes    []scopeTest
}

// hasScopes reports whether every test of scopes holds.
func (p *principal) hasScopes(claims map[string]any, b binding) bool {
	for i := range p.scopes {
		if !p.scopes[i].held(claims, b) {
			return false
		}
	}
	return true
}

// missing names the scopes that a challenge offers: those of every test that
// does not hold.
func (p *principal) missing(claims map[string]any, b binding) []string {
	names := []string{}
	for i := range p.scopes {
		if !p.scopes[i].held(claims, b) {
			names = p.scopes[i].appendOffered(names, b)
		}
	}
	return names
}

// matches judges everything but the scopes, whose lack has an answer of its own.
func (p *principal) matches(h Header, who Who, b binding) bool {
	if len(p.providers) > 0 && !slices.Contains(p.providers, who.Provider) {
		return false
	}
	if len(p.clients) > 0 && !slices.Contains(p.clients, who.Client) {
		return false
	}
	for i := range p.claims {
		if !p.claims[i].holds(who.Claims) {
			return false
		}
	}
	return p.tenant == nil || p.tenant.holds(h, who.Claims, b)
}

// tenantTest is a compiled Tenant. At most one of header, variable and value is set.
type tenantTest struct {
	claim       claimRef
	allowOnNull bool
	header      string
	value       string
	variable    bool
	n           int
}

// holds reports whether the request is about the principal's own tenant, or one
// of them. A claim of another form belongs to no tenant at all.
func (t *tenantTest) holds(h Header, claims map[string]any, b binding) bool {
	claim, _ := t.claim.in(claims)
	switch own := claim.(type) {
	case nil:
		return t.allowOnNull
	case string:
		return t.isAbout(own, h, b)
	case []any:
		return anyText(own, func(one string) bool { return t.isAbout(one, h, b) })
	}
	return false
}

// isAbout reports whether the request names this tenant. An empty one is none.
func (t *tenantTest) isAbout(own string, h Header, b binding) bool {
	switch {
	case own == "":
		return false
	case t.header != "":
		return h != nil && is(h.Values(t.header), own)
	case t.variable:
		return b.value(t.n) == own
	case t.value != "":
		return t.value == own
	}
	return true
}

// is reports whether values are exactly the one.
func is(values []string, one string) bool {
	return len(values) == 1 && values[0] == one
}

// scopeTest is a compiled Scopes.
type scopeTest struct {
	// claims are where scopes may be; the first that is there and not null holds them all.
	claims       []claimRef
	anyOf, allOf []textPattern
	// offered are the scopes that a challenge names.
	offered []textPattern
}

// held reports whether the principal has all of allOf and one of anyOf.
func (t *scopeTest) held(claims map[string]any, b binding) bool {
	value := t.value(claims)
	for _, want := range t.allOf {
		if !hasScope(value, want, b) {
			return false
		}
	}
	for _, want := range t.anyOf {
		if hasScope(value, want, b) {
			return true
		}
	}
	return len(t.anyOf) == 0
}

func (t *scopeTest) value(claims map[string]any) any {
	for _, ref := range t.claims {
		if value, _ := ref.in(claims); value != nil {
			return value
		}
	}
	return nil
}

func hasScope(value any, want textPattern, b binding) bool {
	switch scopes := value.(type) {
	case string:
		return anyWord(scopes, func(s string) bool { return want.equals(s, b) })
	case []any:
		return anyText(scopes, func(s string) bool { return want.equals(s, b) })
	}
	return false
}

// appendOffered adds the scopes that a challenge names. A scope that a path of
// the client's making turned into something else than a scope-token is left out.
func (t *scopeTest) appendOffered(names []string, b binding) []string {
	for _, pattern := range t.offered {
		if name := pattern.expand(b); isScopeToken(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// isScopeToken reports whether s is a scope-token of RFC 6749 section 3.3:
// visible ASCII without quotes and backslashes.
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
