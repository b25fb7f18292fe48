package sidecar

import (
	"net/http"
	"slices"
	"strings"
)

// reservedPrefixes begin the names, folded, that only the sidecar may set.
var reservedPrefixes = []string{"x-auth-", "x-gatepost-"}

// removedHeaders never reach the agent: they would steer it past what was
// judged, claim an identity, or alias a framing header (threats A5, H1-H6).
// X-User-ID is believed by AgentOS.
var removedHeaders = []string{
	"x-user-id",
	"x-original-url", "x-original-uri", "x-original-method", "x-original-host", "x-rewrite-url", "x-envoy-original-path", "x-envoy-original-host",
	"x-http-method-override", "x-http-method", "x-method-override",
	"x-forwarded-uri", "x-forwarded-method", "x-forwarded-path",
	"transfer-encoding", "content-length", "connection", "upgrade", "trailer", "keep-alive", "te", "host",
	"http2-settings", "proxy-connection", "proxy-authorization", "proxy-authenticate", "expect",
}

// ownHeaders are those of removedHeaders that net/http itself writes, under
// their own spelling; only their aliases are removed.
var ownHeaders = []string{"Te", "Connection", "Upgrade", "Expect"}

// forwardingHeaders say where a request came from: believed from trusted
// proxies only. A name that ends in "-" stands for all that begin with it.
var forwardingHeaders = []string{"forwarded", "x-real-ip", "x-forwarded-"}

// headerPlan says which of a client's headers reach the agent.
type headerPlan struct {
	removed map[string]bool   // folded names that never do
	only    map[string]string // folded names that do in this canonical spelling alone
	judged  []string          // canonical names that a decision depends on
}

// newHeaderPlan reserves the names of what the sidecar sets, and lets headers
// that decisions depend on through in one spelling only.
func newHeaderPlan(outputs []output, sources []source, judged []string) headerPlan {
	plan := headerPlan{removed: map[string]bool{}, only: map[string]string{}}
	for _, name := range removedHeaders {
		plan.removed[name] = true
	}
	for _, name := range ownHeaders {
		delete(plan.removed, fold(name))
		plan.only[fold(name)] = name
	}
	plan.only["authorization"] = "Authorization"
	for _, s := range sources {
		plan.only[fold(s.name)] = s.name
	}
	for _, name := range judged {
		name = http.CanonicalHeaderKey(name)
		plan.judged = append(plan.judged, name)
		plan.only[fold(name)] = name
	}
	for _, out := range outputs {
		plan.removed[fold(out.header)] = true
	}
	return plan
}

// drops reports whether a client's header of this canonical name is kept from
// the agent.
func (p *headerPlan) drops(name string) bool {
	var space [64]byte
	folded := appendFold(space[:0], name)
	for _, prefix := range reservedPrefixes {
		if len(folded) >= len(prefix) && string(folded[:len(prefix)]) == prefix {
			return true
		}
	}
	if p.removed[string(folded)] {
		return true
	}
	spelling, ok := p.only[string(folded)]
	return ok && spelling != name
}

// clean returns the headers of out that may reach the agent, and brings back
// what a decision depended on and the client tried to have removed on the way
// by naming it in Connection.
func (p *headerPlan) clean(out, in http.Header) http.Header {
	cleaned := make(http.Header, len(out)+16) // room for what the sidecar adds
	for name, values := range out {
		if !p.drops(name) {
			cleaned[name] = values
		}
	}
	for _, name := range p.judged {
		if values, ok := in[name]; ok && !p.drops(name) {
			cleaned[name] = values
		}
	}
	return cleaned
}

// isForwarding reports whether the canonical name is one of forwardingHeaders.
func isForwarding(name string) bool {
	if name == "" || name[0] != 'X' && name[0] != 'F' { // canonical names begin with a capital
		return false
	}
	folded := fold(name)
	return slices.ContainsFunc(forwardingHeaders, func(pattern string) bool {
		return folded == pattern || strings.HasSuffix(pattern, "-") && strings.HasPrefix(folded, pattern)
	})
}

// fold maps a header name to what a lenient application may take it for: CGI
// and WSGI know no difference between "-", "_", "." and letter case.
func fold(name string) string { return string(appendFold(nil, name)) }

func appendFold(b []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_' || c == '.' || c == ' ':
			c = '-'
		}
		b = append(b, c)
	}
	return b
}
