package policy

import (
	"slices"
	"strings"
)

// Methods are the HTTP methods that a policy may name.
func methods() []Method {
	return []Method{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// judgeMethod is empty for a method that may be forwarded. CONNECT and TRACE
// never are. A known method in other letters (get) is refused because some
// servers raise it to GET and some do not; an unknown method has one meaning
// and is left to the rules.
func judgeMethod(method string) Reason {
	switch method {
	case "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS":
		return ""
	}
	if strings.EqualFold(method, "CONNECT") || strings.EqualFold(method, "TRACE") {
		return MethodNotAllowed
	}
	known := func(m Method) bool { return strings.EqualFold(method, string(m)) }
	if !isToken(method) || slices.ContainsFunc(methods(), known) {
		return BadRequest
	}
	return ""
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
