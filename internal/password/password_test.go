package password

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

// Hashes that other implementations made: bcryptjs and hash-wasm.
const (
	horse         = "correct horse"
	umlauts       = "ünïcödé ✓"
	horseBcrypt   = "$2b$10$UE/NeKhSDBnrV1Wgxz13ZO2uZFrjtws/mWjzeq8bahak/GK9Yh0Ve"
	umlautsBcrypt = "$2b$10$V0cAyzLzUzX5UfoUDi2bCuywvLBGd5doBZ8HmV0PDZRpznvv5xtBe"
	longBcrypt    = "$2b$10$RML4C4wHLOpWUVxRXciq0uxn9te7GUGRIKY2Ex3YhFaA7s4Y/P9g6" // x, 72 times
	horseArgon2   = "$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw$Oq6NUf8oUawuVWIqWRRrB80MYlKfkN6Nm4K6m5hBrTw"
	largeArgon2   = "$argon2id$v=19$m=65536,t=3,p=4$c2l4dGVlbiBieXRlcyBvaw$eXnigS77mq3GGy8kBvGmzH5+ruZ3IbtGXuP8vB35yLg"
	longArgon2    = "$argon2id$v=19$m=7168,t=5,p=1$c2l4dGVlbiBieXRlcyBvaw$Z6X3QBz2/+HcXwV4FxNEJg" // y, 1024 times
)

