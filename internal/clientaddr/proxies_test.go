package clientaddr

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClientsBehindTrustedProxies(t *testing.T) {
	proxies, err := Parse([]string{"10.1.0.0/8", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer, want   string
		forwardedFor []string
	}{
		"nobody says anything":         {"198.51.100.1", "198.51.100.1", nil},
		"a client about itself":        {"198.51.100.1", "198.51.100.1", []string{"203.0.113.9"}},
		"a proxy":                      {"10.0.0.1", "203.0.113.9", []string{"203.0.113.9"}},
		"two proxies":                  {"10.0.0.1", "203.0.113.9", []string{"203.0.113.9, 10.0.0.2"}},
		"a client before a proxy":      {"10.0.0.1", "203.0.113.9", []string{"192.0.2.7, 203.0.113.9"}},
		"a client, in a line before":   {"10.0.0.1", "203.0.113.9", []string{"192.0.2.7", "203.0.113.9, 10.0.0.2"}},
		"a proxy, nothing":             {"10.0.0.1", "10.0.0.1", nil},
		"a proxy, nonsense":            {"10.0.0.1", "10.0.0.1", []string{"203.0.113.9, unknown"}},
		"a proxy with ports":           {"10.0.0.1", "203.0.113.9", []string{"203.0.113.9:4711"}},
		"a proxy, IPv6 with port":      {"fd00::1", "2001:db8::1", []string{"[2001:db8::1]:4711"}},
		"a proxy, IPv4 as IPv6":        {"10.0.0.1", "203.0.113.9", []string{"::ffff:203.0.113.9"}},
		"only proxies":                 {"10.0.0.1", "10.0.0.3", []string{"10.0.0.3, 10.0.0.2"}},
		"nonsense before the last hop": {"10.0.0.1", "10.0.0.2", []string{"x, 10.0.0.2"}},
	} {
		if got := proxies.Client(netip.MustParseAddr(c.peer), c.forwardedFor); got.String() != c.want {
			t.Errorf("%s: charged to %s, want %s", name, got, c.want)
		}
	}
}

func TestNetworksThatAreNoneAreNamed(t *testing.T) {
	if _, err := Parse([]string{"10.0.0.0/8", "10.0.0.1"}); err == nil || !strings.Contains(err.Error(), `"10.0.0.1"`) {
		t.Errorf("an address for a network: %v", err)
	}
}
