package issuer

import (
	"context"
	"errors"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/password"
)

// hashTimeout is how long a password may wait for its turn to be hashed.
const hashTimeout = 5 * time.Second

// describeWrong is all that anybody learns who gives a wrong password.
const describeWrong = "Wrong user name or password"

// grantPassword is RFC 6749 section 4.3. How often a password may be tried is
// decided before it is hashed.
func (i *Issuer) grantPassword(x *exchange, asked asking) {
	name, secret := asked.body.get("username"), asked.body.get("password")
	if name == "" || secret == "" {
		i.refuseTicket(x, &grant.Refusal{Code: grant.InvalidRequest, Description: "The parameters username and password are required"})
		return
	}
	attempt, wait := x.in.limits.logins.Admit(name, x.address(), x.start)
	if wait > 0 {
		i.count(x, limitLogin)
		x.refuse(resultLimited, tooMany.after(wait))
		return
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), hashTimeout)
	defer cancel()
	switch err := i.hasher.Verify(ctx, x.in.Users, name, secret); {
	case err == nil:
		attempt.WasRight(x.start)
	case errors.Is(err, password.ErrWrong):
		i.refuseTicket(x, &grant.Refusal{Code: grant.InvalidGrant, Description: describeWrong})
		return
	default: // too many at once, or nobody waits for the answer any more
		attempt.DoesNotCount()
		i.count(x, limitHashing)
		x.refuse(resultUnavailable, overloaded)
		return
	}
	text, ticket, ok := i.issue(x, asked.request, grant.Principal{User: name, Client: asked.client})
	if !ok {
		return
	}
	answer := answerOf(text, ticket)
	if x.in.Plan.IssuesRefreshTokens(grant.GrantPassword) {
		answer.RefreshToken = i.remember(x, asked, name, ticket)
	}
	i.give(x, answer)
}
