package refresh

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var terms = Terms{Lifetime: time.Hour, ReuseGrace: 10 * time.Second}

func store(t *testing.T, config Config) *Store[string] {
	t.Helper()
	config.Random = rand.Reader
	s, err := New[string](config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func begin(t *testing.T, s *Store[string], owner string) string {
	t.Helper()
	token, err := s.Begin(owner, "grant of "+owner, terms)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func anybody(string) error { return nil }

// use redeems a token as anybody.
func use(s *Store[string], token string) (next string, err error) {
	_, next, err = s.Redeem(token, anybody)
	return next, err
}

func TestATokenYieldsItsSuccessor(t *testing.T) {
	t.Parallel()
	s := store(t, Config{})
	token := begin(t, s, "ada")
	seen := map[string]bool{}
	for range 100 {
		if seen[token] || !strings.HasPrefix(token, "gpr_") || len(token) < 60 {
			t.Fatalf("the token is of another form, or came before: %d characters", len(token))
		}
		seen[token] = true
		grant, next, err := s.Redeem(token, anybody)
		if err != nil || grant != "grant of ada" {
			t.Fatalf("%q, %v", grant, err)
		}
		token = next
	}
	if s.Len() != 1 {
		t.Errorf("%d families", s.Len())
	}
}

// The Agno client refreshes twice at the same moment, and lets the first answer win or
// the last.
func TestRefreshingTwiceAtOnceYieldsOneToken(t *testing.T) {
	t.Parallel()
	s := store(t, Config{})
	token := begin(t, s, "ada")
	for range 20 {
		answers := make([]string, 8)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i], _ = use(s, token) })
		}
		all.Wait()
		for _, answer := range answers {
			if answer == "" || answer != answers[0] {
				t.Fatal("two who refresh at once get two tokens, or none")
			}
		}
		token = answers[0]
	}
}

func TestReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		uses  int           // of the newest token, one after the other
		later time.Duration // until the first is used again
		want  error
	}{
		"not used before":                   {0, 59 * time.Minute, nil},
		"within the grace":                  {1, 10 * time.Second, nil},
		"within, when others followed":      {4, 10 * time.Second, nil},
		"within, when too many followed":    {5, time.Second, ErrReused},
		"after the grace":                   {1, 10*time.Second + 1, ErrReused},
		"after the grace, others followed":  {3, 11 * time.Second, ErrReused},
		"long after":                        {100, 59 * time.Minute, ErrReused},
		"after the family's time, not used": {0, time.Hour, ErrUnknown},
		"after the family's time, used":     {1, time.Hour, ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := store(t, Config{})
				first, other := begin(t, s, "ada"), begin(t, s, "ada")
				newest := first
				for range c.uses {
					var err error
					if newest, err = use(s, newest); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(c.later)
				again, err := use(s, first)
				if !errors.Is(err, c.want) || (err == nil) != (again != "") {
					t.Fatalf("%q, %v; want %v", again, err, c.want)
				}
				if c.uses > 0 && err == nil && again != newest {
					t.Error("there are two lines")
				}
				if c.want != nil {
					if _, err := use(s, newest); !errors.Is(err, ErrUnknown) {
						t.Errorf("the newest token of the family yields %v", err)
					}
					if _, err := use(s, first); !errors.Is(err, ErrUnknown) {
						t.Errorf("the oldest token of the family yields %v", err)
					}
				}
				if _, err := use(s, other); (err == nil) != (c.later < time.Hour) {
					t.Errorf("another family of the same user: %v", err)
				}
			})
		})
	}
}

// A grace is counted from the first use: to use a token again does not lengthen it.
func TestAGraceDoesNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store(t, Config{})
		token := begin(t, s, "ada")
		for second := range 20 {
			if _, err := use(s, token); (err == nil) != (second <= 10) {
				t.Fatalf("after %d s: %v", second, err)
			} else if err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	})
}

var errAllow = errors.New("another client")

func TestWhatIsNotAllowedIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store(t, Config{})
		token := begin(t, s, "ada")
		deny := func(grant string) error {
			if grant != "grant of ada" {
				t.Errorf("asked about %q", grant)
			}
			return errAllow
		}
		for range 3 {
			if grant, next, err := s.Redeem(token, deny); !errors.Is(err, errAllow) || grant != "" || next != "" {
				t.Fatalf("%q, %q, %v", grant, next, err)
			}
			time.Sleep(time.Minute)
		}
		next, err := use(s, token)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, _, err := s.Redeem(token, deny); !errors.Is(err, ErrReused) {
			t.Errorf("a used token in other hands: %v, want that the family ends", err)
		}
		if _, err := use(s, next); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
}

