package sidecar

import (
	"net/http"
	"strings"

	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/policy"
)

// cors is a policy's CORS section made ready. The zero cors allows no origin.
type cors struct {
	crossorigin.Rules

	passthrough bool // the agent's answers keep the agent's own headers
}

// newCORS prepares c; nil allows no origin.
func newCORS(c *policy.CORS) cors {
	return cors{Rules: crossorigin.New(c), passthrough: c != nil && c.Mode == policy.CORSPassthrough}
}

// replace puts the sidecar's CORS headers in the place of the agent's.
func (c *cors) replace(h, request http.Header) {
	if c.passthrough {
		return
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if _, ok := c.Allows(request); ok {
		c.Mark(h, request, c.Exposed()+", Mcp-Session-Id")
		return
	}
	if c.Any() {
		crossorigin.AddVary(h, "Origin")
	}
}

// preflight answers what a browser asks before it sends a request of another
// origin: without a token, and never by the agent.
func (s *Sidecar) preflight(next handler) handler {
	return func(x *exchange) {
		if !crossorigin.IsPreflight(x.r.Method, x.r.Header) {
			next(x)
			return
		}
		result := "refused"
		if x.site().cors.Preflight(x.w.Header(), x.r.Header) {
			result = "allowed"
		}
		s.metrics.preflights.WithLabelValues(result).Inc()
		x.decision, x.reason, x.preflight = decisionExempt, policy.Exempt, true
		x.w.WriteHeader(http.StatusNoContent)
	}
}
