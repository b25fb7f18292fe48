package sidecar

import (
	"bytes"
	"encoding/base64"
	"iter"
	"net/http"
	"strings"

	"gatepost.dev/gatepost/sidecar/wire"
)

// protocolHeader is the canonical name of the header with the protocols that a
// WebSocket handshake offers or selects, RFC 6455 section 11.3.4.
const protocolHeader = "Sec-Websocket-Protocol"

// bearerProtocol stands before a token in the list of offered protocols. A page
// cannot set other headers of a handshake.
const bearerProtocol = "bearer"

// elements are those of a list header, RFC 9110 section 5.6.1, empty ones aside.
func elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// areProtocols reports whether every element of the list is a token, RFC 9110
// section 5.6.2, as RFC 6455 section 11.3.4 asks. Who trims more than blanks or
// cuts elsewhere would find other elements in what is none.
func areProtocols(lines []string) bool {
	for name := range elements(lines) {
		if !wire.IsToken(name) {
			return false
		}
	}
	return true
}

// bearerProtocols are the elements after each bearerProtocol that is not itself
// one of them.
func bearerProtocols(lines []string) (tokens []string) {
	next := false // the next element is a token
	for name := range elements(lines) {
		if next {
			tokens = append(tokens, name)
		}
		next = !next && wire.Is(name, bearerProtocol)
	}
	return tokens
}

// otherProtocols are what may be offered to the agent of a list with
// bearerProtocol in it, which is also returned as it is spelled there, "" if it
// is not there. What follows any bearerProtocol is no other, and what looks like
// a token is none wherever it stands, because nobody verified it.
func otherProtocols(lines []string) (bearer string, others []string) {
	behind := false // a bearerProtocol
	for name := range elements(lines) {
		is := wire.Is(name, bearerProtocol)
		if is && bearer == "" {
			bearer = name
		}
		if !is && !behind && !looksSigned(name) {
			others = append(others, name)
		}
		behind = is
	}
	return bearer, others
}

// looksSigned reports whether text has the form of a JWS or JWE in compact
// serialization, RFC 7515 section 7.1: its first part is a JSON object in
// base64url.
func looksSigned(text string) bool {
	head, rest, _ := strings.Cut(text, ".")
	if !strings.Contains(rest, ".") {
		return false
	}
	object, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && bytes.HasPrefix(bytes.TrimLeft(object, " \t\r\n"), []byte("{"))
}

// withoutBearer takes the token out of the offered protocols, because an agent
// must not be handed one as a protocol, and remembers what to select if the
// agent selects none of the others.
func (x *exchange) withoutBearer(out http.Header) {
	offered := out[protocolHeader]
	if len(offered) == 0 {
		return
	}
	bearer, others := otherProtocols(offered)
	if bearer == "" {
		return
	}
	x.protocol = bearer
	if len(others) == 0 {
		delete(out, protocolHeader)
		return
	}
	out[protocolHeader] = []string{strings.Join(others, ", ")}
}

// selectProtocol completes a handshake: a browser gives up on a WebSocket when
// it offered protocols and none was selected.
func (x *exchange) selectProtocol(answer http.Header) {
	if x.protocol != "" && len(answer[protocolHeader]) == 0 {
		answer[protocolHeader] = []string{x.protocol}
	}
}
