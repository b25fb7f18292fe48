package sidecar

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Starlette, Werkzeug and others take more away around a cookie's name than
// RFC 6265 lets them: what they read must not differ from what was judged.
func TestCookieNamesOfLenientReaders(t *testing.T) {
	g := start(t, setup{policy: cookiePolicy})
	text := teacher(t)
	for name, blank := range map[string]string{
		"a no-break space in Latin-1": "\xa0", "a C1 line end": "\x85", "any byte beyond ASCII": "\xff",
		"a quote": `"`, "an apostrophe": "'", "a no-break space": "\u00a0", "an ideographic space": "\u3000",
		"an em space": "\u2003", "a line separator": "\u2028", "a byte order mark": "\ufeff", "several of them": "\u3000 \"\xa0\t",
	} {
		for _, forged := range []string{"session" + blank + "=x", blank + "session=x", blank + "session" + blank + "=x"} {
			for _, line := range []string{"session=" + text + "; " + forged, forged + "; session=" + text, forged} {
				before := len(g.agent.requests())
				if got := g.do("GET", "/x", nil, "Cookie", line); got.status != 400 || len(g.agent.requests()) != before {
					t.Errorf("%s: %d, want 400 and nothing at the agent", name, got.status)
				}
			}
			g.do("GET", "/health", nil, "Cookie", "a=1; "+forged)
			if diff := cmp.Diff([]string{"a=1"}, g.agent.last(t).Header["Cookie"]); diff != "" {
				t.Errorf("%s: cookies of an exempt request (-want +got)\n%s", name, diff)
			}
		}
	}
}

// The values of other cookies hold what they like.
func TestCookiesBesideTheToken(t *testing.T) {
	g := start(t, setup{policy: cookiePolicy})
	text := teacher(t)
	for _, other := range []string{"city=Zürich", "city=Z\xfcrich", "note=\u3000\u00a0", `prefs="a, b"`, `prefs={"session":"x"}`, "sitzung\u00a0=1", "mysession\u00a0=1"} {
		got := g.do("GET", "/x", nil, "Cookie", other+"; session="+text)
		if got.status != 200 {
			t.Errorf("beside %q: %d, want 200", other, got.status)
			continue
		}
		if diff := cmp.Diff([]string{other}, g.agent.last(t).Header["Cookie"]); diff != "" {
			t.Errorf("cookies of the agent (-want +got)\n%s", diff)
		}
	}
}
