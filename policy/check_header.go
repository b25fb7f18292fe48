package policy

import (
	"regexp"
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy/bounds"
)

// foldHeader is the form in which lax readers see a header's name: letters in
// lower case, and a hyphen for underscores, dots and blanks.
func foldHeader(name string) string {
	return strings.NewReplacer("_", "-", ".", "-", " ", "-").Replace(strings.ToLower(name))
}

// canonicalHeader writes a header's name as net/http keys it: X-Tenant-Id.
func canonicalHeader(name string) string {
	out := []byte(strings.ToLower(name))
	for i, c := range out {
		if (i == 0 || out[i-1] == '-') && 'a' <= c && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}

func (c *checker) extractFrom(field string, headers []TokenHeader) {
	c.Count(field, len(headers), 1, 4)
	seen := map[string]bool{}
	for i, h := range headers {
		field := bounds.At(field, i)
		c.Text(field+".name", h.Name, bounds.Header)
		name := foldHeader(h.Name)
		if seen[name] {
			c.Fail(field+".name", "%q is in the list twice: remove one", h.Name)
		}
		seen[name] = true
		if isFraming(name) || name == "origin" || strings.HasPrefix(name, "sec-") || strings.HasPrefix(name, "x-gatepost-") {
			c.Fail(field+".name", "%q cannot carry a token: use Authorization or a header of your own", h.Name)
		}
		c.Optional(field+".valuePrefix", h.ValuePrefix, bounds.Form{Most: 32})
		if strings.ContainsFunc(h.ValuePrefix, func(r rune) bool { return r < ' ' || r > '~' }) {
			c.Fail(field+".valuePrefix", "%q has a character that no header may have: use printable ASCII", h.ValuePrefix)
		}
		if name == "cookie" && !cookiePrefix.MatchString(h.ValuePrefix) {
			c.Fail(field+".valuePrefix", "%q names no cookie: write its name and an equals sign, like access_token=", h.ValuePrefix)
		}
		if schemePrefix.MatchString(h.ValuePrefix) {
			c.Warn(field+".valuePrefix", "%q does not end in a blank: the one before the token makes every token malformed; write %q in quotes", h.ValuePrefix, h.ValuePrefix+" ")
		}
	}
}

// schemePrefix is a word such as Bearer, behind which a blank stands before the
// token (RFC 9110 section 11.4).
var schemePrefix = regexp.MustCompile("^[A-Za-z]+$")

// cookiePrefix is a cookie's name (RFC 6265 section 4.1.1) and an equals sign.
var cookiePrefix = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+=$")

// cookies warns of a token in a cookie that hardly any request may use.
func (c *checker) cookies(s *Spec) {
	if s.JWT == nil || s.JWT.ExtractFrom == nil {
		return
	}
	for i, h := range s.JWT.ExtractFrom.Headers {
		named := s.CORS != nil && slices.ContainsFunc(s.CORS.AllowOrigins, func(origin string) bool { return origin != "*" })
		if foldHeader(h.Name) == "cookie" && !named {
			c.Warn(bounds.At("spec.jwt.extractFrom.headers", i)+".name", "a cookie speaks only for pages whose origin cors.allowOrigins names, and it names none: all but GET, HEAD and OPTIONS will be refused")
		}
	}
}

func (c *checker) claimToHeaders(field string, j *JWT) {
	c.Count(field, len(j.ClaimToHeaders), 0, 32)
	carriers := []string{"authorization"}
	if j.ExtractFrom != nil {
		for _, h := range j.ExtractFrom.Headers {
			carriers = append(carriers, foldHeader(h.Name))
		}
	}
	seen := map[string]bool{}
	for i, m := range j.ClaimToHeaders {
		field := bounds.At(field, i)
		c.Text(field+".claim", m.Claim, bounds.Claim)
		c.Text(field+".header", m.Header, bounds.Header)
		name := foldHeader(m.Header)
		switch {
		case slices.Contains(carriers, name):
			c.Fail(field+".header", "%q carries the token: choose another header", m.Header)
		case seen[name] && name != "":
			c.Fail(field+".header", "%q is set by an entry before: choose another header", m.Header)
		default:
			c.outputHeader(field+".header", m.Header)
		}
		seen[name] = true
	}
}

// outputHeader refuses names that steer HTTP, routing or trust, so that no
// claim can: an agent would believe them.
func (c *checker) outputHeader(field, name string) {
	folded := foldHeader(name)
	switch {
	case isFraming(folded):
		c.Fail(field, "%q belongs to HTTP itself: choose a header such as X-Auth-Team", name)
	case isSteering(folded):
		c.Fail(field, "%q is not for identities: choose a header such as X-Auth-Team", name)
	}
}

// isFraming reports the names that frame or route a message, RFC 9110 section
// 7.6.1 and RFC 9112.
func isFraming(folded string) bool {
	if strings.HasPrefix(folded, "content-") || strings.HasPrefix(folded, "proxy-") {
		return true
	}
	switch folded {
	case "host", "connection", "keep-alive", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "expect", "date", "via":
		return true
	}
	return false
}

// isSteering reports the names by which agents and proxies choose a client's
// address, a route, a method or a session, and our own.
func isSteering(folded string) bool {
	for _, prefix := range []string{"x-gatepost-", "x-forwarded-", "x-envoy-", "sec-", "access-control-", "if-", "mcp-", "accept-"} {
		if strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	switch folded {
	case "authorization", "cookie", "set-cookie", "origin", "referer", "range", "accept", "forwarded", "x-real-ip", "www-authenticate",
		"x-original-url", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override", "last-event-id":
		return true
	}
	return false
}
