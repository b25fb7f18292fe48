package policy

import "slices"

// Header gives the values of a request header by its canonical name
// (X-Tenant-Id), in the order they came. http.Header is one.
// +kubebuilder:object:generate=false
type Header interface {
	Values(name string) []string
}

// Who is who asks: a request without a credential, the principal of a token or
// the client of an API key. The zero Who is nobody, and so is one that is more
// than one of them; nobody is refused everything.
// +kubebuilder:object:generate=false
type Who struct {
	// Anonymous says that the request carried no credential at all. Never set it because a credential was wrong.
	Anonymous bool
	// Provider is the JWT provider that vouches for Claims; empty, none does.
	Provider string
	// Client is the client id of the API key that Claims belong to; empty, there was no key.
	Client string
	// Claims are the verified claims, their values of the types string, bool,
	// json.Number, nil, []any and map[string]any. A number never equals a text.
	Claims map[string]any
}

// isOne reports whether exactly one of its sources says who it is.
func (w *Who) isOne() bool {
	return w.Anonymous && w.Provider == "" && w.Client == "" ||
		!w.Anonymous && (w.Provider == "") != (w.Client == "")
}

// Decision is what becomes of a request. The zero Decision denies.
// +kubebuilder:object:generate=false
type Decision struct {
	// Reason says why; only OK and Exempt let the request pass.
	Reason Reason
	// Rule is the name of the rule that decided, and with InsufficientScope of
	// the rule whose scopes are missing; empty when none did.
	Rule string
	// Scopes are what WWW-Authenticate names as missing with InsufficientScope:
	// all of them scope-tokens of RFC 6749 section 3.3.
	Scopes []string
}

// Decide judges a routed request of a principal by the rules: the first rule
// that matches decides, else the default action. A principal that the default
// refuses, though an Allow rule failed on nothing but its scopes, is told which
// scopes those are. A request without a credential passes only by a rule that
// says anonymous.
//
// A route that another policy judged is judged again. h may be nil. Decide
// allocates nothing on the way to OK.
func (p *Policy) Decide(route Route, h Header, who Who) Decision {
	if p == nil || !p.compiled {
		return Decision{Reason: KeysUnavailable}
	}
	if route.judge != p {
		route = p.Route(route.line)
	}
	switch {
	case route.reason != "":
		return Decision{Reason: route.reason}
	case !who.isOne():
		return Decision{Reason: MissingCredential}
	case who.Anonymous:
		return p.decideAnonymous(route)
	}
	return p.decideVerified(route, h, who)
}

func (p *Policy) decideAnonymous(route Route) Decision {
	path := trimSlash(route.path)
	for i := range p.rules {
		r := &p.rules[i]
		if !r.isForAnonymous() {
			continue
		}
		if _, ok := r.operation(route.line.Method, path); !ok {
			continue
		}
		if r.deny {
			return Decision{Reason: MissingCredential, Rule: r.name}
		}
		return Decision{Reason: OK, Rule: r.name}
	}
	return Decision{Reason: MissingCredential}
}

func (p *Policy) decideVerified(route Route, h Header, who Who) Decision {
	path := trimSlash(route.path)
	var short *rule
	var shortAt binding
	decided := 0
	for i := range p.rules {
		r := &p.rules[i]
		if r.group != 0 && r.group == decided {
			continue
		}
		bound, ok := r.operation(route.line.Method, path)
		if !ok {
			continue
		}
		decided = r.group
		if !r.isFor(h, who, bound) {
			continue
		}
		if r.hasScopes(who, bound) {
			return r.decision()
		}
		if short == nil && !r.deny {
			short, shortAt = r, bound
		}
	}
	switch {
	case p.allowByDefault:
		return Decision{Reason: OK}
	case short != nil:
		return Decision{Reason: InsufficientScope, Rule: short.name, Scopes: short.principal.missing(who.Claims, shortAt)}
	}
	return Decision{Reason: RuleDenied}
}

// rule is a compiled Rule.
type rule struct {
	name      string
	deny      bool
	methods   []string
	paths     []pathPattern
	principal *principal
	// group numbers the rules of one preset, of which the first that is about a request decides; 0 is none.
	group int
	// never is set on an Allow rule with a part that nothing stands behind yet: it must not match by the rest.
	never bool
}

// decision is what a matching rule says to a verified principal.
func (r *rule) decision() Decision {
	if r.deny {
		return Decision{Reason: RuleDenied, Rule: r.name}
	}
	return Decision{Reason: OK, Rule: r.name}
}

// operation reports whether the rule is about the request, and what its
// variables stand for in it.
func (r *rule) operation(method, path string) (binding, bool) {
	if r.never || len(r.methods) > 0 && !slices.Contains(r.methods, method) {
		return binding{}, false
	}
	for i := range r.paths {
		if r.paths[i].matches(path) {
			return binding{path: path, at: r.paths[i].at}, true
		}
	}
	return binding{path: path}, len(r.paths) == 0
}

// isForAnonymous reports whether the rule is about requests without a credential.
func (r *rule) isForAnonymous() bool {
	if r.principal == nil {
		return r.deny
	}
	return r.principal.anonymous
}

// isFor reports whether the rule is about a verified principal, scopes aside.
func (r *rule) isFor(h Header, who Who, b binding) bool {
	switch {
	case r.principal == nil:
		return true
	case r.principal.anonymous:
		return !r.deny
	}
	return r.principal.matches(h, who, b)
}

func (r *rule) hasScopes(who Who, b binding) bool {
	return r.principal == nil || r.principal.hasScopes(who.Claims, b)
}
