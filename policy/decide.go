package policy

// Header gives the values of a request header by its canonical name
// (X-Tenant-Id), in the order they came. http.Header is one.
// +kubebuilder:object:generate=false
type Header interface {
	Values(name string) []string
}

// Who is who asks. The zero Who is nobody and is refused everything.
// +kubebuilder:object:generate=false
type Who struct {
	// Anonymous says that the request carried no credential at all. Never set it because a credential was wrong.
	Anonymous bool
	// Provider is the JWT provider that vouches for Claims; empty, nobody does.
	Provider string
	// Claims are the verified claims, their values of the types string, bool,
	// json.Number, nil, []any and map[string]any. A number never equals a text.
	Claims map[string]any
}

// Decision is what becomes of a request. The zero Decision denies.
// +kubebuilder:object:generate=false
type Decision struct {
	// Reason says why; only OK and Exempt let the request pass.
	Reason Reason
	// Rule is the name of the rule that decided; empty when none did.
	Rule string
	// Scopes are what WWW-Authenticate names as missing with InsufficientScope:
	// all of them scope-tokens of RFC 6749 section 3.3.
	Scopes []string
}

// Decide judges a routed request of a principal by the rules.
func (p *Policy) Decide(route Route, h Header, who Who) Decision {
	return Decision{Reason: KeysUnavailable}
}
