package sidecar

import (
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

// bearerProtocols are the elements after each bearerProtocol.
func bearerProtocols(lines []string) []string {
	_, _, tokens := splitProtocols(lines)
	return tokens
}

// splitProtocols separates tokens from the protocols that are offered beside
// them, and returns bearerProtocol as it is spelled in the list, "" if it is not
// there.
func splitProtocols(lines []string) (bearer string, others, tokens []string) {
	next := false // the next element is a token
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			switch {
			case name == "":
			case next:
				tokens, next = append(tokens, name), false
			case wire.Is(name, bearerProtocol):
				bearer, next = name, true
			default:
				others = append(others, name)
			}
		}
	}
	return bearer, others, tokens
}

// withoutBearer takes the token out of the offered protocols, because an agent
// must not be handed one as a protocol, and remembers what to select if the
// agent selects none of the others.
func (x *exchange) withoutBearer(out http.Header) {
	offered := out[protocolHeader]
	if len(offered) == 0 {
		return
	}
	bearer, others, _ := splitProtocols(offered)
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
