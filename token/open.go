package token

import (
	"errors"
	"net"
	"net/netip"
)

// Dialer dials as key sets are fetched: names are resolved, and then addresses
// that are never fetched from are refused, link-local and metadata ones among
// them, loopback unless it is allowed, and those given.
func Dialer(loopback bool, forbidden []netip.Addr) *net.Dialer {
	gate := addressGate{loopback: loopback, forbidden: forbidden}
	return &net.Dialer{Timeout: fetchTimeout, Control: gate.control}
}

var errNotObject = errors.New("not a JSON object, or one that could be read in two ways")

// ParseObject reads a JSON object as strictly as the claims of a token: no name
// twice, nothing after it, a bounded depth. Its values are those of
// Verified.Claims. The error does not quote text.
func ParseObject(text string) (map[string]any, error) {
	object, err := decodeObject(text)
	if err != nil {
		return nil, errNotObject
	}
	return object, nil
}
