package rollcall

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

var (
	ackKey   = token.Secret("thirty-two bytes that a bundle has")
	otherKey = token.Secret("thirty-two bytes of another bundle")
)

// stateOf is what an honest sidecar with a revision knows.
func stateOf(uid string, revision int64) bundle.State {
	return bundle.State{
		PodUID: uid, Revision: revision, Generations: map[string]int64{"web": revision},
		LastAccepted: map[string]time.Time{}, KIDs: map[string][]string{"web": {"1-a"}},
	}
}

// signed is the body of an answer.
func signed(t testing.TB, state bundle.State, key token.Secret, nonce string) []byte {
	t.Helper()
	if err := state.Sign(key, nonce); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	good := signed(t, stateOf("pod-1", 7), ackKey, "fresh")
	for sentence, test := range map[string]struct {
		body    []byte
		problem string
	}{
		"an honest answer is good":                         {good, ""},
		"one of another pod":                               {signed(t, stateOf("pod-2", 7), ackKey, "fresh"), WrongPod},
		"one of no pod":                                    {signed(t, stateOf("", 7), ackKey, "fresh"), WrongPod},
		"one that is signed with another key":              {signed(t, stateOf("pod-1", 7), otherKey, "fresh"), BadMAC},
		"one to an earlier question":                       {signed(t, stateOf("pod-1", 7), ackKey, "stale"), BadMAC},
		"one that is not signed":                           {[]byte(`{"podUID":"pod-1","revision":7,"generations":{},"lastAccepted":{}}`), BadMAC},
		"one with a higher revision than was signed":       {[]byte(strings.Replace(string(good), `"revision":7`, `"revision":8`, 1)), BadMAC},
		"one with another generation than was signed":      {[]byte(strings.Replace(string(good), `"web":7`, `"web":9`, 1)), BadMAC},
		"one with other keys than were signed":             {[]byte(strings.Replace(string(good), `1-a`, `1-b`, 1)), BadMAC},
		"one with a use that was not signed":               {[]byte(strings.Replace(string(good), `"lastAccepted":{}`, `"lastAccepted":{"x":"2026-01-01T00:00:00Z"}`, 1)), BadMAC},
		"no answer":                                        {nil, Malformed},
		"rubbish":                                          {[]byte("\x1b[2J\r\nlevel=ERROR"), Malformed},
		"two answers":                                      {append(append([]byte{}, good...), good...), Malformed},
		"a list":                                           {[]byte(`[]`), Malformed},
		"a negative revision, though signed":               {signed(t, stateOf("pod-1", -1), ackKey, "fresh"), Malformed},
		"more than any sidecar has to say":                 {[]byte(`{"podUID":"` + strings.Repeat("x", bundle.MaxStateBytes) + `"}`), Malformed},
		"a revision that is no number":                     {[]byte(`{"podUID":"pod-1","revision":1e99}`), Malformed},
		"a signature that is no base64":                    {[]byte(`{"podUID":"pod-1","revision":7,"mac":"%%%"}`), BadMAC},
		"a name in another case does not make another pod": {signed(t, stateOf("POD-1", 7), ackKey, "fresh"), WrongPod},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := judge(test.body, question{uid: "pod-1", key: ackKey}, "fresh")
			if got.problem != test.problem {
				t.Fatalf("problem %q, want %q", got.problem, test.problem)
			}
			if test.problem != "" && got.state.PodUID != "" || got.state.MAC != "" {
				t.Errorf("state %+v", got.state)
			}
			if test.problem == "" && got.state.Revision != 7 {
				t.Errorf("revision %d", got.state.Revision)
			}
		})
	}
	if got := judge(good, question{uid: "pod-1"}, "fresh"); got.problem != BadMAC {
		t.Errorf("without a key: %+v", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(signed(f, stateOf("pod-1", 7), ackKey, "fresh"), "fresh")
	f.Add(signed(f, stateOf("pod-1", 7), otherKey, "fresh"), "fresh")
	f.Add([]byte(`{"podUID":"pod-1","revision":7,"mac":""}`), "")
	f.Add([]byte(`{"podUID":"pod-1","generations":{"a":1,"a":2},"mac":"AAAA"}`), "n")
	f.Fuzz(func(t *testing.T, body []byte, nonce string) {
		got := judge(body, question{uid: "pod-1", key: ackKey}, nonce)
		switch got.problem {
		case Malformed, WrongPod, BadMAC:
			return
		case "":
		default:
			t.Fatalf("problem %q is none of judge", got.problem)
		}
		again := got.state
		if err := again.Sign(ackKey, nonce); err != nil {
			t.Fatal(err)
		}
		claimed, err := bundle.ParseState(body)
		if err != nil || claimed.MAC != again.MAC && !claimed.Verify(ackKey, nonce) {
			t.Fatalf("believed %q, which nobody signed", body)
		}
	})
}

func TestUsesAreNeverTakenForEarlierThanTheyWere(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		if clock == "" {
			return time.Time{}
		}
		parsed, err := time.Parse(time.TimeOnly, clock)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 11, 22, parsed.Hour(), parsed.Minute(), parsed.Second(), 0, time.UTC)
	}
	for sentence, test := range map[string]struct{ second, secondBefore, now, before, want string }{
		"the second is over":                          {"11:00:00", "", "12:00:00", "", "11:00:01"},
		"the second is not over":                      {"11:59:20", "", "11:59:20", "", "11:59:20"},
		"a clock ahead does not reach the future":     {"13:00:00", "", "12:00:00", "", "12:00:00"},
		"another second than before, by a slow clock": {"11:01:00", "11:00:00", "12:00:00", "11:59:00", "11:59:00"},
		"a first use, by a slow clock":                {"11:01:00", "", "12:00:00", "11:59:00", "11:59:00"},
		"the same second as before":                   {"11:00:00", "11:00:00", "12:00:00", "11:59:00", "11:00:01"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := acceptedAt(at(test.second), at(test.secondBefore), at(test.now), at(test.before))
			if !got.Equal(at(test.want)) {
				t.Errorf("accepted at %v, want %s", got, test.want)
			}
		})
	}
}

