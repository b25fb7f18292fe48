package sidecar

import (
	"net/http"

	"gatepost.dev/gatepost/policy"
)

// limit refuses what must not be judged at all: heads that were not understood,
// requests before there is a policy, and more requests at once than the policy
// allows.
func (s *Sidecar) limit(next handler) handler {
	return func(x *exchange) {
		n := s.requests.Add(1)
		defer s.requests.Add(-1)
		switch in := x.site(); {
		case x.refused != 0:
			x.refuse(reasonOf(x.refused), answerToStatus(x.refused))
		case in == nil:
			x.refuse(policy.KeysUnavailable, answerTo(policy.KeysUnavailable, nil))
		case n > in.limits.requests:
			x.refuse(policy.RateLimited, overloaded)
		default:
			next(x)
		}
	}
}

// reasonOf is the reason for which a head was refused with this status.
func reasonOf(status int) policy.Reason {
	switch status {
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return policy.RequestTooLarge
	case http.StatusMethodNotAllowed:
		return policy.MethodNotAllowed
	}
	return policy.BadRequest
}

// answerToStatus is the answer to a head that was refused with this status.
func answerToStatus(status int) answer {
	a := answerTo(reasonOf(status), nil)
	a.status = status
	return a
}
