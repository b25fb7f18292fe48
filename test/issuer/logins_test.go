package issuer

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// hashes is how many passwords the issuer has hashed.
func (s *stage) hashes() int {
	s.t.Helper()
	n, err := strconv.ParseFloat(s.Metric("gatepost_issuer_password_hashes_total"), 64)
	if err != nil {
		s.t.Fatalf("the counter of hashes: %v", err)
	}
	return int(n)
}

func TestPasswordsGetTokens(t *testing.T) {
	t.Parallel()
	s := start(t, func(setup *live.IssuerSetup) { setup.Users = adaBcrypt + cydArgon2 })
	if records := s.Logs.String(); !strings.Contains(records, "bcrypt with cost 10, argon2id with m=19456,t=2,p=1") {
		t.Errorf("hashes of two kinds are not warned about:\n%s", records)
	}
	for name, c := range map[string]struct {
		user, password string
		status         int
	}{
		"by bcrypt":              {"ada", horse, 200},
		"by argon2id":            {"cyd", horse, 200},
		"wrong":                  {"ada", umlauts, 400},
		"unknown":                {"eve", horse, 400},
		"too long to be hashed":  {"ada", horse + strings.Repeat("x", 2000), 400},
		"bcrypt and 73 bytes":    {"ada", strings.Repeat("x", 73), 400},
		"with a NUL":             {"ada", horse + "\x00", 400},
		"empty":                  {"ada", "", 400},
		"a name in another case": {"ADA", horse, 400},
	} {
		got := s.login(anyone(), c.user, c.password)
		if got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if c.status == 200 && (got.AccessToken == "" || got.RefreshToken == "" || !strings.EqualFold(got.TokenType, "bearer") || got.ExpiresIn != 60) {
			t.Errorf("%s: %d seconds, type %q, or no token", name, got.ExpiresIn, got.TokenType)
		}
	}
}

// Nobody learns from an answer whether there is such a user.
func TestUnknownUsersAreAnsweredAsKnownOnes(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	known, unknown := s.login(from(1), "ada", "wrong"), s.login(from(2), "eve", "wrong")
	if known.status != http.StatusBadRequest || known.Error != "invalid_grant" {
		t.Errorf("%d %s", known.status, known.body)
	}
	if known.status != unknown.status || string(known.body) != string(unknown.body) {
		t.Errorf("known: %d %s\nunknown: %d %s", known.status, known.body, unknown.status, unknown.body)
	}
	for _, header := range []http.Header{known.header, unknown.header} {
		header.Del("Date")
		header.Del("X-Gatepost-Decision") // random
	}
	if fmt.Sprint(known.header) != fmt.Sprint(unknown.header) {
		t.Errorf("known: %v\nunknown: %v", known.header, unknown.header)
	}
}

// A thousand wrong passwords, some at once, from one source.
func TestFewOfAThousandWrongPasswordsAreHashed(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]func(int) string{
		"one_user":   func(int) string { return "ada" },
		"many_users": func(i int) string { return fmt.Sprint("user-", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			answers := make([]answer, 1000)
			each(8, len(answers), func(i int) { answers[i] = s.login(from(1), user(i), "wrong "+strconv.Itoa(i)) })
			refused := 0
			for i, got := range answers {
				switch got.status {
				case http.StatusTooManyRequests:
					refused++
					if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 600 {
						t.Errorf("attempt %d: Retry-After %q", i, got.header.Get("Retry-After"))
					}
				case http.StatusBadRequest, http.StatusServiceUnavailable:
				default:
					t.Errorf("attempt %d: %d %s", i, got.status, got.body)
				}
			}
			hashed := s.hashes()
			live.Figure("wrong_passwords_hashed_"+name, hashed, "of 1000")
			if hashed > 20 || hashed == 0 || refused < 900 {
				t.Errorf("%d were hashed and %d refused; want 1 to 20 and the others", hashed, refused)
			}
			if !s.heldBack(from(1), user(0), horse) {
				t.Error("the right password of who is held back is answered otherwise than wrong ones")
			}
			if got := s.login(from(2), "ada", horse); got.status != http.StatusOK {
				t.Errorf("the user from elsewhere: %d %s", got.status, got.body)
			}
			if !s.heldBack(from(1), user(0), horse) {
				t.Error("a success elsewhere reset the counters")
			}
			if all := s.hashes(); all > hashed+10 {
				t.Errorf("%d more were hashed after that", all-hashed)
			}
		})
	}
}

// heldBack says whether the password is answered as wrong ones are by now: 429. One
// attempt comes back every 20 seconds, perhaps just before it, but not three times.
func (s *stage) heldBack(c caller, user, password string) bool {
	for range 3 {
		for range 5 {
			if s.login(c, user, "wrong").status == http.StatusTooManyRequests {
				break
			}
		}
		if s.login(c, user, password).status == http.StatusTooManyRequests {
			return true
		}
	}
	return false
}

