package sidecar

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar/wire"
)

// ownExposed are the headers of the sidecar's own answers that a page may read.
const ownExposed = "WWW-Authenticate, Retry-After, X-Gatepost-Decision"

// cors is a policy's CORS section made ready (Fetch standard, CORS protocol).
// The zero cors allows no origin.
type cors struct {
	passthrough bool // the agent's answers keep the agent's own headers
	any         bool
	origins     []string
	credentials bool
	methods     string
	headers     string
	mcpParams   bool   // the headers mcp-param-* may be asked for too
	exposed     string // of the sidecar's answers
	maxAge      string // seconds
}

// newCORS prepares c; nil allows no origin.
func newCORS(c *policy.CORS) cors {
	if c == nil {
		return cors{exposed: ownExposed}
	}
	made := cors{
		passthrough: c.Mode == policy.CORSPassthrough,
		any:         slices.Contains(c.AllowOrigins, "*"),
		origins:     c.AllowOrigins,
		credentials: c.AllowCredentials,
		headers:     strings.Join(c.AllowHeaders, ", "),
		mcpParams:   slices.ContainsFunc(c.AllowHeaders, func(h string) bool { return wire.Is(h, "mcp-method") }),
		exposed:     strings.Join(append([]string{ownExposed}, c.ExposeHeaders...), ", "),
	}
	methods := make([]string, len(c.AllowMethods))
	for i, m := range c.AllowMethods {
		methods[i] = string(m)
	}
	made.methods = strings.Join(methods, ", ")
	if c.MaxAge != nil {
		made.maxAge = strconv.Itoa(int(c.MaxAge.Seconds()))
	}
	return made
}

// allows reports whether pages of the request's origin may read answers, and
// what Access-Control-Allow-Origin says then. A request without an Origin, with
// several or with the opaque origin null is allowed nothing.
func (c *cors) allows(h policy.Header) (origin string, ok bool) {
	values := h.Values("Origin")
	if len(values) != 1 || values[0] == "null" || values[0] == "" {
		return "", false
	}
	switch {
	case slices.Contains(c.origins, values[0]):
		return values[0], true
	case c.any:
		return "*", true
	}
	return "", false
}

// mark writes the headers by which the page of the request may read an answer,
// once, into h.
func (c *cors) mark(h, request http.Header, exposed string) {
	addVary(h, "Origin")
	h["Access-Control-Expose-Headers"] = []string{exposed}
	origin, ok := c.allows(request)
	if !ok {
		return
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	if c.credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
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
	if _, ok := c.allows(request); ok {
		c.mark(h, request, c.exposed+", Mcp-Session-Id")
		return
	}
	if len(c.origins) > 0 {
		addVary(h, "Origin")
	}
}

// addVary adds name to Vary and keeps what is there.
func addVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, name) {
				return
			}
		}
	}
	h["Vary"] = append(slices.Clone(h["Vary"]), name)
}

// isPreflight reports whether the request is a browser's question before the
// real one. Any other OPTIONS is a request like others.
func isPreflight(method string, h http.Header) bool {
	return method == http.MethodOptions && len(h["Origin"]) > 0 && len(h["Access-Control-Request-Method"]) > 0
}

// preflight answers what a browser asks before it sends a request of another
// origin: without a token, and never by the agent.
func (s *Sidecar) preflight(next handler) handler {
	return func(x *exchange) {
		if !isPreflight(x.r.Method, x.r.Header) {
			next(x)
			return
		}
		c := &x.site().cors
		h := x.w.Header()
		result := "refused"
		if _, ok := c.allows(x.r.Header); ok {
			result = "allowed"
			c.mark(h, x.r.Header, c.exposed)
			h["Access-Control-Allow-Methods"] = []string{c.methods}
			h["Access-Control-Allow-Headers"] = []string{c.headers + c.askedParams(x.r.Header)}
			if c.maxAge != "" {
				h["Access-Control-Max-Age"] = []string{c.maxAge}
			}
		}
		addVary(h, "Origin")
		addVary(h, "Access-Control-Request-Method")
		addVary(h, "Access-Control-Request-Headers")
		h["Cache-Control"] = []string{"no-store"}
		s.metrics.preflights.WithLabelValues(result).Inc()
		x.decision, x.reason, x.preflight = decisionExempt, policy.Exempt, true
		x.w.WriteHeader(http.StatusNoContent)
	}
}

// askedParams are the headers mcp-param-* that the preflight asks for: MCP
// clients name them after a tool's parameters, so no list can hold them.
func (c *cors) askedParams(h http.Header) string {
	if !c.mcpParams {
		return ""
	}
	var asked strings.Builder
	for name := range strings.SplitSeq(strings.Join(h["Access-Control-Request-Headers"], ","), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "mcp-param-") && isHeaderName(name) {
			asked.WriteString(", " + name)
		}
	}
	return asked.String()
}

func isHeaderName(name string) bool {
	return len(name) <= 128 && strings.IndexFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) < 0
}