func TestNoSidecarFillsTheMemoryWithKeyIDs(t *testing.T) {
	t.Parallel()
	accepted := map[string]time.Time{"1-real": noon}
	flood := func(from int) bundle.State {
		state := bundle.State{LastAccepted: map[string]time.Time{}}
		for n := range 2 * maxAccepted {
			state.LastAccepted[fmt.Sprint(from+n)] = noon
		}
		return state
	}
	accept(accepted, nil, flood(0), Answer{}, noon)
	accept(accepted, nil, flood(1<<20), Answer{}, noon.Add(time.Minute))
	if _, kept := accepted["1-real"]; !kept || len(accepted) != maxAccepted {
		t.Errorf("%d key ids, the real one kept: %v", len(accepted), kept)
	}
	named := bundle.State{LastAccepted: map[string]time.Time{"1-named": noon}}
	if first := accept(accepted, map[string]bool{"1-named": true}, named, Answer{}, noon); !first {
		t.Error("made-up key ids crowd out one that is live")
	}
	state := bundle.State{LastAccepted: map[string]time.Time{"2-new": noon.Add(72 * time.Hour)}}
	if first := accept(accepted, nil, state, Answer{}, noon.Add(72*time.Hour)); !first || len(accepted) != 1 {
		t.Errorf("days later: %d key ids, a new one noted: %v", len(accepted), first)
	}
}

func TestEqualStatesShareTheirMaps(t *testing.T) {
	t.Parallel()
	one, two := stateOf("pod-1", 7), stateOf("pod-2", 7)
	got := share(two, one)
	one.Generations["mark"] = 1
	one.KIDs["mark"] = nil
	if _, shared := got.Generations["mark"]; !shared {
		t.Error("the generations were not shared")
	}
	if _, shared := got.KIDs["mark"]; !shared {
		t.Error("the key ids were not shared")
	}
	other := stateOf("pod-3", 8)
	if diff := cmp.Diff(stateOf("pod-3", 8), share(other, one)); diff != "" {
		t.Errorf("a state was changed (-want +got):\n%s", diff)
	}
}

// One that lies about sets of other policies, or about ten thousand of nobody,
// is not heard.
func TestSidecarsAreHeardOnTheirOwnSetsOnly(t *testing.T) {
	t.Parallel()
	lie := stateOf("pod-1", 7)
	lie.Generations["victim"], lie.KIDs["victim"] = 99, []string{"9-x"}
	lie.Revoked = map[string][]string{"victim": {"1-v"}, "web": {"0-w"}}
	lie.LastAccepted = map[string]time.Time{"1-a": noon, "1-late": noon, "9-x": noon, "1-v": noon}
	lie.Signs = map[string]string{"victim": "9-x", "web": "1-a"}
	named := confine(&lie, map[string][]string{"web": {"1-late"}}, []string{"web"})
	want := stateOf("pod-1", 7)
	want.Revoked = map[string][]string{"web": {"0-w"}}
	want.LastAccepted = map[string]time.Time{"1-a": noon, "1-late": noon}
	want.Signs = map[string]string{"web": "1-a"}
	if diff := cmp.Diff(want, lie); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]bool{"1-late": true}, named); diff != "" {
		t.Errorf("named (-want +got):\n%s", diff)
	}
	s := newStand(t, Options{})
	s.expect(7, time.Minute, podsOf("p", 1, true)...)
	s.ask(func(q question) reply {
		lie := stateOf(string(q.uid), 7)
		lie.Generations["victim"] = 99
		return reply{state: lie}
	})
	if got := s.report().Answers["p-0"].State.Generations; !cmp.Equal(got, map[string]int64{"web": 7}) {
		t.Errorf("heard on %v", got)
	}
}

// A key waits for its issuers as it does for its verifiers: one that signs with
// another key at the same revision is news.
func TestAnIssuerThatSignsWithAnotherKeyIsNews(t *testing.T) {
	t.Parallel()
	was, is := stateOf("pod-1", 7), stateOf("pod-1", 7)
	was.Signs, is.Signs = map[string]string{"web": "1-a"}, map[string]string{"web": "2-b"}
	if !same(was, was) || same(was, is) || same(is, stateOf("pod-1", 7)) {
		t.Errorf("same: %v, other key %v, none %v", same(was, was), same(was, is), same(is, stateOf("pod-1", 7)))
	}
	if got := share(stateOf("pod-1", 7), is); len(got.Signs) > 0 {
		t.Errorf("one that signs with nothing got %v", got.Signs)
	}
}

// The first answer after a start may be a liar's.
func TestALiarDoesNotHideTheUseOfAKey(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	pods := podsOf("p", 2, true)
	s.expect(7, time.Minute, pods...)
	for range 2 {
		s.ask(func(q question) reply {
			state := stateOf(string(q.uid), 7)
			state.LastAccepted["1-a"] = s.now
			if q.uid == pods[0].UID {
				state.LastAccepted = map[string]time.Time{}
				for n := range maxAccepted {
					state.LastAccepted[fmt.Sprint(n, "-fake")] = s.now
				}
			}
			return reply{state: state}
		})
		s.now = s.now.Add(2 * time.Minute)
	}
	if got := s.report().Accepted; len(got) != 1 || got["1-a"].IsZero() {
		t.Errorf("%d key ids are remembered, 1-a at %v", len(got), got["1-a"])
	}
}
