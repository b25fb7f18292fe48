package throttle

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"testing"
	"time"
)

func logins() *Logins { return NewLogins(DefaultLoginLimits(), maphash.MakeSeed()) }

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// A thousand wrong passwords, however they are spread, lead to few that are hashed.
func TestFewWrongPasswordsAreTried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user   func(int) string
		client func(int) netip.Addr
		tried  int
	}{
		"one source, one user": {
			func(int) string { return "ada" }, func(int) netip.Addr { return address(1) }, 8,
		},
		"one source, many users": {
			func(i int) string { return fmt.Sprint("u", i) }, func(int) netip.Addr { return address(1) }, 16,
		},
		"many sources, one user": {
			func(int) string { return "ada" }, address, 256,
		},
		"many sources, many users": {
			func(i int) string { return fmt.Sprint("u", i) }, address, 256,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, tried := logins(), 0
			for i := range 1000 {
				if _, wait := l.Admit(c.user(i), c.client(i), now); wait == 0 {
					tried++
				} else if wait > time.Minute {
					t.Fatalf("told to wait for %v", wait)
				}
			}
			if tried > c.tried || tried < c.tried-1 { // who shares both places with another pays for him
				t.Errorf("%d were tried, want %d", tried, c.tried)
			}
		})
	}
}

// A right password takes back its own attempt, and no other.
func TestASuccessForgivesNobodyElse(t *testing.T) {
	t.Parallel()
	l := logins()
	for range 1000 {
		attempt, wait := l.Admit("ada", address(1), now)
		if wait > 0 {
			t.Fatal("right passwords are held back")
		}
		attempt.WasRight(now)
	}
	for range 8 {
		l.Admit("ada", address(2), now)
	}
	_, before := l.Admit("ada", address(2), now)
	if before == 0 {
		t.Fatal("wrong passwords are not held back")
	}
	right, wait := l.Admit("ada", address(1), now)
	if wait > 0 {
		t.Fatalf("held back for %v because another source was", wait)
	}
	right.WasRight(now)
	if _, after := l.Admit("ada", address(2), now); after != before {
		t.Errorf("after a success elsewhere held back for %v, before it for %v", after, before)
	}
	mallory, wait := l.Admit("mallory", address(2), now)
	if wait > 0 {
		t.Fatalf("another user of the source is held back for %v", wait)
	}
	mallory.WasRight(now)
	if _, after := l.Admit("ada", address(2), now); after != before {
		t.Errorf("after a success with his own account held back for %v, before it for %v", after, before)
	}
}

// One line of IPv6 has sources by the thousand, and is one network.
func TestOneLineDoesNotUseUpWhatIsForAll(t *testing.T) {
	t.Parallel()
	l, tried := logins(), 0
	for i := range 4000 {
		line := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 77, byte(i >> 8), byte(i), 15: 1})
		if _, wait := l.Admit(fmt.Sprint("u", i), line, now); wait == 0 {
			tried++
		}
	}
	if tried != 64 {
		t.Errorf("%d were tried, want 64", tried)
	}
	if _, wait := l.Admit("ada", address(1), now); wait > 0 {
		t.Errorf("somebody elsewhere is held back for %v", wait)
	}
	if _, wait := l.Admit("ada", netip.MustParseAddr("2001:db8:78::1"), now); wait > 0 {
		t.Errorf("the next network is held back for %v", wait)
	}
}

// Those who guess from everywhere do not hold up who has logged in from where he is.
func TestStrangersDoNotHoldUpRegulars(t *testing.T) {
	t.Parallel()
	l := logins()
	first, wait := l.Admit("ada", address(1), now)
	if wait > 0 {
		t.Fatal(wait)
	}
	first.WasRight(now)
	for i := range 1000 {
		l.Admit(fmt.Sprint("u", i), address(1000+i), now)
	}
	for name, c := range map[string]struct {
		user string
		from int
		let  bool
	}{
		"where she logged in": {"ada", 1, true}, "elsewhere": {"ada", 2, false}, "somebody else there": {"bob", 1, false},
	} {
		attempt, wait := l.Admit(c.user, address(c.from), now)
		if (wait == 0) != c.let {
			t.Errorf("%s: wait %v", name, wait)
		}
		attempt.DoesNotCount()
	}
	tried := 0
	for range 100 {
		if _, wait := l.Admit("ada", address(1), now); wait == 0 {
			tried++
		}
	}
	if tried != 8 {
		t.Errorf("%d wrong passwords of hers are tried there, want 8", tried)
	}
	if _, wait := l.Admit("ada", address(1), now.Add(31*24*time.Hour)); wait > 0 {
		t.Error(wait)
	}
	if l.known.Wait([]byte("x"), now) > 0 {
		t.Error("everybody is known")
	}
}

// CVE-2024-21662: names and addresses by the hundred thousand unlock nobody.
func TestAttemptsOfOthersUnlockNobody(t *testing.T) {
	t.Parallel()
	limits := DefaultLoginLimits()
	limits.All = Limit{Every: time.Nanosecond, Burst: 1 << 30} // in the way of the flood
	l := NewLogins(limits, maphash.MakeSeed())
	for range 8 {
		l.Admit("ada", address(1), now)
	}
	for i := range 200_000 {
		attempt, _ := l.Admit(fmt.Sprint("u", i), address(1000+i), now)
		if i%2 == 0 {
			attempt.DoesNotCount()
		}
	}
	if _, wait := l.Admit("ada", address(1), now); wait == 0 {
		t.Error("it forgot who is locked")
	}
}

func TestRefusedAttemptsCostNothing(t *testing.T) {
	t.Parallel()
	l := logins()
	for range 100 {
		l.Admit("ada", address(1), now)
	}
	left := 0
	for i := range 20 {
		if _, wait := l.Admit(fmt.Sprint("u", i), address(1), now); wait == 0 {
			left++
		}
	}
	if left != 8 {
		t.Errorf("%d attempts are left to the source, want 8: those refused for one user cost it some", left)
	}
	for i := range 3 { // and one comes back after its time
		if _, wait := l.Admit("ada", address(1), now.Add(time.Duration(i+1)*30*time.Second)); wait != 0 {
			t.Errorf("held back for %v after %d times 30 s", wait, i+1)
		}
	}
}
