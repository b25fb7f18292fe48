package token_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/token"
)

// TestHostileTokensCostLittle is T14: whatever is sent, no token takes a mebibyte,
// and a thousand of any kind are judged within seconds.
func TestHostileTokensCostLittle(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", nil, key))
	within := func(open, unit, end string) string {
		const room = 12_000 // of payload in a token of 16 KiB
		return open + strings.Repeat(unit, (room-len(open)-len(end))/len(unit)) + end
	}
	signedWith := func(payload string) string { return signed(t, key, `{"alg":"HS256"}`, payload) }
	names := func() string {
		var text strings.Builder
		for i := 0; text.Len() < 11_900; i++ {
			fmt.Fprintf(&text, `"%x":0,`, i)
		}
		return "{" + text.String() + `"exp":1}`
	}
	for name, text := range map[string]string{
		"dots":                         strings.Repeat(".", 16_384),
		"a million dots":               strings.Repeat(".", 1_000_000),
		"brackets":                     signedWith(within(`{"a":`, "[", "")),
		"braces":                       signedWith(within("", `{"":`, "")),
		"empty objects":                signedWith(within(`{"a":[`, "{},", "{}]}")),
		"empty arrays":                 signedWith(within(`{"a":[`, "[],", "[]]}")),
		"numbers":                      signedWith(within(`{"a":[`, "0,", "0]}")),
		"colons in a string":           signedWith(within(`{"a":"`, ":", `"}`)),
		"one long number":              signedWith(within(`{"a":`, "9", "}")),
		"an exponent of ten thousands": signedWith(within(`{"exp":1e`, "9", "}")),
		"escapes":                      signedWith(within(`{"a":"`, `\u0041`, `"}`)),
		"as many names as fit":         signedWith(names()),
		"blanks":                       signedWith(within("", " ", "{}")),
		"a header of brackets":         signed(t, key, within(`{"a":`, "[", ""), payload(t)),
		"a signature of 12 KB":         resigned(mint(t, key, nil, claims(nil)), make([]byte, 12_000)),
	} {
		t.Run(name, func(t *testing.T) {
			const calls = 100
			var before, after runtime.MemStats
			begun, values := time.Now(), []string{"Bearer " + text}
			runtime.ReadMemStats(&before)
			for range calls {
				if raw, reason := token.Extract(values, "Bearer ", 0); reason == "" {
					v.Verify(t.Context(), raw, noon)
				}
			}
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / calls; each > 1<<20 {
				t.Errorf("%d bytes for one token", each)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("%v for %d tokens", took, calls)
			}
		})
	}
}
