package sidecar

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"gatepost.dev/gatepost/policy"
)

// atRate makes a throttle; its seed does not matter to what tests expect.
func atRate(rate string, burst int32) *throttle {
	return newThrottle(&policy.RejectionLimit{Rate: rate, Burst: burst}, maphash.MakeSeed())
}

func TestThrottleIsATokenBucketPerClient(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		rate    string
		burst   int32
		refused int
		later   time.Duration
		wait    time.Duration
	}{
		"before the burst is used up":    {"20/s", 100, 99, 0, 0},
		"when it is used up":             {"20/s", 100, 100, 0, 50 * time.Millisecond},
		"after one refusal's time":       {"20/s", 100, 100, 50 * time.Millisecond, 0},
		"however often it was refused":   {"20/s", 100, 100_000, 50 * time.Millisecond, 0},
		"by the minute":                  {"6/m", 2, 2, 0, 10 * time.Second},
		"by the minute, halfway":         {"6/m", 2, 2, 5 * time.Second, 5 * time.Second},
		"a burst of one":                 {"1/s", 1, 1, 0, time.Second},
		"long after, and never refused":  {"1/s", 1, 0, time.Hour, 0},
		"long after, and refused before": {"1/s", 1, 5, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			limit, client := atRate(c.rate, c.burst), netip.MustParseAddr("192.0.2.1")
			for range c.refused {
				limit.charge(client, now)
			}
			if got := limit.holds(client, now.Add(c.later)); got != c.wait {
				t.Errorf("held back for %v, want %v", got, c.wait)
			}
			if got := limit.holds(netip.MustParseAddr("192.0.2.2"), now); got != 0 {
				t.Errorf("another client is held back for %v", got)
			}
		})
	}
	if newThrottle(nil, maphash.MakeSeed()) != nil {
		t.Error("it is on where nobody asked for it")
	}
}

// Who shares one of an abuser's two places is not held back for it.
func TestThrottleSparesNeighbours(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	limit, abuser := atRate("1/s", 1), netip.MustParseAddr("192.0.2.1")
	limit.charge(abuser, now)
	neighbours := 0
	for i := range 100_000 {
		other := netip.AddrFrom4([4]byte{198, byte(18 + i>>16), byte(i >> 8), byte(i)})
		a, b := limit.places(abuser), limit.places(other)
		if (a[0] == b[0]) == (a[1] == b[1]) {
			continue // shares none, or, which is rare, both
		}
		if neighbours++; limit.holds(other, now) > 0 {
			t.Fatalf("%s is held back for %s", other, abuser)
		}
	}
	if neighbours == 0 {
		t.Error("nobody shares a place")
	}
}

func TestThrottleTakesANetworkForAClient(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	limit := atRate("1/s", 1)
	limit.charge(netip.MustParseAddr("2001:db8:0:1::1"), now)
	for text, held := range map[string]bool{
		"2001:db8:0:1::2":         true,
		"2001:db8:0:1:ffff::ffff": true,
		"2001:db8:0:2::1":         false,
		"192.0.2.1":               false,
	} {
		if got := limit.holds(netip.MustParseAddr(text), now) > 0; got != held {
			t.Errorf("%s held back: %v, want %v", text, got, held)
		}
	}
}

