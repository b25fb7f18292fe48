package sidecar

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

func TestThrottleIsOnWhereAPolicyAsks(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if newThrottle(nil, maphash.MakeSeed()) != nil {
		t.Error("it is on where nobody asked for it")
	}
	limit := newThrottle(&policy.RejectionLimit{Rate: "6/m", Burst: 2}, maphash.MakeSeed())
	client, other := netip.MustParseAddr("2001:db8:0:1::1"), netip.MustParseAddr("2001:db8:0:2::1")
	for range 100_000 {
		limit.charge(client, now)
	}
	if got := limit.holds(client, now); got != 10*time.Second {
		t.Errorf("held back for %v, want 10 s", got)
	}
	if got := limit.holds(netip.MustParseAddr("2001:db8:0:1:ffff::2"), now); got != 10*time.Second {
		t.Errorf("the client's network is held back for %v, want 10 s", got)
	}
	if got := limit.holds(other, now); got != 0 {
		t.Errorf("another client is held back for %v", got)
	}
	if got := testing.AllocsPerRun(1000, func() { limit.charge(client, now); limit.holds(client, now) }); got != 0 {
		t.Errorf("a refusal costs %v allocations", got)
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
