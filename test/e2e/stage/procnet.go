package stage

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// socket is a listening TCP socket, and the user that opened it.
type socket struct {
	address netip.AddrPort
	uid     int
}

// listenState is TCP_LISTEN in /proc/net/tcp.
const listenState = "0A"

// parseListening reads the listening sockets in /proc/net/tcp or tcp6.
func parseListening(table string) ([]socket, error) {
	var sockets []socket
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[3] != listenState {
			continue
		}
		address, err := parseKernelAddress(fields[1])
		if err != nil {
			return nil, err
		}
		uid, err := strconv.Atoi(fields[7])
		if err != nil {
			return nil, fmt.Errorf("user of a socket: %w", err)
		}
		sockets = append(sockets, socket{address: address, uid: uid})
	}
	return sockets, nil
}

// parseKernelAddress reads 0100007F:1F40: an address as 32-bit words in the
// machine's byte order, and a port.
func parseKernelAddress(text string) (netip.AddrPort, error) {
	addressText, portText, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(addressText)
	if err != nil || len(words)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q of a socket", text)
	}
	for n := 0; n < len(words); n += 4 {
		binary.BigEndian.PutUint32(words[n:], binary.NativeEndian.Uint32(words[n:]))
	}
	address, ok := netip.AddrFromSlice(words)
	port, err := strconv.ParseUint(portText, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q of a socket", text)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), nil
}

// parseLinkLocal reads the link-local addresses in /proc/net/if_inet6.
func parseLinkLocal(table string) ([]string, error) {
	var addresses []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		bytes, err := hex.DecodeString(fields[0])
		address, ok := netip.AddrFromSlice(bytes)
		if err != nil || !ok {
			return nil, fmt.Errorf("reading /proc/net/if_inet6: address %q", fields[0])
		}
		if address.IsLinkLocalUnicast() {
			addresses = append(addresses, address.String())
		}
	}
	return addresses, nil
}