// A million addresses take no more memory than one, and none of their refusals
// refills the bucket of a client that was refused too often.
func TestThrottleForgetsNobody(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	limit, client := atRate("20/s", 100), netip.MustParseAddr("2001:db8::1")
	for range 100 {
		limit.charge(client, now)
	}
	want := limit.holds(client, now)
	if want == 0 {
		t.Fatal("the client is not held back")
	}
	for i := range 1_000_000 { // each in a network of its own
		limit.charge(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb9, 0, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if got := limit.holds(client, now); got < want {
		t.Errorf("held back for %v, want still %v", got, want)
	}
	if got := limit.holds(client, now.Add(want)); got != 0 {
		t.Errorf("a million refusals of others hold it back for %v longer", got)
	}
	if got := testing.AllocsPerRun(1000, func() { limit.charge(client, now); limit.holds(client, now) }); got != 0 {
		t.Errorf("a refusal costs %v allocations", got)
	}
	fmt.Printf("figure: rejection_table %d KiB\n", unsafe.Sizeof(*limit)>>10)
	if size := unsafe.Sizeof(*limit); size > 256<<10 {
		t.Errorf("the table takes %d bytes", size)
	}
}

func TestClientsBehindTrustedProxies(t *testing.T) {
	in := &site{trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
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
		if got := in.client(netip.MustParseAddr(c.peer), c.forwardedFor); got.String() != c.want {
			t.Errorf("%s: charged to %s, want %s", name, got, c.want)
		}
	}
}

// throttled refuses the third request that is refused.
const throttled = testPolicy + "  limits: {rejections: {rate: 1/m, burst: 2}}\n  trustedProxies: [127.0.0.0/8]\n"

func TestClientsThatKeepBeingRefusedAreHeldBack(t *testing.T) {
	g := start(t, setup{policy: throttled})
	known, fresh := bearer(teacher(t)), bearer(mint(t, map[string]any{"role": "teacher", "sub": "u-2"}))
	third := bearer(mint(t, map[string]any{"role": "teacher", "sub": "u-3"})) // else fresh would be known
	from := func(address string, header ...string) []string {
		return append([]string{"X-Forwarded-For", address, "Origin", appOrigin}, header...)
	}
	const abuser, other = "203.0.113.9", "203.0.113.10"
	if got := g.do("GET", "/x", nil, from(abuser, "Authorization", known)...); got.status != 200 {
		t.Fatal(got.status)
	}
	for i, want := range []int{401, 401, 429, 429} {
		got := g.do("GET", "/x", nil, from(abuser)...)
		if got.status != want {
			t.Fatalf("request %d: %d, want %d", i, got.status, want)
		}
		if want != 429 {
			continue
		}
		checkOwnAnswer(t, got)
		if retry := got.header.Get("Retry-After"); got.body != `{"detail":"Too many requests"}` || (retry != "60" && retry != "59") {
			t.Errorf("%s, Retry-After %q", got.body, retry)
		}
	}
	for name, c := range map[string]struct {
		target, address, auth string
		status                int
	}{
		"a token that is known":       {"/x", abuser, known, 200},
		"known, and not allowed that": {"/admin/x", abuser, known, 403},
		"a token that is not":         {"/x", abuser, fresh, 429},
		"a wrong token":               {"/x", abuser, "Bearer a.b.c", 429},
		"an exempt path":              {"/health", abuser, "", 200},
		"a public path":               {"/public", abuser, "", 200},
		"an ambiguous path":           {"/a//b", abuser, "", 400},
		"another client":              {"/x", other, third, 200},
	} {
		header := from(c.address)
		if c.auth != "" {
			header = append(header, "Authorization", c.auth)
		}
		if got := g.do("GET", c.target, nil, header...); got.status != c.status {
			t.Errorf("%s: %d, want %d", name, got.status, c.status)
		}
	}
	if n := g.metric(`gatepost_requests_total{decision="deny",policy="chat",reason="rate_limited"}`); n != "4" {
		t.Errorf("%s requests counted as rate_limited, want 4", n)
	}
}

func TestNobodyIsHeldBackUnlessPoliciesSaySo(t *testing.T) {
	g := start(t, setup{})
	for range 300 {
		if got := g.do("GET", "/x", nil); got.status != 401 {
			t.Fatal(got.status)
		}
	}
}

// What would only have been refused, and what is our own fault, is not charged.
func TestWhatIsNotCharged(t *testing.T) {
	g := start(t, setup{policy: strings.Replace(throttled, "spec:\n", "spec:\n  mode: Audit\n", 1)})
	for range 5 {
		if got := g.do("GET", "/x", nil, "Authorization", "Bearer a.b.c"); got.status != 200 {
			t.Fatal(got.status)
		}
	}
}
