package policy

import "slices"

// RequestLine is what is known of a request before its headers.
// +kubebuilder:object:generate=false
type RequestLine struct {
	// Method is the method, byte for byte.
	Method string
	// Target is the raw request target with its query, byte for byte (RFC 9112 section 3.2).
	Target string
	// Port is the guarded port the request came in on; probes are bound to it.
	Port int
}

// Route is a judged request line. Only Policy.Route makes one; the zero Route
// is a bad request.
// +kubebuilder:object:generate=false
type Route struct {
	judge  *Policy
	line   RequestLine
	path   string
	reason Reason
}

// Route judges method and target, before any credential is looked at. A target
// without percent-escapes costs no allocation.
func (p *Policy) Route(line RequestLine) Route {
	route := Route{judge: p, line: line, reason: KeysUnavailable}
	if p == nil || !p.compiled {
		return route
	}
	if route.reason = judgeMethod(line.Method); route.reason != "" {
		return route
	}
	path, ok := judgeTarget(line.Target)
	if !ok {
		route.reason = BadRequest
		return route
	}
	route.path = path
	if p.exempts(line, path) {
		route.reason = Exempt
	}
	return route
}

// exempts compares with the exact path: neither a trailing slash nor letter
// case is forgiven where no credential is asked for.
func (p *Policy) exempts(line RequestLine, path string) bool {
	for i := range p.exemptions {
		e := &p.exemptions[i]
		if e.path == path && (e.port == 0 || e.port == line.Port) && slices.Contains(e.methods, line.Method) {
			return true
		}
	}
	return false
}

// exemption is a kind of request that needs no credential; port 0 is any port.
type exemption struct {
	port    int
	methods []string
	path    string
}

// Reason is empty when the request needs a credential (or an anonymous rule):
// go on to Decide. Exempt: forward it without one. Any other reason is a
// refusal: BadRequest, MethodNotAllowed, or KeysUnavailable without a policy.
func (r Route) Reason() Reason {
	if r.judge == nil && r.reason == "" {
		return BadRequest
	}
	return r.reason
}

// Path is the path that rules are compared with, percent-decoded once; empty
// when it was refused. It is for logs: what is forwarded is the raw target.
func (r Route) Path() string { return r.path }