func parse(t *testing.T, lines ...string) *Users {
	t.Helper()
	users, errs := Parse([]byte(strings.Join(lines, "\n") + "\n"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return users
}

func TestPasswordsAreVerified(t *testing.T) {
	t.Parallel()
	bcryptOnly := []string{
		"ada:" + horseBcrypt, "äda:" + umlautsBcrypt, "long:" + longBcrypt,
		"a:" + strings.Replace(horseBcrypt, "$2b$", "$2a$", 1), "y:" + strings.Replace(horseBcrypt, "$2b$", "$2y$", 1),
	}
	argon2Only := []string{"# users", "", "ada:" + horseArgon2}
	mixed := append([]string{"large:" + largeArgon2, "longer:" + longArgon2}, bcryptOnly...)
	for name, c := range map[string]struct {
		file           []string
		user, password string
		want           error
		hashed         uint64
	}{
		"the right password":                  {bcryptOnly, "ada", horse, nil, 1},
		"one by $2a$":                         {bcryptOnly, "a", horse, nil, 1},
		"one by $2y$":                         {bcryptOnly, "y", horse, nil, 1},
		"one of UTF-8":                        {bcryptOnly, "äda", umlauts, nil, 1},
		"another's password":                  {bcryptOnly, "ada", umlauts, ErrWrong, 1},
		"another case":                        {bcryptOnly, "ada", "Correct horse", ErrWrong, 1},
		"another case of the name":            {bcryptOnly, "Ada", horse, ErrWrong, 1},
		"an unknown user":                     {bcryptOnly, "eve", horse, ErrWrong, 1},
		"no name":                             {bcryptOnly, "", horse, ErrWrong, 1},
		"no password":                         {bcryptOnly, "ada", "", ErrWrong, 0},
		"72 bytes":                            {bcryptOnly, "long", strings.Repeat("x", 72), nil, 1},
		"73, of which bcrypt would take 72":   {bcryptOnly, "long", strings.Repeat("x", 73), ErrWrong, 0},
		"71":                                  {bcryptOnly, "long", strings.Repeat("x", 71), ErrWrong, 1},
		"a NUL, where some would stop":        {bcryptOnly, "ada", horse + "\x00", ErrWrong, 0},
		"argon2id":                            {argon2Only, "ada", horse, nil, 1},
		"argon2id, wrong":                     {argon2Only, "ada", umlauts, ErrWrong, 1},
		"argon2id, unknown":                   {argon2Only, "eve", horse, ErrWrong, 1},
		"argon2id, four threads":              {mixed, "large", horse, nil, 1},
		"1024 bytes":                          {mixed, "longer", strings.Repeat("y", 1024), nil, 1},
		"1025":                                {mixed, "longer", strings.Repeat("y", 1025), ErrWrong, 0},
		"73 beside users of argon2id":         {mixed, "long", strings.Repeat("x", 73), ErrWrong, 1},
		"bcrypt beside users of argon2id":     {mixed, "ada", horse, nil, 1},
		"the password of a user of his kind":  {mixed, "a", umlauts, ErrWrong, 1},
		"the password of the user before him": {mixed, "longer", horse, ErrWrong, 1},
		"an unknown user among mixed ones":    {mixed, "eve", horse, ErrWrong, 1},
		"no users":                            {nil, "ada", horse, ErrWrong, 0},
	} {
		t.Run(name, func(t *testing.T) {
			hasher := NewHasher(HasherConfig{})
			if got := hasher.Verify(t.Context(), parse(t, c.file...), c.user, c.password); !errors.Is(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if got := hasher.Computed(); got != c.hashed {
				t.Errorf("%d passwords were hashed, want %d", got, c.hashed)
			}
		})
	}
}

func TestZeroUsersKnowNobody(t *testing.T) {
	t.Parallel()
	for _, users := range []*Users{nil, {}} {
		if err := NewHasher(HasherConfig{}).Verify(t.Context(), users, "", ""); !errors.Is(err, ErrWrong) {
			t.Error(err)
		}
		if _, known := users.Mark("ada"); known || users.Len() != 0 || users.Mixed() != nil {
			t.Error("it knows somebody")
		}
	}
}

// Whoever is asked for, a verification computes the same hashes.
func TestUnknownUsersCostWhatKnownOnesDo(t *testing.T) {
	t.Parallel()
	users := parse(t, "ada:"+horseBcrypt, "bob:"+horseArgon2, "cyd:"+longArgon2, "dan:"+umlautsBcrypt)
	costs := func(name string) []kind {
		var kinds []kind
		for _, candidate := range users.candidates(name) {
			kinds = append(kinds, candidate.kind)
		}
		return kinds
	}
	want := costs("nobody")
	if len(want) != 3 {
		t.Fatalf("%d hashes for an unknown user, want one of each of 3 kinds", len(want))
	}
	for name := range users.byName {
		if diff := cmp.Diff(want, costs(name), cmp.AllowUnexported(kind{})); diff != "" {
			t.Errorf("%s costs something else than an unknown user (-unknown +known):\n%s", name, diff)
		}
	}
	for _, of := range users.kinds { // else a dummy would end early
		if of.cost > 0 {
			if err := bcrypt.CompareHashAndPassword([]byte(dummy(of).text), []byte(horse)); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
				t.Errorf("the dummy is no hash: %v", err)
			}
		}
	}
	mixed := []string{"bcrypt with cost 10", "argon2id with m=19456,t=2,p=1", "argon2id with m=7168,t=5,p=1"}
	if diff := cmp.Diff(mixed, users.Mixed()); diff != "" {
		t.Error(diff)
	}
}

func TestMarksFollowThePassword(t *testing.T) {
	t.Parallel()
	before := parse(t, "ada:"+horseBcrypt, "bob:"+horseBcrypt, "cyd:"+horseArgon2)
	after := parse(t, "cyd:"+horseArgon2, "ada:"+umlautsBcrypt)
	mark := func(users *Users, name string) [32]byte {
		m, known := users.Mark(name)
		if !known {
			t.Errorf("%s is not known", name)
		}
		return m
	}
	if mark(before, "ada") == mark(after, "ada") {
		t.Error("another password has the same mark")
	}
	if mark(before, "ada") == mark(before, "bob") {
		t.Error("another user has the same mark")
	}
	if mark(before, "cyd") != mark(after, "cyd") {
		t.Error("the same line elsewhere has another mark")
	}
	if _, known := after.Mark("bob"); known {
		t.Error("a user who is gone has a mark")
	}
}

func TestContextsEndTheWait(t *testing.T) {
	t.Parallel()
	hasher := NewHasher(HasherConfig{AtOnce: 1, Waiting: 1})
	end, err := hasher.begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hasher.Verify(ctx, parse(t, "ada:"+horseBcrypt), "ada", horse); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
	end()
	if err := hasher.Verify(t.Context(), parse(t, "ada:"+horseBcrypt), "ada", horse); err != nil {
		t.Error(err)
	}
}
