package issuer

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/token"
)

// issue decides about a request and signs the token, or answers why there is none.
func (i *Issuer) issue(x *exchange, request grant.Request, who grant.Principal) (string, grant.Ticket, bool) {
	ticket, err := x.in.Plan.Decide(request, who, x.start)
	if err != nil {
		i.refuseTicket(x, err)
		return "", grant.Ticket{}, false
	}
	text, err := i.sign(x, ticket)
	switch {
	case errors.Is(err, errNoKey):
		x.refuse(resultUnavailable, unavailable)
		return "", grant.Ticket{}, false
	case err != nil:
		i.fail(x, err)
		return "", grant.Ticket{}, false
	}
	return text, ticket, true
}

// refuseTicket answers what package grant refused.
func (i *Issuer) refuseTicket(x *exchange, err error) {
	refused, ok := errors.AsType[*grant.Refusal](err)
	if !ok {
		i.fail(x, err)
		return
	}
	x.why = refused.Description
	if x.to != toToken && refused.Code == grant.InvalidGrant { // pages read this one
		x.refuse(string(refused.Code), invalidToken)
		return
	}
	x.refuse(string(refused.Code), oauth(refused))
}

// errNoKey says that nobody may sign at the moment.
var errNoKey = errors.New("no key may sign now")

// sign signs a ticket with the key that is in force at this very moment, which may
// be a later one than when the request came: so nothing that was asked for before
// a rotation is refused, and nothing is signed with a key that was taken away.
func (i *Issuer) sign(x *exchange, ticket grant.Ticket) (string, error) {
	id, err := i.randomID()
	if err != nil {
		return "", err
	}
	x.subject = i.hashSubject(x.in, ticket.Subject)
	now := i.config.Now()
	claims := maps.Clone(ticket.Claims)
	if claims == nil {
		claims = map[string]any{}
	}
	claims["iss"], claims["sub"], claims["aud"] = x.in.spec.Issuer, ticket.Subject, audienceOf(ticket.Audiences)
	claims["iat"], claims["exp"], claims["jti"] = now.Unix(), expiry(now, ticket.Lifetime), id
	i.signing.RLock()
	defer i.signing.RUnlock()
	signer := &i.current.Load().Signer
	if !signer.CanSign() {
		return "", errNoKey
	}
	text, err := token.Mint(signer.Key, map[string]any{"typ": ticket.Type}, claims)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	x.kid = signer.Key.KID
	return text, nil
}

// audienceOf is one audience as a text and several as a list (RFC 7519 section
// 4.1.3).
func audienceOf(audiences []string) any {
	if len(audiences) == 1 {
		return audiences[0]
	}
	return audiences
}

// expiry is exp, in whole seconds: no token lives longer than it may.
func expiry(now time.Time, lifetime time.Duration) int64 {
	return now.Unix() + int64(lifetime/time.Second)
}
