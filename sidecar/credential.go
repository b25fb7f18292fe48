package sidecar

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"gatepost.dev/gatepost/internal/cookie"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// source is a place that may carry a token.
type source struct {
	name   string // of the header, canonical
	prefix string // before the token; of a cookie: its name and an equals sign
	kind   sourceKind
}

// sourceKind says how a header carries a token.
type sourceKind uint8

const (
	inHeader      sourceKind = iota // as its value
	inCookie                        // as one of the cookies in it
	inSubprotocol                   // after "bearer" in a WebSocket's list of protocols
)

// newSources are the places that a policy names.
func newSources(spec policy.Spec) []source {
	if spec.JWT == nil {
		return nil
	}
	var sources []source
	for _, h := range spec.JWT.ExtractFrom.Headers {
		from := source{name: http.CanonicalHeaderKey(h.Name), prefix: h.ValuePrefix}
		if from.name == cookieHeader {
			from.kind = inCookie
		}
		sources = append(sources, from)
	}
	if hasSource(spec.WebSocket, policy.TokenSourceSubprotocol) {
		sources = append(sources, source{name: protocolHeader, kind: inSubprotocol})
	}
	return sources
}

func hasSource(w *policy.WebSocket, name string) bool {
	if w == nil {
		return name == policy.TokenSourceHeader
	}
	return slices.Contains(w.TokenSources, name)
}

// credential is the token of a request and where it was.
type credential struct {
	raw     token.Raw
	sum     [sha256.Size]byte // what it is remembered by
	carrier *source
}

// extract finds the one token of a request among the places that may carry it.
func (s *site) extract(q *query) (found credential, reason policy.Reason) {
	reason = policy.MissingCredential
	text := ""
	for i := range s.sources {
		from := &s.sources[i]
		if !s.looksAt(from, q.webSocket) {
			continue
		}
		values := from.values(q.header)
		if len(values) == 0 {
			continue
		}
		raw, why := token.Extract(values, from.prefixOf(), s.maxToken)
		switch {
		case why == policy.MissingCredential:
		case reason != policy.MissingCredential:
			return credential{}, policy.AmbiguousCredentials
		default:
			found.raw, found.carrier, reason = raw, from, why
			text = values[0]
		}
	}
	if reason == "" {
		found.sum = sumOf(text)
	}
	return found, reason
}

// sumOf is the SHA-256 of a text, without memory for an ordinary token.
func sumOf(text string) [sha256.Size]byte {
	var space [1 << 10]byte
	return sha256.Sum256(append(space[:0], text...))
}

// looksAt reports whether a token may be there: protocols are offered in
// handshakes alone, and a policy may turn the other places off for these.
func (s *site) looksAt(from *source, webSocket bool) bool {
	if from.kind == inSubprotocol {
		return webSocket
	}
	return !webSocket || s.handshakeHeaders
}

// values are the texts at this place that may be tokens.
func (f *source) values(h policy.Header) []string {
	values := h.Values(f.name)
	switch {
	case len(values) == 0:
		return nil
	case f.kind == inCookie:
		return cookie.Values(values, f.cookie())
	case f.kind == inSubprotocol:
		return bearerProtocols(values)
	}
	return values
}

// prefixOf is what stands before the token in each of the values.
func (f *source) prefixOf() string {
	if f.kind == inHeader {
		return f.prefix
	}
	return ""
}

// cookie is the name of the cookie that carries the token.
func (f *source) cookie() string { return strings.TrimSuffix(f.prefix, "=") }
