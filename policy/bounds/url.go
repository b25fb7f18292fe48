package bounds

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// RemoteURL checks an address that the sidecar or the issuer asks. What a name resolves to
// is the dialer's to check; here only what the text itself says.
func (c *Checker) RemoteURL(field, raw string, allowInsecure bool) {
	c.Text(field, raw, Form{Most: 2048})
	if raw == "" {
		return
	}
	u, ok := ParseHTTP(raw)
	if !ok {
		c.Fail(field, "%q is no https address", raw)
		return
	}
	problem := urlProblem(raw, u)
	switch {
	case problem != "":
	case u.Scheme == "http" && !allowInsecure:
		problem = "is plain http: use https, or set allowInsecureHTTP: true"
	default:
		problem = hostProblem(u.Hostname(), allowInsecure)
	}
	if problem != "" {
		c.Fail(field, "%s", problem)
	}
}

// ParseHTTP reads an http or https address with a host.
func ParseHTTP(raw string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	return u, err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

func urlProblem(raw string, u *url.URL) string {
	switch {
	case u.User != nil:
		return "has a user or a password in it: remove it"
	case strings.ContainsAny(raw, "# \t\r\n"):
		return "has a fragment or a blank in it: remove it"
	case !ValidPort(u.Port()):
		return "has a port out of bounds: 1 to 65535"
	}
	return ""
}

// ResourceURL checks an address that is only shown to clients.
func (c *Checker) ResourceURL(field, raw string) {
	c.Text(field, raw, Form{Most: 2048})
	if _, ok := ParseHTTP(raw); raw != "" && (!ok || strings.ContainsAny(raw, "?# \t\r\n")) {
		c.Fail(field, "%q is no address: write https://host/path without query and fragment", raw)
	}
}

var (
	hostForm    = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$`)
	numericForm = regexp.MustCompile(`^(0[xX])?[0-9a-fA-F]+$`)
)

// hostProblem says why a host may not be asked for keys; empty when it may.
func hostProblem(host string, allowLoopback bool) string {
	host = strings.TrimSuffix(host, ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addrProblem(addr, allowLoopback)
	}
	name := strings.ToLower(host)
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case !hostForm.MatchString(name):
		return "has a host that is neither a name nor an address"
	case numericForm.MatchString(last) && strings.ContainsAny(last[:1], "0123456789"):
		return "has a number for a host: write the address as 192.0.2.1 or [2001:db8::1]"
	case name == "metadata" || name == "metadata.google.internal" || name == "instance-data" || strings.HasSuffix(name, ".metadata.google.internal"):
		return "is a cloud's metadata service: nothing is ever asked there"
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !allowLoopback:
		return "is this very pod: use the server's address, or set allowInsecureHTTP: true for a test"
	}
	return ""
}

func addrProblem(addr netip.Addr, allowLoopback bool) string {
	addr = embeddedIPv4(addr)
	switch {
	case addr.IsLinkLocalUnicast() || isMetadata(addr):
		return "is a link-local or metadata address: nothing is ever asked there"
	case addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is no address of a server"
	case addr.IsLoopback() && !allowLoopback:
		return "is this very pod: use the server's address, or set allowInsecureHTTP: true for a test"
	}
	return ""
}

// isMetadata reports the metadata addresses that are not link-local: those of
// EC2 over IPv6, Alibaba Cloud and Oracle Cloud.
func isMetadata(addr netip.Addr) bool {
	switch addr.WithZone("").String() {
	case "fd00:ec2::254", "100.100.100.200", "192.0.0.192":
		return true
	}
	return false
}

// embeddedIPv4 unwraps an IPv4 address in an IPv6 one: mapped, compatible, or
// behind NAT64 (RFC 6052).
func embeddedIPv4(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	nat64 := netip.MustParsePrefix("64:ff9b::/96").Contains(addr.WithZone(""))
	compatible := netip.MustParsePrefix("::/96").Contains(addr.WithZone("")) && (b[12] != 0 || b[13] != 0)
	if nat64 || compatible {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// ValidPort reports whether a URL may have the port; it takes an absent one.
func ValidPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && n >= 1 && n <= 65535
}
