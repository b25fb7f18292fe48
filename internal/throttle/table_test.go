package throttle

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// atRate makes a table; its seed does not matter to what tests expect.
func atRate(t *testing.T, rate string, burst int) *Table {
	t.Helper()
	limit, err := ParseLimit(rate, burst)
	if err != nil {
		t.Fatal(err)
	}
	return New(limit, maphash.MakeSeed())
}

var now = time.Unix(1_800_000_000, 0)

func TestATableIsATokenBucketPerKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate    string
		burst   int
		charged int
		later   time.Duration
		wait    time.Duration
	}{
		"before the burst is used up":    {"20/s", 100, 99, 0, 0},
		"when it is used up":             {"20/s", 100, 100, 0, 50 * time.Millisecond},
		"after the time of one":          {"20/s", 100, 100, 50 * time.Millisecond, 0},
		"however often it was charged":   {"20/s", 100, 100_000, 50 * time.Millisecond, 0},
		"by the minute":                  {"6/m", 2, 2, 0, 10 * time.Second},
		"by the minute, halfway":         {"6/m", 2, 2, 5 * time.Second, 5 * time.Second},
		"a burst of one":                 {"1/s", 1, 1, 0, time.Second},
		"long after, and never charged":  {"1/s", 1, 0, time.Hour, 0},
		"long after, and charged before": {"1/s", 1, 5, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			table := atRate(t, c.rate, c.burst)
			for range c.charged {
				table.Charge([]byte("a"), now)
			}
			if got := table.Wait([]byte("a"), now.Add(c.later)); got != c.wait {
				t.Errorf("held back for %v, want %v", got, c.wait)
			}
			if got := table.Wait([]byte("b"), now); got != 0 {
				t.Errorf("another key is held back for %v", got)
			}
		})
	}
}

func TestTheZeroLimitLetsNobodyThrough(t *testing.T) {
	t.Parallel()
	table := New(Limit{}, maphash.MakeSeed())
	if _, wait := table.Take([]byte("a"), now); wait <= 0 {
		t.Error("it lets through")
	}
}

func TestLimitsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for rate, want := range map[string]time.Duration{
		"20/s": 50 * time.Millisecond, "5/m": 12 * time.Second, "1/s": time.Second,
		"": 0, "5": 0, "/s": 0, "0/s": 0, "-1/s": 0, "5/h": 0, "5/s ": 0, "x/s": 0, "5/s/s": 0,
	} {
		got, err := ParseLimit(rate, 3)
		if (err != nil) != (want == 0) || got.Every != want {
			t.Errorf("%q: every %v, %v; want every %v", rate, got.Every, err, want)
		}
	}
	if _, err := ParseLimit("5/s", 0); err == nil {
		t.Error("a burst of 0 is taken")
	}
}

// Who shares one of an abuser's two places is not held back for it.
func TestNeighboursAreSpared(t *testing.T) {
	t.Parallel()
	table, abuser := atRate(t, "1/s", 1), []byte("abuser")
	table.Charge(abuser, now)
	neighbours := 0
	for i := range 100_000 {
		other := fmt.Append(nil, i)
		a, b := table.of(abuser), table.of(other)
		if (a[0] == b[0]) == (a[1] == b[1]) {
			continue // shares none, or, which is rare, both
		}
		if neighbours++; table.Wait(other, now) > 0 {
			t.Fatalf("%s is held back for %s", other, abuser)
		}
	}
	if neighbours == 0 {
		t.Error("nobody shares a place")
	}
}

// Three hundred thousand keys take no more memory than one, and none of them refills the bucket of
// a key that is held back.
func TestNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	table, key := atRate(t, "20/s", 100), []byte("locked")
	for range 100 {
		table.Charge(key, now)
	}
	want := table.Wait(key, now)
	if want == 0 {
		t.Fatal("the key is not held back")
	}
	for i := range 300_000 {
		taken, _ := table.Take(fmt.Append(nil, i), now)
		if i%2 == 0 {
			taken.GiveBack()
		}
	}
	if got := table.Wait(key, now); got < want {
		t.Errorf("held back for %v, want still %v", got, want)
	}
	if got := table.Wait(key, now.Add(want)); got != 0 {
		t.Errorf("the others hold it back for %v longer", got)
	}
	fmt.Printf("figure: rejection_table %d KiB\n", unsafe.Sizeof(*table)>>10)
	if size := unsafe.Sizeof(*table); size > 256<<10 {
		t.Errorf("the table takes %d bytes", size)
	}
}

func TestTakeLetsThroughWhatTheLimitSays(t *testing.T) {
	t.Parallel()
	table := atRate(t, "1/m", 7)
	var through atomic.Int64
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if _, wait := table.Take([]byte("a"), now); wait == 0 {
				through.Add(1)
			} else if wait != time.Minute {
				t.Errorf("told to wait for %v, want a minute", wait)
			}
		})
	}
	all.Wait()
	if through.Load() != 7 {
		t.Errorf("%d let through at once, want 7", through.Load())
	}
}

func TestWhatIsGivenBackCanBeTakenAgain(t *testing.T) {
	t.Parallel()
	table, key := atRate(t, "1/m", 2), []byte("a")
	first, _ := table.Take(key, now)
	second, _ := table.Take(key, now)
	if _, wait := table.Take(key, now); wait != time.Minute {
		t.Fatalf("wait %v, want a minute", wait)
	}
	second.GiveBack()
	if _, wait := table.Take(key, now); wait != 0 {
		t.Errorf("what was given back is not there: wait %v", wait)
	}
	first.GiveBack()
	Taken{}.GiveBack()
	if _, wait := table.Take(key, now.Add(time.Hour)); wait != 0 {
		t.Errorf("wait %v after an hour", wait)
	}
	late, _ := table.Take([]byte("late"), now)
	late.GiveBack() // long after it filled up, it holds no more than it can
	through := 0
	for range 10 {
		if _, wait := table.Take([]byte("late"), now.Add(time.Hour)); wait == 0 {
			through++
		}
	}
	if through != 2 {
		t.Errorf("%d let through, want 2", through)
	}
}

func TestSourcesAreNetworks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"addresses of one /64":   {"2001:db8:0:1::1", "2001:db8:0:1:ffff::ffff", true},
		"addresses of two /64":   {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		"an IPv4 address":        {"192.0.2.1", "192.0.2.1", true},
		"two IPv4 addresses":     {"192.0.2.1", "192.0.2.2", false},
		"IPv4 written as IPv6":   {"192.0.2.1", "::ffff:192.0.2.1", true},
		"two written as IPv6":    {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		"a zone changes nothing": {"fe80::1%a", "fe80::1%b", true},
	} {
		if same := Source(netip.MustParseAddr(c.a)) == Source(netip.MustParseAddr(c.b)); same != c.same {
			t.Errorf("%s: one source: %v, want %v", name, same, c.same)
		}
	}
}

func TestRetryAfterIsWholeSeconds(t *testing.T) {
	t.Parallel()
	got := map[time.Duration]int{}
	want := map[time.Duration]int{
		0: 1, time.Nanosecond: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90,
	}
	for wait := range want {
		got[wait] = RetryAfter(wait)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
