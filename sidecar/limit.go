package sidecar

import (
	"net/http"
	"net/url"
	"strings"

	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/policy"
)

// limit refuses what must not be judged at all: heads that were not understood,
// requests before there is a policy, and more requests at once than the policy
// or our memory allows.
func (s *Sidecar) limit(next handler) handler {
	return func(x *exchange) {
		n := s.requests.Add(1)
		defer s.requests.Add(-1)
		switch in := x.site(); {
		case x.refused != 0:
			x.refuse(reasonOf(x.refused), answerToStatus(x.refused))
		case in == nil:
			x.refuse(policy.KeysUnavailable, answerTo(policy.KeysUnavailable, nil))
		case n > in.limits.requests+exemptReserve, n > in.limits.requests && !in.exempts(x):
			x.refuse(policy.RateLimited, overloaded)
		case x.heavy:
			x.refuse(policy.RateLimited, overloaded)
			x.shed()
		default:
			next(x)
		}
	}
}

// exemptReserve is how many requests beyond the limit may be under way as long
// as they are exempt: an agent that is busy must not fail its probes for it, and
// a page whose preflight fails cannot read that the agent is busy.
const exemptReserve = 32

// exempts reports whether the request needs no credential.
func (s *site) exempts(x *exchange) bool {
	return crossorigin.IsPreflight(x.r.Method, x.r.Header) || s.Policy.Route(x.line()).Reason() == policy.Exempt
}

// What the heads of all connections together may take, in bytes. Ordinary heads
// are not counted: their number is bounded elsewhere.
const (
	begunHeads  = 16 << 20 // that are not complete, beyond 4 KiB each
	servedHeads = 32 << 20 // of requests under way, beyond lightHead each
	lightHead   = 4 << 10
	lineCost    = 128 // bytes that a header line costs beside its text
)

// weigh books the memory that a request holds to its end, until its connection
// is settled.
func (s *Sidecar) weigh(next handler) handler {
	return func(x *exchange) {
		weight := headWeight(x.r)
		if x.heavy = !s.served.Take(weight); !x.heavy {
			defer s.served.Give(weight)
		}
		next(x)
	}
}

// headWeight estimates the bytes that the head of a request takes beyond those
// of an ordinary one.
func headWeight(r *http.Request) int64 {
	weight := len(r.RequestURI) - lightHead
	for name, values := range r.Header {
		for _, value := range values {
			weight += len(name) + len(value) + lineCost
		}
	}
	return int64(max(0, weight))
}

// shed lets go of the head of a request that was answered, because its client
// may make us wait for the rest of it. What the record and the connection's end
// need of it stays.
func (x *exchange) shed() {
	kept := make(http.Header)
	if expected := x.r.Header["Expect"]; expected != nil {
		kept["Expect"] = expected
	}
	path, _, _ := cutTarget(x.r.RequestURI)
	x.r.Header, x.r.URL = kept, &url.URL{}
	x.r.RequestURI = strings.Clone(clip(path)) // all three were one text
	x.r.Method, x.r.Proto = strings.Clone(x.r.Method), strings.Clone(x.r.Proto)
}

// reasonOf is the reason for which a head was refused with this status.
func reasonOf(status int) policy.Reason {
	switch status {
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return policy.RequestTooLarge
	case http.StatusMethodNotAllowed:
		return policy.MethodNotAllowed
	case http.StatusServiceUnavailable:
		return policy.RateLimited
	}
	return policy.BadRequest
}

// answerToStatus is the answer to a head that was refused with this status.
func answerToStatus(status int) answer {
	if status == http.StatusServiceUnavailable {
		return overloaded
	}
	a := answerTo(reasonOf(status), nil)
	a.status = status
	return a
}