// each runs n calls, so many at once.
func each(atOnce, n int, do func(int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// CVE-2024-21662: who is held back stays so, whoever comes between. He gets one more
// attempt in 30 seconds, and no burst of them.
func TestNobodyIsUnlockedByAFlood(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	tries := func() (hashed int) {
		before := s.hashes()
		for range 20 {
			s.login(from(1), "ada", "wrong")
		}
		return s.hashes() - before
	}
	began := time.Now()
	if got := tries(); got < 8 {
		t.Fatalf("%d wrong passwords were hashed, want 8 or more", got)
	}
	each(4, 100, func(i int) { s.login(from(2+i%50), fmt.Sprint("user-", i), "wrong") })
	got := tries()
	if most := 1 + int(time.Since(began)/(30*time.Second)); got > most {
		t.Errorf("%d more were hashed after others came, want %d at most", got, most)
	}
}

// memoryLimit and goMemoryLimit are those of an issuer's pod without users
// (controller/testdata/issuer-sessions.golden.yaml), half of what one with users gets.
const (
	memoryLimit   = 256 << 20
	goMemoryLimit = "GOMEMLIMIT=200MiB"
)

// Five hundred right passwords at once, each of which takes 64 MiB to hash: no more than
// the pod has, and who is not let in is told to come again.
func TestFiveHundredLoginsStayWithinMemory(t *testing.T) {
	s := start(t, func(setup *live.IssuerSetup) {
		setup.Users, setup.Env = danArgon2, []string{goMemoryLimit}
	})
	idle := peakRSS(t, s.PID)
	answers := make([]answer, 500)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.login(from(1+i), "dan", horse) })
	}
	all.Wait()
	var let, busy int
	for i, got := range answers {
		switch got.status {
		case http.StatusOK:
			let++
		case http.StatusServiceUnavailable:
			if busy++; got.header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		default:
			t.Errorf("login %d: %d %s %v", i, got.status, got.body, got.err)
		}
	}
	peak := peakRSS(t, s.PID)
	live.Figure("parallel_logins_peak_rss", peak>>20, "MiB")
	live.Figure("parallel_logins_idle_rss", idle>>20, "MiB")
	live.Figure("parallel_logins_let_in", let, "of 500")
	live.Figure("parallel_logins_told_to_come_again", busy, "of 500")
	if peak > memoryLimit || let == 0 {
		t.Errorf("%d MiB at most, %d let in", peak>>20, let)
	}
	s.must(s.login(from(1000), "dan", horse), http.StatusOK)
}

// peakRSS is the most memory that a process had, in bytes.
func peakRSS(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Skipf("SKIPPED: the most memory of a process is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			if kilobytes, err := strconv.Atoi(fields[1]); err == nil {
				return kilobytes << 10
			}
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}

// clocked are how long answers took, by what was asked.
type clocked map[string][]time.Duration

func (c clocked) median(what string) time.Duration {
	sorted := slices.Sorted(slices.Values(c[what]))
	return sorted[len(sorted)/2]
}

// apart is by how much the medians of two differ, in percent.
func (c clocked) apart(a, b string) float64 {
	x, y := float64(c.median(a)), float64(c.median(b))
	return 100 * (max(x, y)/min(x, y) - 1)
}

// The time of an answer does not tell whether there is such a user. Two known users are
// compared too: where they differ by more than 5 %, the machine is too noisy to say. What
// a program tells by its time, it tells three times in a row.
func TestTimeDoesNotTellWhoIsKnown(t *testing.T) {
	var quiet int
	var control, apart float64
	for range 3 {
		seen := clockLogins(t)
		control, apart = seen.apart("ada", "bob"), seen.apart("ada", "eve")
		live.Figure("login_median_known", seen.median("ada").Round(10*time.Microsecond), "")
		live.Figure("login_median_unknown", seen.median("eve").Round(10*time.Microsecond), "")
		live.Figure("login_control_apart", fmt.Sprintf("%.2f", control), "%")
		live.Figure("login_known_unknown_apart", fmt.Sprintf("%.2f", apart), "%")
		if control > 5 {
			continue
		}
		if quiet++; apart <= 5 {
			return
		}
	}
	if quiet == 3 || apart > 50 { // no noise makes that much: one of the two is not hashed
		t.Errorf("known and unknown users differ by %.1f %% at the median, %d times", apart, quiet)
		return
	}
	t.Skipf("SKIPPED: two known users differ by %.1f %% on this machine, in %d of three rounds by more than 5 %%", control, 3-quiet)
}

// clockLogins clocks 200 wrong passwords each of two known users and one unknown.
func clockLogins(t *testing.T) clocked {
	t.Helper()
	seen := clocked{}
	for range 4 { // as many as nobody is held back for
		s := start(t, nil)
		for i := range 50 {
			for j, user := range []string{"ada", "bob", "eve"} {
				began := time.Now()
				s.must(s.login(from(1+3*i+j), user, "wrong"), http.StatusBadRequest)
				seen[user] = append(seen[user], time.Since(began))
			}
		}
		s.Stop()
	}
	return seen
}
