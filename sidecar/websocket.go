package sidecar

import (
	"encoding/base64"
	"net/http"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar/wire"
)

// isWebSocket reports whether r is a full WebSocket handshake, RFC 6455 section
// 4.2.1. Only such a request may ask for another protocol.
func isWebSocket(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	if len(upgrade) != 1 || !wire.Is(upgrade[0], "websocket") {
		return false
	}
	key := r.Header["Sec-Websocket-Key"]
	version := r.Header["Sec-Websocket-Version"]
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && r.ContentLength == 0 &&
		hasToken(r.Header["Connection"], "upgrade") &&
		len(version) == 1 && version[0] == "13" &&
		len(key) == 1 && isNonce(key[0])
}

// isNonce reports whether key is 16 bytes in base64.
func isNonce(key string) bool {
	nonce, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(nonce) == 16
}

// hasToken reports whether a list header names a token; want is in lower case.
func hasToken(lines []string, want string) bool {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if wire.Is(strings.Trim(name, " \t"), want) {
				return true
			}
		}
	}
	return false
}

// mayOpen reports whether a page of the request's origin may open a WebSocket,
// to which CORS does not apply. Programs send no Origin and may.
func (c *cors) mayOpen(h policy.Header) bool {
	if len(h.Values("Origin")) == 0 {
		return true
	}
	_, ok := c.Allows(h)
	return ok
}

// maySend reports whether a request whose token is in a cookie was meant by a
// page that is allowed to: browsers add cookies to requests of every page. Where
// the request may change something, or opens a WebSocket, its origin must be
// there and listed by name.
func (c *cors) maySend(q *query) bool {
	if !q.webSocket && isSafe(q.Method) {
		return true
	}
	return c.Lists(q.header)
}

// isSafe reports whether a method changes nothing, RFC 9110 section 9.2.1.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
