package sidecar

import (
	"context"
	"strings"
	"testing"
	"time"
)

// streaming is podPolicy with a rule on streams.
func streaming(rule string) string {
	return strings.Replace(podPolicy, `"spec": {`, `"spec": {"streaming": {`+rule+`}, `, 1)
}

func (o *openStreams) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}

// listened is a stream that came to its end.
type listened struct {
	whole bool
	ended time.Time
}

// listen opens a stream of four seconds and follows it to its end.
func (g *guarded) listen(kid, delay string) <-chan listened {
	g.t.Helper()
	text, end := tokenOf(g.t, kid), make(chan listened, 1)
	go func() {
		reply := g.raw("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + text +
			"\r\nX-Type: text/event-stream\r\nX-Lasts: 4s\r\nX-Delay: " + delay + "\r\n\r\n")
		end <- listened{strings.HasSuffix(reply, "0\r\n\r\n"), time.Now()}
	}()
	return end
}

func TestStreamsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		rule, delay string
		after       time.Duration // of the revocation; negative: the agent ends it
	}{
		"Close":                               {`"onTokenExpiry": "Close"`, "0s", 0},
		"Close, judged before, begun after":   {`"onTokenExpiry": "Close"`, "1s", 0},
		"CloseAfterGrace":                     {`"onTokenExpiry": "CloseAfterGrace", "grace": "1s"`, "0s", time.Second},
		"CloseAfterGrace, longer than it is":  {`"onTokenExpiry": "CloseAfterGrace", "grace": "1m"`, "0s", -1},
		"Continue":                            {`"onTokenExpiry": "Continue"`, "0s", -1},
		"Continue, judged before, begun late": {`"onTokenExpiry": "Continue"`, "1s", -1},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			g := startMounted(t, nil)
			policy := streaming(test.rule)
			g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 1, kid: "1-a 1-b", policy: policy}) })
			revoked, other := g.listen("1-a", test.delay), g.listen("1-b", test.delay)
			await(t, "both are under way", func() bool { return g.sidecar.requests.Load() == 2 })
			if test.delay == "0s" {
				await(t, "both streams", func() bool { return g.metric(`gatepost_streams_active{kind="sse"}`) == "2" })
			}
			at := time.Now()
			g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 2, kid: "1-b", revoked: []string{"1-a"}, policy: policy}) })
			got, rest := <-revoked, <-other
			if !rest.whole {
				t.Error("the stream under the other key was cut")
			}
			if got.whole != (test.after < 0) {
				t.Errorf("the stream under the revoked key came to its end: %v", got.whole)
			}
			if early := at.Add(test.after).Sub(got.ended); test.after >= 0 && early > 0 {
				t.Errorf("it was cut %v early", early)
			}
			want := map[bool]string{true: "1", false: ""}[test.after >= 0]
			await(t, "its end is counted", func() bool {
				return g.metric(`gatepost_streams_closed_total{cause="key_removed",kind="sse"}`) == want && g.sidecar.open.count() == 0
			})
		})
	}
}

// A key that goes when its tokens have expired long since takes nothing from
// their grace.
func TestARemovedKeyLeavesTheGraceOfExpiredTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for sentence, test := range map[string]struct {
		ends, want time.Time
		why        string
	}{
		"a token that lives for another minute": {now.Add(time.Minute + 10*time.Second), now.Add(10 * time.Second), causeKeyRemoved},
		"a token that expired a second ago":     {now.Add(9 * time.Second), now.Add(9 * time.Second), causeExpired},
	} {
		_, cut := context.WithCancel(t.Context())
		e := &expiry{at: test.ends, why: causeExpired, cut: cut, grace: 10 * time.Second, key: keyName{"own", "1-a"}, timer: time.NewTimer(time.Hour)}
		var open openStreams
		e.open = &open
		open.add(e)
		open.withdraw(loaded{"own": {kids: []string{"1-a"}}}, now)
		if !e.at.Equal(test.ends) {
			t.Errorf("%s: a loaded key moved its end", sentence)
		}
		open.withdraw(loaded{"own": {kids: []string{"2-b"}}}, now)
		if !e.at.Equal(test.want) || e.why != test.why {
			t.Errorf("%s: ends at %v for %s, want %v for %s", sentence, e.at.Sub(now), e.why, test.want.Sub(now), test.why)
		}
		if e.end(); open.count() != 0 {
			t.Errorf("%s: it is still listed", sentence)
		}
		cut()
	}
}

func TestWhichKeysAreLacked(t *testing.T) {
	t.Parallel()
	keys := loaded{"own": {kids: []string{"1-a"}}, "none": {}, "stale": {unknown: true}}
	for sentence, test := range map[string]struct {
		key  keyName
		want bool
	}{
		"loaded":                              {keyName{"own", "1-a"}, false},
		"not loaded":                          {keyName{"own", "2-b"}, true},
		"a key without an id":                 {keyName{"own", ""}, false},
		"the last key was removed":            {keyName{"none", "1-a"}, true},
		"a key set that could not be fetched": {keyName{"stale", "1-a"}, false},
		"a provider that is gone":             {keyName{"gone", "1-a"}, true},
		"an API key":                          {keyName{}, false},
	} {
		if got := keys.lacks(test.key); got != test.want {
			t.Errorf("%s: %v, want %v", sentence, got, test.want)
		}
	}
}
