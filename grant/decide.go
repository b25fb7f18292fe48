package grant

import (
	"encoding/json"
	"time"
)

// Request is what is asked for, as it came.
// +kubebuilder:object:generate=false
type Request struct {
	// Grant is by which grant.
	Grant Grant
	// Scope is the parameter scope: words (RFC 6749 section 3.3); empty: what may be
	// had.
	Scope string
	// Targets are the parameters resource (RFC 8707) and audience (RFC 8693 section
	// 2.1) in their order; none: every audience. Empty ones count as absent.
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
// jti. The zero Ticket is for nobody.
// +kubebuilder:object:generate=false
type Ticket struct {
	// Subject is the claim sub.
	Subject string
	// Audiences is the claim aud, at least one.
	Audiences []string
	// Scopes are the granted scopes, in the order in which they are allowed. They are
	// in Claims too.
	Scopes []string
	// Claims are the further claims: scope and scopes where there are any, client_id
	// where a client is known, and those of spec.claims.
	Claims map[string]any
	// Lifetime is exp less iat.
	Lifetime time.Duration
	// Type is the typ of the header.
	Type string
}

// maxClaims bounds the JSON of a ticket's further claims, in bytes: agents take
// headers of 16 KiB at most, and a session may say anything.
const maxClaims = 6 << 10

// Decide says whether the principal gets a token, and which. The error is of type
// *Refusal.
func (p *Plan) Decide(r Request, who Principal, now time.Time) (Ticket, error) {
	if !p.Offers(r.Grant) {
		return Ticket{}, &Refusal{UnsupportedGrantType, "this issuer does not have the grant"}
	}
	asker, refusal := p.admit(r, who)
	if refusal != nil {
		return Ticket{}, refusal
	}
	if !who.NotAfter.IsZero() && !who.NotAfter.After(now) {
		return Ticket{}, &Refusal{asker.code, "the session has expired"}
	}
	allowed, audiences := asker.scopes, p.spec.Audiences
	if r.Earlier != nil {
		allowed, audiences = common(allowed, r.Earlier.Scopes), common(audiences, r.Earlier.Audiences)
	}
	granted, refusal := narrow(allowed, r.Scope)
	if refusal != nil {
		return Ticket{}, refusal
	}
	audiences, refusal = target(audiences, r.Targets)
	if refusal != nil {
		return Ticket{}, refusal
	}
	ticket := Ticket{
		Subject: asker.subject, Audiences: audiences, Scopes: granted, Claims: p.claims(asker, granted),
		Lifetime: p.Lifetime(now, who.NotAfter), Type: p.spec.TokenType,
	}
	if text, err := json.Marshal(ticket.Claims); err != nil || len(text) > maxClaims {
		return Ticket{}, &Refusal{asker.code, "the session says more than fits into a token"}
	}
	return ticket, nil
}