func TestWhatIsNoMoreEndsTheFamily(t *testing.T) {
	t.Parallel()
	s := store(t, Config{})
	token, other := begin(t, s, "ada"), begin(t, s, "ada")
	gone := fmt.Errorf("the user is gone: %w", ErrEnd)
	if _, next, err := s.Redeem(token, func(string) error { return gone }); !errors.Is(err, gone) || next != "" {
		t.Fatalf("%q, %v", next, err)
	}
	if _, err := use(s, token); !errors.Is(err, ErrUnknown) {
		t.Errorf("once the user is back: %v", err)
	}
	if _, err := use(s, other); err != nil {
		t.Error(err)
	}
}

func TestRevoking(t *testing.T) {
	t.Parallel()
	s := store(t, Config{})
	first, other := begin(t, s, "ada"), begin(t, s, "ada")
	next, err := use(s, first)
	if err != nil {
		t.Fatal(err)
	}
	s.Revoke("gpr_" + strings.Repeat("A", 70))
	s.Revoke(first)
	s.Revoke(first)
	if _, err := use(s, next); !errors.Is(err, ErrUnknown) {
		t.Errorf("after its family was revoked: %v", err)
	}
	if _, err := use(s, other); err != nil {
		t.Error(err)
	}
}

func TestOnlyOurTokensAreTaken(t *testing.T) {
	t.Parallel()
	s, restarted := store(t, Config{}), store(t, Config{})
	token := begin(t, s, "ada")
	if _, err := use(restarted, token); !errors.Is(err, ErrUnknown) {
		t.Errorf("after a restart: %v", err)
	}
	for i := range len(token) {
		for _, other := range []byte("A_-=.\n") {
			changed := []byte(token)
			if changed[i] == other {
				continue
			}
			changed[i] = other
			if _, err := use(s, string(changed)); !errors.Is(err, ErrUnknown) {
				t.Fatalf("with another character %d: %v", i, err)
			}
		}
	}
	for name, wrong := range map[string]string{
		"nothing": "", "the prefix": "gpr_", "no prefix": token[4:], "cut off": token[:len(token)-1], "longer": token + "A",
		"twice": token + token, "another case": strings.ToUpper(token), "padded": token + "=", "a line end": token + "\n",
	} {
		if _, err := use(s, wrong); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := use(s, token); err != nil {
		t.Errorf("and none of that ended the family, but: %v", err)
	}
}

func TestNothingIsBegunWithoutRandomness(t *testing.T) {
	t.Parallel()
	if _, err := New[string](Config{Random: bytes.NewReader(make([]byte, 31))}); err == nil {
		t.Error("a store without a key is made")
	}
	s, err := New[string](Config{Random: bytes.NewReader(make([]byte, 40))})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := s.Begin("ada", "", terms); err == nil || token != "" || s.Len() != 0 {
		t.Errorf("a family without an id is begun: %q, %v", token, err)
	}
}

func TestTheStoreIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store(t, Config{MostFamilies: 100, MostPerOwner: 10})
		honest := begin(t, s, "ada")
		var flood []string
		for range 1000 { // one owner drives out only himself
			flood = append(flood, begin(t, s, "mallory"))
		}
		if s.Len() != 11 {
			t.Errorf("%d families, want 11", s.Len())
		}
		for i, token := range flood {
			if _, err := use(s, token); (err == nil) != (i >= 990) {
				t.Errorf("family %d of 1000: %v", i, err)
			}
		}
		for i := range 89 {
			begin(t, s, fmt.Sprint("user-", i))
		}
		if _, err := s.Begin("one more", "", terms); !errors.Is(err, ErrFull) {
			t.Errorf("the store is full, but: %v", err)
		}
		var err error
		if honest, err = use(s, honest); err != nil {
			t.Error(err)
		}
		begin(t, s, "mallory") // in place of one of his own
		time.Sleep(time.Hour)
		begin(t, s, "later")
		if s.Len() != 1 || len(s.owners) != 1 {
			t.Errorf("%d families of %d owners once all but one expired", s.Len(), len(s.owners))
		}
		if _, err := use(s, honest); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
}

// Terms change with the configuration; what has begun keeps its own.
func TestFamiliesKeepTheirTerms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store(t, Config{MostFamilies: 2})
		long, err := s.Begin("ada", "", Terms{Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Begin("ada", "", Terms{Lifetime: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := s.Begin("bob", "", Terms{Lifetime: time.Minute}); err != nil {
			t.Errorf("there is no room, though one has expired: %v", err)
		}
		if _, err := use(s, long); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := use(s, long); !errors.Is(err, ErrReused) {
			t.Errorf("without a grace: %v", err)
		}
	})
}

func FuzzRead(f *testing.F) {
	s, err := New[string](Config{Random: rand.Reader})
	if err != nil {
		f.Fatal(err)
	}
	genuine := s.token(id{1}, 7)
	f.Add(genuine)
	f.Add("gpr_")
	f.Add(strings.Repeat("A", 74))
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, ok := s.read(token); ok && token != genuine {
			t.Errorf("%q is taken for one of ours", token)
		}
	})
}
