package token

import (
	"net/netip"
	"slices"
	"syscall"
)

// addressGate refuses addresses after name resolution, so that no name and no
// redirect leads to them.
type addressGate struct {
	loopback  bool
	forbidden []netip.Addr
}

// control is a net.Dialer's Control.
func (g addressGate) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || g.refuses(target.Addr()) {
		return errAddressRefused
	}
	return nil
}

// metadataAddresses are instance metadata services outside the link-local
// ranges: AWS over IPv6, Google over IPv6, Azure's wire server, Alibaba, Oracle.
var metadataAddresses = [...]netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("192.0.0.192"),
}

// embeddings are the prefixes by which an IPv6 address stands for an IPv4 one,
// and where in it that begins: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), and
// the IPv4-compatible ones of old (RFC 4291 section 2.5.5.1).
var embeddings = [...]struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// thisNetwork and broadcast name no server, and some systems take the former
// for the machine itself (RFC 1122 section 3.2.1.3).
var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// obsolete are IPv6 ranges that no key server has: site-local ones, which lead
// where link-local ones do (RFC 3879), and Teredo, which hides an IPv4 address
// behind a relay (RFC 4380).
var obsolete = [...]netip.Prefix{
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("2001::/32"),
}

func (g addressGate) refuses(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return g.refusesPlain(address) || address.Is6() && !address.IsLoopback() && g.refusesPlain(embeddedIPv4(address))
}

// embeddedIPv4 is the IPv4 address that an IPv6 one stands for, or itself.
func embeddedIPv4(address netip.Addr) netip.Addr {
	for _, embedding := range embeddings {
		if embedding.prefix.Contains(address) {
			bytes := address.As16()
			return netip.AddrFrom4([4]byte(bytes[embedding.at : embedding.at+4]))
		}
	}
	return address
}

func (g addressGate) refusesPlain(address netip.Addr) bool {
	switch {
	case !address.IsValid(), address.IsUnspecified(), address.IsMulticast(), address.IsLinkLocalUnicast(),
		address == broadcast, thisNetwork.Contains(address), slices.Contains(metadataAddresses[:], address):
		return true
	case slices.ContainsFunc(obsolete[:], func(prefix netip.Prefix) bool { return prefix.Contains(address) }):
		return true
	case address.IsLoopback():
		return !g.loopback
	}
	return slices.ContainsFunc(g.forbidden, func(own netip.Addr) bool { return own.Unmap() == address })
}
