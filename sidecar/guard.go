package sidecar

import (
	"context"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// query is all that the guard sees of a request, so that it can stand behind
// another transport.
type query struct {
	policy.RequestLine

	header    policy.Header
	webSocket bool // the request is a full WebSocket handshake
	held      bool // the client was refused too often: nothing new is verified
}

// judgement is what the guard found.
type judgement struct {
	policy.Decision

	outcome token.Outcome
	key     apikey.Outcome // its Reason is empty without an API key
	persona *persona       // of the verified token or key
	carrier *source        // where the verified token was
	keyIn   string         // canonical name of the header that carried the verified key
	until   time.Time      // when an API key expires; zero: never, or it is a token

	deferred bool // the agent judges the handshake itself
}

// judge decides on one request: the route first, then what a WebSocket offers
// and its origin, then the credential, then what its principal may do. It waits
// only for a remote key set, and no longer than ctx.
func (s *site) judge(ctx context.Context, q query, now time.Time) judgement {
	route := s.Policy.Route(q.RequestLine)
	if found, ok := s.judgeLine(route, &q); ok {
		return found
	}
	found, reason := s.extract(&q)
	if key, ok := s.keys.find(q.header); ok {
		return s.judgeKey(route, &q, key, reason != policy.MissingCredential, now)
	}
	switch {
	case reason == policy.MissingCredential:
		return q.unlessHeld(s.Policy.Decide(route, q.header, policy.Who{Anonymous: true}))
	case reason != "":
		return q.unlessHeld(policy.Decision{Reason: reason})
	case found.carrier.kind == inCookie && !s.cors.maySend(&q):
		return denied(policy.OriginDenied)
	}
	return s.judgeToken(ctx, route, &q, &found, now)
}

// judgeLine decides on what needs no look at a credential, if it is such.
func (s *site) judgeLine(route policy.Route, q *query) (found judgement, ok bool) {
	reason := route.Reason()
	switch {
	case reason != "" && reason != policy.Exempt:
		return denied(reason), true
	case !q.webSocket:
	case s.protocols && !areProtocols(q.header.Values(protocolHeader)):
		return denied(policy.BadRequest), true
	case !s.cors.mayOpen(q.header):
		return denied(policy.OriginDenied), true
	case reason == "" && s.deferred[route.Path()]:
		return s.judgeDeferred(route, q), true
	}
	return judgement{Decision: policy.Decision{Reason: reason}}, reason == policy.Exempt
}

// judgeDeferred leaves a handshake to the agent, unless a rule denies it to who
// has no credential: none would be looked at, so that asking for one is no use.
func (s *site) judgeDeferred(route policy.Route, q *query) judgement {
	found := judgement{deferred: true, Decision: policy.Decision{Reason: policy.Exempt}}
	if d := s.Policy.Decide(route, q.header, policy.Who{Anonymous: true}); d.Reason != policy.OK && d.Rule != "" {
		found = q.unlessHeld(policy.Decision{Reason: policy.RuleDenied, Rule: d.Rule})
		found.deferred = true
	}
	return found
}

// judgeToken verifies a token and decides what its principal may do.
func (s *site) judgeToken(ctx context.Context, route policy.Route, q *query, from *credential, now time.Time) judgement {
	outcome, who := s.remembered(from, now)
	switch {
	case outcome.Reason == policy.OK:
	case q.held:
		return denied(policy.RateLimited)
	default:
		outcome, who = s.verify(ctx, from, now)
	}
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

// unlessHeld is what was decided on a request without a token that could be
// verified, but for a client that is held back.
func (q *query) unlessHeld(decision policy.Decision) judgement {
	if q.held && decision.Reason != policy.OK {
		return denied(policy.RateLimited)
	}
	return judgement{Decision: decision}
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
		wait := in.heldBack(x, began)
		found := in.judge(x.r.Context(), query{
			RequestLine: x.line(),
			header:      x.r.Header,
			webSocket:   x.webSocket,
			held:        wait > 0,
		}, began)
		x.judged = time.Since(began)
		x.take(in, &found)
		if found.outcome.Reason != "" {
			s.countToken(&found.outcome, began)
		}
		if found.key.Reason != "" {
			s.countKey(in.keys, &found.key)
		}
		switch {
		case found.Reason == policy.OK:
			x.decision = decisionAllow
		case found.Reason == policy.Exempt:
			x.decision = decisionExempt
		case in.audit && isAudited(found.Reason):
			x.decision = decisionAudit
		default:
			in.chargeFor(x, began)
			x.refuse(found.Reason, in.answerTo(&found).after(wait))
			return
		}
		next(x)
	}
}

// take notes what the guard found.
func (x *exchange) take(in *site, found *judgement) {
	x.outcome, x.rule, x.reason, x.carrier = found.outcome, found.Rule, found.Reason, found.carrier
	x.outcome.Verified = nil // its claims may be large, and a stream is long
	if v := found.outcome.Verified; v.Valid() {
		x.expires = v.Expires()
	}
	x.persona, x.until = found.persona, in.streams.of(found)
	x.keyIn, x.client = found.keyIn, found.key.Owner
	x.deferred = found.deferred && !in.audit // an audit breaks nothing
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
