package sidecar

import (
	"net/http"
	"net/netip"
	"strings"
)

// hop is what the sidecar itself sees of where a request came from.
type hop struct {
	peer    netip.Addr
	host    string // the Host header as received
	trusted bool   // the peer is a trusted proxy
}

// setForwarded tells the agent where the request came from: the sidecar's own
// view, or a trusted proxy's with the proxy itself appended. Everything that a
// client claims about itself is gone before.
func setForwarded(out, in http.Header, from hop) {
	for name := range out {
		if isForwarding(name) {
			delete(out, name)
		}
	}
	peer, proto, host := from.peer.String(), "http", from.host
	if from.trusted {
		for _, name := range believed {
			if values, ok := in[name]; ok {
				out[name] = values
			}
		}
		if before := strings.Join(in.Values("X-Forwarded-For"), ", "); before != "" {
			peer = before + ", " + peer
		}
		proto = single(in, "X-Forwarded-Proto", proto)
		host = single(in, "X-Forwarded-Host", host)
	}
	out["X-Forwarded-For"] = []string{peer}
	out["X-Forwarded-Proto"] = []string{proto}
	if host != "" {
		out["X-Forwarded-Host"] = []string{host}
	}
}

// single is the header's only value, or otherwise.
func single(h http.Header, name, otherwise string) string {
	if values := h[name]; len(values) == 1 && values[0] != "" {
		return values[0]
	}
	return otherwise
}

// believed are what a trusted proxy may say. Other names of the family (who the
// user is, what the path was) a proxy rarely removes, so a client would say them.
var believed = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Real-Ip"}
