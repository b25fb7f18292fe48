package sidecar

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
)

// ask judges a request with this token at a time.
func (g *guarded) ask(token string, now time.Time) judgement {
	return g.sidecar.current.Load().judge(g.t.Context(), asking(token), now)
}

// asking is a request with this token.
func asking(token string) query {
	return query{
		RequestLine: policy.RequestLine{Method: "GET", Target: "/x"},
		header:      http.Header{"Authorization": {bearer(token)}},
	}
}

func TestRecallHoldsOnlyAsLongAsTheTokenDoes(t *testing.T) {
	g := start(t, setup{})
	now := time.Now().Truncate(time.Second)
	token := mint(t, map[string]any{"role": "teacher", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	first := g.ask(token, now)
	if first.Reason != policy.OK {
		t.Fatal(first.Reason)
	}
	again := g.ask(token, now.Add(time.Second))
	if again.outcome.Verified != first.outcome.Verified || again.outcome.Remaining != 59*time.Second || again.persona != first.persona {
		t.Errorf("a second later: %+v, not recalled", again.outcome)
	}
	for name, c := range map[string]struct {
		token  string
		at     time.Time
		reason policy.Reason
		leeway string
	}{
		"within the leeway":                {token, now.Add(65 * time.Second), policy.OK, "exp"},
		"expired":                          {token, now.Add(2 * time.Minute), policy.Expired, ""},
		"the clock was set back":           {token, now.Add(-time.Hour), policy.NotYetValid, ""},
		"the same signature, another body": {swapBody(token, mint(t, map[string]any{"role": "teacher", "sub": "other"})), now, policy.SignatureInvalid, ""},
		"one more letter":                  {token + "A", now, "", ""},
	} {
		if got := g.ask(c.token, c.at); got.Reason.Allows() != c.reason.Allows() || c.reason != "" && got.Reason != c.reason || got.outcome.Leeway != c.leeway {
			t.Errorf("%s: %s (leeway %q), want %s (%q)", name, got.Reason, got.outcome.Leeway, c.reason, c.leeway)
		}
	}
	g.sidecar.current.Load().recall.forget()
	if forgotten := g.ask(token, now.Add(time.Second)); forgotten.Reason != policy.OK || forgotten.outcome.Verified == first.outcome.Verified {
		t.Errorf("after forgetting: %s, recalled %v", forgotten.Reason, forgotten.outcome.Verified == first.outcome.Verified)
	}
}

// swapBody puts the body of another token between head and signature of one.
func swapBody(token, other string) string {
	parts, others := strings.Split(token, "."), strings.Split(other, ".")
	return parts[0] + "." + others[1] + "." + parts[2]
}

// What a recalled token may do is decided each time.
func TestRecallDecidesNothing(t *testing.T) {
	g := start(t, setup{})
	auth := bearer(teacher(t))
	for range 3 {
		for target, want := range map[string]int{"/x": 200, "/admin/x": 403, "/a//b": 400} {
			if got := g.do("GET", target, nil, "Authorization", auth).status; got != want {
				t.Errorf("%s: %d, want %d", target, got, want)
			}
		}
	}
}

// Tokens share places, but a thousand of them hardly drive each other out.
func TestRecallHoldsAThousandTokens(t *testing.T) {
	g, now := start(t, setup{}), time.Now()
	const tokens = 1000
	first := make(map[string]judgement, tokens)
	for i := range tokens {
		text := mint(t, map[string]any{"role": "teacher", "sub": "u-" + strconv.Itoa(i), "iat": now.Unix()}) // later ones only the leeway would save
		first[text] = g.ask(text, now)
	}
	recalled := 0
	for text, before := range first {
		if again := g.ask(text, now); again.outcome.Verified == before.outcome.Verified && again.Reason == policy.OK {
			recalled++
		}
	}
	if recalled < tokens*95/100 {
		t.Errorf("%d of %d tokens are recalled", recalled, tokens)
	}
}
