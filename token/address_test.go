package token_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestAddresses: what the dialer refuses after resolution.
func TestAddresses(t *testing.T) {
	own := netip.MustParseAddr("10.1.2.3")
	for name, tc := range map[string]struct {
		address  string
		loopback bool
		refused  bool
	}{
		"a public address":                  {"93.184.216.34:443", false, false},
		"a cluster address":                 {"10.96.0.10:443", false, false},
		"a unique local IPv6 address":       {"[fd12:3456::1]:443", false, false},
		"loopback":                          {"127.0.0.1:443", false, true},
		"loopback where it is allowed":      {"127.0.0.1:443", true, false},
		"all of loopback":                   {"127.9.9.9:443", false, true},
		"loopback over IPv6":                {"[::1]:443", false, true},
		"loopback as a mapped address":      {"[::ffff:127.0.0.1]:443", false, true},
		"loopback through NAT64":            {"[64:ff9b::7f00:1]:443", false, true},
		"the unspecified address":           {"0.0.0.0:443", true, true},
		"the unspecified IPv6 address":      {"[::]:443", true, true},
		"metadata":                          {"169.254.169.254:80", true, true},
		"metadata as a mapped address":      {"[::ffff:169.254.169.254]:80", true, true},
		"metadata through NAT64":            {"[64:ff9b::a9fe:a9fe]:80", true, true},
		"metadata of ECS tasks":             {"169.254.170.2:80", true, true},
		"metadata of AWS over IPv6":         {"[fd00:ec2::254]:80", true, true},
		"metadata of Google over IPv6":      {"[fd20:ce::254]:80", true, true},
		"metadata of Oracle":                {"192.0.0.192:80", true, true},
		"metadata through NAT64 (RFC 8215)": {"[64:ff9b:1::a9fe:a9fe]:80", true, true},
		"metadata through 6to4":             {"[2002:a9fe:a9fe::1]:80", true, true},
		"metadata as a compatible address":  {"[::169.254.169.254]:80", true, true},
		"loopback through 6to4":             {"[2002:7f00:1::]:443", false, true},
		"a public address through NAT64":    {"[64:ff9b::5db8:d822]:443", false, false},
		"site-local over IPv6":              {"[fec0::1]:443", true, true},
		"metadata through Teredo":           {"[2001:0:5db8:d822::5601:5601]:443", true, true},
		"a public IPv6 address":             {"[2001:db8::1]:443", false, false},
		"the pod's own through NAT64":       {"[64:ff9b::a01:203]:443", true, true},
		"loopback over IPv6 where allowed":  {"[::1]:443", true, false},
		"this network":                      {"0.0.0.1:443", true, true},
		"broadcast":                         {"255.255.255.255:443", true, true},
		"metadata of Alibaba":               {"100.100.100.200:80", true, true},
		"Azure's wire server":               {"168.63.129.16:80", true, true},
		"link-local over IPv6":              {"[fe80::1%eth0]:443", true, true},
		"multicast":                         {"224.0.0.1:443", true, true},
		"the pod's own address":             {"10.1.2.3:443", true, true},
		"the pod's own as a mapped address": {"[::ffff:10.1.2.3]:443", true, true},
		"no address":                        {"id.example:443", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := token.RefusesAddress(tc.address, tc.loopback, own); got != tc.refused {
				t.Errorf("refused = %v, want %v", got, tc.refused)
			}
		})
	}
}

// TestNameMovesToMetadata is D5: addresses are checked each time a name is
// resolved, so one that moves after its first good fetch leads nowhere.
func TestNameMovesToMetadata(t *testing.T) {
	key := generate(t, "ES256", "k1")
	document, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(document)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var names nameServer
	names.answer.Store(&[4]byte{127, 0, 0, 1})
	names.listen(t)
	reports := make(chan token.Fetch, 16)
	remotes := token.NewRemotes(token.WithResolver(token.RemotesConfig{OnFetch: func(f token.Fetch) { reports <- f }}, names.resolver()))
	defer remotes.Close()
	wire := insecure("http://id.example.test:" + port)
	wire.CacheDuration = seconds(1)
	remotes.Use(verifier(t, remoteProvider(t, remotes, "id", wire)))
	if got := next(t, reports); got.Result != token.FetchOK {
		t.Fatalf("first fetch: %q (%v)", got.Result, got.Err)
	}
	names.answer.Store(&[4]byte{169, 254, 169, 254})
	deadline := time.After(20 * time.Second)
	for result := token.FetchOK; result != token.FetchRefused; {
		select {
		case report := <-reports:
			result = report.Result
		case <-deadline:
			t.Fatal("the address was never refused")
		}
	}
	if asked.Load() == 0 {
		t.Error("nobody was asked: this test proves nothing")
	}
}

// nameServer answers every question for an IPv4 address with the same one.
type nameServer struct {
	answer atomic.Pointer[[4]byte]
	conn   net.PacketConn
}

func (s *nameServer) listen(t *testing.T) {
	t.Helper()
	var config net.ListenConfig
	conn, err := config.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.conn = conn
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.reply(packet[:n]), from)
		}
	}()
}

// reply writes a DNS response (RFC 1035 section 4): the question again, and one
// A record of no lifetime, or nothing for other types.
func (s *nameServer) reply(query []byte) []byte {
	const header, address = 12, 1
	end := header
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	answers := uint16(0)
	if binary.BigEndian.Uint16(query[end-4:]) == address {
		answers = 1
	}
	out := append([]byte{query[0], query[1], 0x84, 0, 0, 1}, 0, byte(answers), 0, 0, 0, 0)
	out = append(out, query[header:end]...)
	if answers == 1 {
		ip := s.answer.Load()
		out = append(out, 0xc0, header, 0, address, 0, 1, 0, 0, 0, 0, 0, 4, ip[0], ip[1], ip[2], ip[3])
	}
	return out
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// TestProxiesOfTheEnvironmentAreIgnored is D5: who sets the environment does not
// choose who answers. It runs in a process of its own, because net/http reads
// these variables only once.
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	const proxy = "http://proxy.example:3128"
	if os.Getenv("HTTP_PROXY") != proxy {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), "HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	key := generate(t, "ES256", "k1")
	server := &keyServer{}
	server.publish(t, key)
	inWorld(t, server, nil, func(t *testing.T, w *world) {
		w.want(t, key, policy.OK)
		wantEqual(t, "dialed", w.dialed(), []string{"id.example:80"})
	})
}
