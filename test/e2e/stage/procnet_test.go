package stage

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestListeningSocketsAreRead(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 12345 1 0000000000000000 100 0 0 10 0
   1: 0500F40A:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10753        0 12346 1 0000000000000000 100 0 0 10 0
   2: 0500F40A:1F40 0700F40A:C000 01 00000000:00000000 00:00000000 00000000 10753        0 12347 1 0000000000000000 100 0 0 10 0
`
	const table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 1 1 0000000000000000 100 0 0 10 0
   1: 000080FE00000000FF00FC01010000FE:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 10753        0 1 1 0000000000000000 100 0 0 10 0
`
	want := []socket{{netip.MustParseAddrPort("127.0.0.1:8000"), 10001}, {netip.MustParseAddrPort("10.244.0.5:8000"), 10753}}
	want6 := []socket{{netip.MustParseAddrPort("[::1]:8000"), 10001}, {netip.MustParseAddrPort("[fe80::1fc:ff:fe00:1]:8000"), 10753}}
	compare := []cmp.Option{cmp.AllowUnexported(socket{}), cmpopts.EquateComparable(netip.AddrPort{})}
	got, err := parseListening(table)
	if diff := cmp.Diff(want, got, compare...); diff != "" || err != nil {
		t.Errorf("tcp (-want +got), error %v:\n%s", err, diff)
	}
	got, err = parseListening(table6)
	if diff := cmp.Diff(want6, got, compare...); diff != "" || err != nil {
		t.Errorf("tcp6 (-want +got), error %v:\n%s", err, diff)
	}
}

func TestSocketsBeyondLoopbackAreTheSidecars(t *testing.T) {
	guard := socket{netip.MustParseAddrPort("10.244.0.5:8000"), 10753}
	agent := socket{netip.MustParseAddrPort("127.0.0.1:8000"), 10001}
	bare := socket{netip.MustParseAddrPort("0.0.0.0:9000"), 10001}
	for name, test := range map[string]struct {
		sockets []socket
		ok      bool
	}{
		"the guard outside, the agent inside":    {[]socket{guard, agent}, true},
		"another port of the agent's is outside": {[]socket{guard, agent, bare}, false},
		"no guard at all":                        {[]socket{agent}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if f := judgeListening("p", test.sockets); (f.Err == nil) != test.ok {
				t.Errorf("finding %+v", f)
			}
		})
	}
}

func TestLinkLocalAddressesAreRead(t *testing.T) {
	const table = `fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
00000000000000000000000000000001 01 80 10 80       lo
`
	got, err := parseLinkLocal(table)
	if diff := cmp.Diff([]string{"fe80::fc:ff:fe00:1"}, got); diff != "" || err != nil {
		t.Errorf("(-want +got), error %v:\n%s", err, diff)
	}
}
