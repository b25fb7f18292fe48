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
	origin    bool // its Origin, if it has one, may open a WebSocket
}

// judgement is what the guard found.
type judgement struct {
	policy.Decision

	outcome token.Outcome
	persona *persona // of the verified token
	carrier string   // the header that carried the verified token
}

// judge decides on one request: the route first, then the origin of a
// WebSocket, then the credential, then what its principal may do. It waits only
// for a remote key set, and no longer than ctx.
func (s *site) judge(ctx context.Context, q query, now time.Time) judgement {
	route := s.Policy.Route(q.RequestLine)
	switch reason := route.Reason(); {
	case reason != "" && reason != policy.Exempt:
		return denied(reason)
	case q.webSocket && !q.origin:
		return denied(policy.OriginDenied)
	case reason == policy.Exempt:
		return judgement{Decision: policy.Decision{Reason: reason}}
	}
	raw, carrier, reason := s.extract(q.header)
	switch reason {
	case "":
	case policy.MissingCredential:
		return judgement{Decision: s.Policy.Decide(route, q.header, policy.Who{Anonymous: true})}
	default:
		return denied(reason)
	}
	outcome, who := s.verify(ctx, raw, q.header.Values(carrier)[0], now)
	found := judgement{outcome: outcome, persona: who, Decision: policy.Decision{Reason: outcome.Reason}}
	if !outcome.Verified.Valid() {
		if found.Reason == policy.OK { // nobody is verified, whatever is said
			found.Reason = policy.SignatureInvalid
		}
		return found
	}
	found.carrier = carrier
	found.Decision = s.Policy.Decide(route, q.header, policy.Who{
		Provider: outcome.Verified.Provider(), Claims: outcome.Verified.Claims(),
	})
	return found
}

func denied(reason policy.Reason) judgement {
	return judgement{Decision: policy.Decision{Reason: reason}}
}

// extract finds the one token of a request among the headers that may carry it.
func (s *site) extract(h policy.Header) (raw token.Raw, carrier string, reason policy.Reason) {
	reason = policy.MissingCredential
	for _, from := range s.sources {
		values := h.Values(from.name)
		if len(values) == 0 {
			continue
		}
		found, why := token.Extract(values, from.prefix, s.maxToken)
		switch {
		case why == policy.MissingCredential:
		case reason != policy.MissingCredential:
			return token.Raw{}, "", policy.AmbiguousCredentials
		default:
			raw, carrier, reason = found, from.name, why
		}
	}
	return raw, carrier, reason
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
			origin:      in.cors.mayOpen(x.r.Header),
		}, began)
		x.judged = time.Since(began)
		x.outcome, x.rule, x.reason, x.carrier = found.outcome, found.Rule, found.Reason, found.carrier
		x.persona = found.persona
		if found.outcome.Reason != "" {
			s.countToken(&found.outcome, began)
		}
		switch found.Reason {
		case policy.OK:
			x.decision = decisionAllow
		case policy.Exempt:
			x.decision = decisionExempt
		default:
			x.refuse(found.Reason, answerTo(found.Reason, found.Scopes))
			return
		}
		next(x)
	}
}
