package sidecar

import (
	"context"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// query is all that the guard sees of a request, so that it can stand behind
// another transport.
type query struct {
	policy.RequestLine

	header    policy.Header
	webSocket bool // the request is a full WebSocket handshake
}

// judgement is what the guard found.
type judgement struct {
	policy.Decision

	outcome token.Outcome
	persona *persona // of the verified token
	carrier *source  // where the verified token was
}

// judge decides on one request: the route first, then the origin of a
// WebSocket, then the credential, then what its principal may do. It waits only
// for a remote key set, and no longer than ctx.
func (s *site) judge(ctx context.Context, q query, now time.Time) judgement {
	route := s.Policy.Route(q.RequestLine)
	switch reason := route.Reason(); {
	case reason != "" && reason != policy.Exempt:
		return denied(reason)
	case q.webSocket && !s.cors.mayOpen(q.header):
		return denied(policy.OriginDenied)
	case reason == policy.Exempt, q.webSocket && s.deferred[route.Path()]:
		return judgement{Decision: policy.Decision{Reason: policy.Exempt}}
	}
	found, reason := s.extract(&q)
	switch {
	case reason == policy.MissingCredential:
		return judgement{Decision: s.Policy.Decide(route, q.header, policy.Who{Anonymous: true})}
	case reason != "":
		return denied(reason)
	case found.carrier.kind == inCookie && !s.cors.maySend(&q):
		return denied(policy.OriginDenied)
	}
	return s.judgeToken(ctx, route, &q, &found, now)
}

// judgeToken verifies a token and decides what its principal may do.
func (s *site) judgeToken(ctx context.Context, route policy.Route, q *query, from *credential, now time.Time) judgement {
	outcome, who := s.verify(ctx, from, now)
	found := judgement{outcome: outcome, persona: who, Decision: policy.Decision{Reason: outcome.Reason}}
	if !outcome.Verified.Valid() {
		if found.Reason == policy.OK { // nobody is verified, whatever is said
			found.Reason = policy.SignatureInvalid
		}
		return found
	}
	found.carrier = from.carrier
	found.Decision = s.Policy.Decide(route, q.header, policy.Who{
		Provider: outcome.Verified.Provider(), Claims: outcome.Verified.Claims(),
	})
	return found
}

func denied(reason policy.Reason) judgement {
	return judgement{Decision: policy.Decision{Reason: reason}}
}

// guard lets a request go on, or answers why not.
func (s *Sidecar) guard(next handler) handler {
	return func(x *exchange) {
		in := x.site()
		x.webSocket = isWebSocket(x.r)
		began := time.Now()
		found := in.judge(x.r.Context(), query{
			RequestLine: x.line(),
			header:      x.r.Header,
			webSocket:   x.webSocket,
		}, began)
		x.judged = time.Since(began)
		x.outcome, x.rule, x.reason, x.carrier = found.outcome, found.Rule, found.Reason, found.carrier
		x.persona = found.persona
		if found.outcome.Reason != "" {
			s.countToken(&found.outcome, began)
		}
		switch {
		case found.Reason == policy.OK:
			x.decision = decisionAllow
		case found.Reason == policy.Exempt:
			x.decision = decisionExempt
		case in.audit && isAudited(found.Reason):
			x.decision = decisionAudit
		default:
			x.refuse(found.Reason, answerTo(found.Reason, found.Scopes))
			return
		}
		next(x)
	}
}

// isAudited reports whether a refusal for this reason is only counted under
// Audit (decision 14): what credentials and rules decide. What could be read in
// two ways, is too large, or comes from another origin is refused all the same.
func isAudited(reason policy.Reason) bool {
	switch reason {
	case policy.AmbiguousCredentials, policy.BadRequest, policy.MethodNotAllowed, policy.OriginDenied,
		policy.RateLimited, policy.RequestTooLarge, policy.TokenTooLarge:
		return false
	default:
		return true
	}
}
