// Package clientaddr says which client a request is charged to: the peer of the
// connection, unless that is a proxy whose word is believed.
package clientaddr

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of proxies whose word on where a request came from is
// believed. None: nobody's is.
type Proxies []netip.Prefix

// Parse reads networks in CIDR notation. The error names the one that is none.
func Parse(networks []string) (Proxies, error) {
	var proxies Proxies
	for _, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		proxies = append(proxies, network.Masked())
	}
	return proxies, nil
}

// Trusts reports whether the peer's word is believed.
func (p Proxies) Trusts(peer netip.Addr) bool {
	for _, network := range p {
		if network.Contains(peer) {
			return true
		}
	}
	return false
}

// Client is the address that a request is charged to: the peer's, or behind
// trusted proxies the last that is not one of theirs.
func (p Proxies) Client(peer netip.Addr, forwardedFor []string) netip.Addr {
	if !p.Trusts(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(forwardedFor, ","), ",")
	for _, hop := range slices.Backward(hops) {
		address, ok := parseHop(hop)
		if !ok {
			return peer // what stands before is not a proxy's word
		}
		if peer = address; !p.Trusts(peer) {
			return peer
		}
	}
	return peer
}

// parseHop reads an element of X-Forwarded-For, to which some proxies add the
// port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddrPort(text)
	return address.Addr().Unmap().WithZone(""), err == nil
}
