// Package crossorigin is what a CORS section means on the wire (Fetch standard,
// CORS protocol): which pages may read our answers, and what a browser is told
// that asks before it sends a request. The sidecar and the issuer share it, so
// that one list of origins means the same in both.
package crossorigin

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/policy"
)

// Exposed are the headers of our own answers that a page may read.
const Exposed = "WWW-Authenticate, Retry-After, X-Gatepost-Decision"

// Rules are a CORS section made ready. The zero Rules allow no origin.
type Rules struct {
	any         bool
	origins     []string
	credentials bool
	methods     string
	headers     string
	mcpParams   bool   // the headers mcp-param-* may be asked for too
	exposed     string // of our own answers
	maxAge      string // seconds
}

// New prepares a section of a compiled policy; nil allows no origin.
func New(c *policy.CORS) Rules {
	if c == nil {
		return Rules{exposed: Exposed}
	}
	made := Rules{
		any:         slices.Contains(c.AllowOrigins, "*"),
		origins:     c.AllowOrigins,
		credentials: c.AllowCredentials,
		headers:     strings.Join(c.AllowHeaders, ", "),
		mcpParams:   slices.ContainsFunc(c.AllowHeaders, func(h string) bool { return policy.EqualFoldASCII(h, "mcp-method") }),
		exposed:     strings.Join(append([]string{Exposed}, c.ExposeHeaders...), ", "),
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

// Allows reports whether pages of the request's origin may read answers, and
// what Access-Control-Allow-Origin says then. A request without an Origin, with
// several or with the opaque origin null is allowed nothing.
func (r *Rules) Allows(h policy.Header) (origin string, ok bool) {
	values := h.Values("Origin")
	if len(values) != 1 || values[0] == "null" || values[0] == "" {
		return "", false
	}
	switch {
	case slices.Contains(r.origins, values[0]):
		return values[0], true
	case r.any:
		return "*", true
	}
	return "", false
}

// Lists reports whether the request comes from exactly one page whose origin is
// listed by name: a list that allows every origin lists none.
func (r *Rules) Lists(h policy.Header) bool {
	values := h.Values("Origin")
	return len(values) == 1 && values[0] != "*" && slices.Contains(r.origins, values[0])
}

// Any reports whether some origin may be allowed, so that answers depend on it.
func (r *Rules) Any() bool { return len(r.origins) > 0 }

// Exposed are the headers of our own answers that a page may read.
func (r *Rules) Exposed() string { return cmp.Or(r.exposed, Exposed) }

// Mark writes the headers by which the page of the request may read an answer,
// once, into h.
func (r *Rules) Mark(h, request http.Header, exposed string) {
	AddVary(h, "Origin")
	h["Access-Control-Expose-Headers"] = []string{exposed}
	origin, ok := r.Allows(request)
	if !ok {
		return
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	if r.credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
}

// Preflight writes what a browser is told that asks before it sends a request,
// and reports whether its page's origin is allowed.
func (r *Rules) Preflight(h, request http.Header) bool {
	_, ok := r.Allows(request)
	if ok {
		r.Mark(h, request, r.exposed)
		h["Access-Control-Allow-Methods"] = []string{r.methods}
		h["Access-Control-Allow-Headers"] = []string{r.headers + r.askedParams(request)}
		if r.maxAge != "" {
			h["Access-Control-Max-Age"] = []string{r.maxAge}
		}
	}
	AddVary(h, "Origin")
	AddVary(h, "Access-Control-Request-Method")
	AddVary(h, "Access-Control-Request-Headers")
	h["Cache-Control"] = []string{"no-store"}
	return ok
}

// askedParams are the headers mcp-param-* that the preflight asks for: MCP
// clients name them after a tool's parameters, so no list can hold them.
func (r *Rules) askedParams(h http.Header) string {
	if !r.mcpParams {
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

// AddVary adds name to Vary and keeps what is there.
func AddVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, name) {
				return
			}
		}
	}
	h["Vary"] = append(slices.Clone(h["Vary"]), name)
}

// IsPreflight reports whether the request is a browser's question before the
// real one. Any other OPTIONS is a request like others.
func IsPreflight(method string, h http.Header) bool {
	return method == http.MethodOptions && len(h["Origin"]) > 0 && len(h["Access-Control-Request-Method"]) > 0
}
