package unverified_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

func raw64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestAPastedCredentialIsCleaned(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct{ given, want string }{
		"a token alone":               {"a.b.c", "a.b.c"},
		"with a line break behind it": {"a.b.c\n", "a.b.c"},
		"with its scheme":             {"Bearer a.b.c", "a.b.c"},
		"a whole header":              {" authorization:  bearer   a.b.c ", "a.b.c"},
		"a scheme is taken away once": {"Bearer Bearer a", "Bearer a"},
		"nothing":                     {"", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got := unverified.Clean(test.given); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestATokenIsNoKeyForTheLettersInIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"gpk_0123456789_x": true, "GPK_0123": true, "eyJgpk_.a.b": false, "": false, "gp": false} {
		if unverified.IsKey(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestFlawedTokensAreReadAsFarAsPossible(t *testing.T) {
	t.Parallel()
	header, claims := raw64(`{"alg":"HS256"}`), raw64(`{"sub":"1"}`)
	for sentence, test := range map[string]struct {
		text, alg, sub, flaw string
	}{
		"a whole token":         {header + "." + claims + ".AA", `"HS256"`, `"1"`, ""},
		"with padding":          {header + "." + base64.URLEncoding.EncodeToString([]byte(`{"sub":"1"}`)) + ".AA", `"HS256"`, `"1"`, "padding"},
		"without its signature": {header + "." + claims, `"HS256"`, `"1"`, "2 parts"},
		"of five parts":         {header + ".x.y.z.w", `"HS256"`, "absent", "encrypted"},
		"an opaque one":         {"session", "absent", "absent", "one part"},
		"with a line break":     {header + ".\n" + claims + ".AA", `"HS256"`, `"1"`, "characters that no token has"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := unverified.Read(test.text)
			if alg := unverified.Text(got.Header, "alg"); alg != test.alg {
				t.Errorf("alg %s, want %s", alg, test.alg)
			}
			if sub := unverified.Text(got.Claims, "sub"); sub != test.sub {
				t.Errorf("sub %s, want %s", sub, test.sub)
			}
			if (test.flaw == "") != (got.Flaw == "") || !strings.Contains(got.Flaw, test.flaw) {
				t.Errorf("flaw %q, want %q", got.Flaw, test.flaw)
			}
		})
	}
}

func TestTimesAreSaidAsPeopleDo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for offset, want := range map[time.Duration]string{
		0: "now", 300 * time.Millisecond: "in less than 1s", 48 * time.Second: "in 48s", -310 * time.Second: "5m10s ago",
		-3 * time.Hour: "3h ago", 12*24*time.Hour + 4*time.Hour: "in 12d4h", -60 * time.Second: "1m ago",
	} {
		if got := unverified.FromNow(now.Add(offset), now); got != want {
			t.Errorf("%v: %q, want %q", offset, got, want)
		}
	}
	read := unverified.Read(raw64(`{}`) + "." + raw64(`{"iat":1795348800,"nbf":"soon","exp":1e300}`) + ".AA")
	want := []unverified.Moment{{Claim: "iat", Time: time.Unix(1795348800, 0).UTC(), FromNow: unverified.FromNow(time.Unix(1795348800, 0), now)}}
	if diff := cmp.Diff(want, read.Moments(now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzRead: whatever is read, a flaw is named just where the sidecar's reader
// calls the token malformed.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", ".", "a.b.c", raw64(`{"alg":"HS256"}`) + "." + raw64(`{"exp":1e9}`) + ".AA", raw64(`{"alg":"HS256","crit":[]}`) + ".e30.AA",
		"e30=.e30.AA", "e30.e30.a/b+", "x.y.z.v.w", raw64(`{"exp":1,"exp":2}`) + ".e30.", "e30." + raw64(`{"iat":-1,"EXP":2}`) + ".AA", "e30.\x1b[2J.AA",
	} {
		f.Add(seed)
	}
	nobody, err := token.NewVerifier(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := unverified.Read(unverified.Clean(text))
		raw, reason := token.Extract([]string{unverified.Clean(text)}, "", len(text)+1)
		malformed := reason != "" || nobody.Verify(t.Context(), raw, time.Unix(0, 0)).Reason == policy.MalformedToken
		if malformed != (read.Flaw != "") {
			t.Errorf("%q: malformed is %v, and the flaw %q", text, malformed, read.Flaw)
		}
		_ = read.Moments(time.Unix(1, 0))
		for name := range read.Claims {
			_ = unverified.Text(read.Claims, name)
		}
	})
}
