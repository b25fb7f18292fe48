package issuer

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/issuer/refresh"
)

// remembered is what a family of refresh tokens stands for.
type remembered struct {
	grant.Earlier

	user   string
	client string   // that proved its secret when the family began; empty: none
	mark   [32]byte // of the user's password
}

// remember begins a family of refresh tokens. Where there is no room for it, the
// answer comes without one.
func (i *Issuer) remember(x *exchange, asked asking, user string, ticket grant.Ticket) string {
	mark, known := x.in.Users.Mark(user)
	if !known {
		return ""
	}
	family := remembered{
		Earlier: grant.Earlier{Grant: grant.GrantPassword, Scopes: ticket.Scopes, Audiences: ticket.Audiences},
		user:    user, client: asked.clientID(), mark: mark,
	}
	text, err := i.families.Begin(user, family, x.in.terms())
	if err != nil {
		i.log.WarnContext(x.r.Context(), "no refresh token was given", "decision_id", x.id, "error", err.Error())
		return ""
	}
	return text
}

// terms are how long refresh tokens live.
func (s *site) terms() refresh.Terms {
	if s.spec.RefreshToken == nil {
		return refresh.Terms{}
	}
	return refresh.Terms{Lifetime: s.spec.RefreshToken.Lifetime.Duration, ReuseGrace: s.spec.RefreshToken.ReuseGrace.Duration}
}

// clientID is the client that proved its secret; empty: none did.
func (a *asking) clientID() string {
	if a.client == nil {
		return ""
	}
	return a.client.ID
}

// Why a family is not renewed. Another client's attempt does not end it: it may be
// anybody's.
var (
	errClient = errors.New("the client is not the one that logged in")
	errUser   = fmt.Errorf("the user is gone or has another password: %w", refresh.ErrEnd)
)

// grantRefresh is RFC 6749 section 6. A refresh token is used only when there will
// be an answer: whatever can refuse the request is asked before.
func (i *Issuer) grantRefresh(x *exchange, asked asking) {
	given := asked.body.get("refresh_token")
	if given == "" {
		i.refuseTicket(x, &grant.Refusal{Code: grant.InvalidRequest, Description: "The parameter refresh_token is missing"})
		return
	}
	var ticket grant.Ticket
	_, next, err := i.families.Redeem(given, func(family remembered) (err error) {
		ticket, err = x.in.renew(x, asked, &family)
		return err
	})
	if refused, ok := errors.AsType[*grant.Refusal](err); ok {
		i.refuseTicket(x, refused)
		return
	}
	if err != nil {
		x.why = err.Error()
		x.refuse(string(grant.InvalidGrant), refusal(grant.InvalidGrant, "The refresh token is not valid any more: log in again"))
		return
	}
	text, err := i.sign(x, ticket)
	if err != nil { // the next token is lost, and within its grace this one yields it again
		i.fail(x, err)
		return
	}
	answer := answerOf(text, ticket)
	answer.RefreshToken = next
	i.give(x, answer)
}

// renew decides about the token that a family still stands for.
func (s *site) renew(x *exchange, asked asking, family *remembered) (grant.Ticket, error) {
	mark, known := s.Users.Mark(family.user)
	same := subtle.ConstantTimeCompare(mark[:], family.mark[:]) == 1
	switch {
	case asked.clientID() != family.client:
		return grant.Ticket{}, errClient
	case !known || !same:
		return grant.Ticket{}, errUser
	}
	request := asked.request
	request.Earlier = &family.Earlier
	return s.Plan.Decide(request, grant.Principal{User: family.user, Client: asked.client}, x.start)
}
