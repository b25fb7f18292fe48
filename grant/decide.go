package grant

import "time"

// Principal is who asks for a token, verified by the issuer. Exactly one of
// Provider, Introspected, Client, User, ServiceAccount and Anonymous says who it
// is, except that a Client may come with each of the others but Anonymous: it
// authenticated itself beside them. The zero Principal is nobody.
// +kubebuilder:object:generate=false
type Principal struct {
	// Provider is the session provider that vouches for Claims.
	Provider string
	// Introspected says that Claims are the answer of spec.session.introspection.
	Introspected bool
	// Client is the OAuth client that proved its secret.
	Client *Client
	// User is the name of a user whose password was right.
	User string
	// ServiceAccount is the name of a service account of the issuer's own
	// namespace, as Plan.ServiceAccount returns it.
	ServiceAccount string
	// Anonymous is the subject of a visitor: unique and unguessable, made by the
	// caller. Never set it because a credential was wrong.
	Anonymous string
	// Claims are what the session says, their values of the types string, bool,
	// json.Number, nil, []any and map[string]any.
	Claims map[string]any
	// NotAfter is when the session expires; the zero time: not known.
	NotAfter time.Time
}

// Client is an OAuth client that has proved its secret.
// +kubebuilder:object:generate=false
type Client struct {
	// ID is the client_id.
	ID string
	// Scopes are what it may ask for.
	Scopes []string
	// Claims are the further claims of its APIKey.
	Claims map[string]string
}

// Request is what is asked for, as it came.
// +kubebuilder:object:generate=false
type Request struct {
	// Grant is by which grant.
	Grant Grant
	// Scope is the parameter scope: words (RFC 6749 section 3.3); empty: what may be
	// had.
	Scope string
	// Targets are the parameters resource (RFC 8707) and audience (RFC 8693 section
	// 2.1) in their order; none: every audience.
	Targets []string
	// Earlier is what the refresh token stands for, with GrantRefreshToken only.
	Earlier *Earlier
}

// Earlier is what a refresh token remembers of the token it came with.
// +kubebuilder:object:generate=false
type Earlier struct {
	// Grant is how the first token was got.
	Grant Grant
	// Scopes and Audiences are those of the first token: a later one has no more.
	Scopes, Audiences []string
}

// Ticket is a token that may be signed: all of its claims but iss, iat, exp and
// jti.
// +kubebuilder:object:generate=false
type Ticket struct {
	// Subject is the claim sub.
	Subject string
	// Audiences is the claim aud, at least one.
	Audiences []string
	// Scopes are the granted scopes, in the order of the spec. They are in Claims
	// too.
	Scopes []string
	// Claims are the further claims: scope and scopes where there are any, client_id
	// where a client is known, and those of spec.claims.
	Claims map[string]any
	// Lifetime is exp less iat.
	Lifetime time.Duration
	// Type is the typ of the header.
	Type string
}

// Decide says whether the principal gets a token, and which. The error is of type
// *Refusal.
func (p *Plan) Decide(r Request, who Principal, now time.Time) (Ticket, error) {
	return Ticket{}, &Refusal{UnsupportedGrantType, "the issuer does not have this grant"}
}

// ServiceAccount is the name of the service account that a verified token of the
// cluster stands for, if it may be exchanged: one that the spec names, of the
// issuer's own namespace, projected for the audience that the spec says.
func (p *Plan) ServiceAccount(namespace, subject string, audiences []string) (string, error) {
	return "", &Refusal{InvalidGrant, "the subject token is not accepted here"}
}
