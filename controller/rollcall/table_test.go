package rollcall

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
)

var chat = types.NamespacedName{Namespace: "agents", Name: "chat"}

// heardOn are the sets that the sidecars of these tests have.
var heardOn = map[string][]string{"web": {"1-a", "kid-0", "kid-1", "kid-2"}}

// stand is a table with a clock that a test moves.
type stand struct {
	t     *testing.T
	table *table
	now   time.Time
}

func newStand(t *testing.T, o Options) *stand {
	t.Helper()
	return &stand{t: t, table: newTable(o.complete()), now: noon}
}

func podsOf(prefix string, n int, told bool) []Pod {
	pods := make([]Pod, n)
	for i := range pods {
		uid := fmt.Sprintf("%s-%d", prefix, i)
		pods[i] = Pod{UID: types.UID(uid), Name: uid, Address: "10.0.0.1:19901", Told: told}
	}
	return pods
}

func (s *stand) expect(revision int64, every time.Duration, pods ...Pod) {
	s.table.expect(chat, Call{Pods: pods, AckKey: ackKey, Revision: revision, Every: every, Keys: heardOn}, s.now)
}

// ask answers everything that is due with what answer says, until nothing is
// due, and returns how many questions that were.
func (s *stand) ask(answer func(question) reply) int {
	for asked := 0; ; {
		errands, _ := s.table.take(s.now)
		if len(errands) == 0 {
			return asked
		}
		asked += len(errands)
		for _, e := range errands {
			s.table.settle(e, answer(e.question), s.now)
		}
	}
}

// next is how long it is until the next question, zero if there will be none.
func (s *stand) next() time.Duration {
	errands, next := s.table.take(s.now)
	if len(errands) > 0 {
		s.t.Fatalf("%d questions are due at once", len(errands))
	}
	if next.IsZero() {
		return 0
	}
	return next.Sub(s.now)
}

func (s *stand) report() Report { return s.table.groups[chat].report(s.now) }

func loaded(revision int64) func(question) reply {
	return func(q question) reply { return reply{state: stateOf(string(q.uid), revision)} }
}

func silent(question) reply { return reply{problem: Unreachable} }

func within(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %v, want %v to %v", what, got, low, high)
	}
}

func TestWhenASidecarIsAsked(t *testing.T) {
	t.Parallel()
	told, untold := podsOf("p", 1, true), podsOf("p", 1, false)
	for sentence, test := range map[string]struct {
		do        func(s *stand)
		low, high time.Duration
	}{
		"again after a while, once it has the revision": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
		}, 54 * time.Second, 66 * time.Second},
		"after five minutes where nothing is said": {func(s *stand) {
			s.expect(7, 0, told...)
			s.ask(loaded(7))
		}, 270 * time.Second, 330 * time.Second},
		"0.3 s after it was told of a new one": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
			s.expect(8, time.Minute, untold...)
			s.expect(8, time.Minute, told...)
		}, firstPause, firstPause},
		"0.3 s after the nudger told it": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
			s.expect(8, time.Minute, untold...)
			s.table.groups[chat].told("p-0", 8, s.now)
		}, firstPause, firstPause},
		"not sooner when it was told of another": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
			s.expect(8, time.Minute, untold...)
			s.table.groups[chat].told("p-0", 7, s.now)
			s.table.groups[chat].told("p-9", 8, s.now)
		}, 9 * time.Second, 11 * time.Second},
		"again soon, while it has not got it": {func(s *stand) {
			s.expect(8, time.Minute, told...)
			s.ask(loaded(7))
		}, 180 * time.Millisecond, 220 * time.Millisecond},
		"after ten seconds while nobody told it": {func(s *stand) {
			s.expect(8, time.Minute, untold...)
			s.ask(loaded(7))
		}, 9 * time.Second, 11 * time.Second},
		"soon when its address changed": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
			moved := told[0]
			moved.Address = "10.0.0.2:19901"
			s.expect(7, time.Minute, moved)
			if n := s.ask(loaded(7)); n != 1 {
				t.Errorf("asked %d times at its new address", n)
			}
		}, 54 * time.Second, 66 * time.Second},
		"sooner when the interval became shorter": {func(s *stand) {
			s.expect(7, time.Hour, told...)
			s.ask(loaded(7))
			s.now = s.now.Add(time.Minute)
			s.expect(7, 2*time.Minute, told...)
		}, 48 * time.Second, 72 * time.Second},
		"never without an address": {func(s *stand) {
			s.expect(7, time.Minute, Pod{UID: "p-0", Told: true})
		}, 0, 0},
		"never without a key": {func(s *stand) {
			s.table.expect(chat, Call{Pods: told, Revision: 7, Keys: heardOn}, s.now)
		}, 0, 0},
		"not once it is gone": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.ask(loaded(7))
			s.expect(7, time.Minute)
		}, 0, 0},
		"not once the bundle is forgotten": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			s.table.forget(chat)
		}, 0, 0},
		"at most every ten seconds while it is silent": {func(s *stand) {
			s.expect(7, time.Minute, told...)
			for range 20 {
				s.ask(silent)
				s.now = s.now.Add(11 * time.Second)
			}
			s.ask(silent)
		}, 9 * time.Second, 11 * time.Second},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, Options{})
			s.t = t
			test.do(s)
			within(t, "asked again after", s.next(), test.low, test.high)
		})
	}
}

// A bundle with thousands of pods on dead nodes keeps neither another bundle nor
// the living pods of its own waiting.
func TestDeadPodsStarveNobody(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	const places = 64
	living := types.NamespacedName{Namespace: "agents", Name: "living"}
	s.expect(7, time.Minute, podsOf("dead", 5000, true)...)
	hanging := 0
	hold := func() {
		errands, _ := s.table.take(s.now)
		for _, e := range errands {
			if e.group.name == chat && len(e.uid) > 4 && e.uid[:4] == "dead" {
				hanging++
				continue
			}
			s.table.settle(e, loaded(7)(e.question), s.now)
		}
	}
	hold()
	if hanging > places*3/4 {
		t.Fatalf("%d of %d places hang on one bundle", hanging, places)
	}
	s.table.expect(living, Call{Pods: podsOf("living", 200, true), AckKey: ackKey, Revision: 7, Keys: heardOn}, s.now)
	for range 200 {
		hold()
	}
	if g := s.table.groups[living]; !g.complete() {
		t.Errorf("%d of 200 living pods of another bundle answered while the dead ones hang", g.acked)
	}

	// Known to be silent, they leave half of the places to the rest of their bundle.
	s = newStand(t, Options{})
	s.expect(7, time.Minute, podsOf("dead", 5000, true)...)
	s.ask(silent)
	s.now = s.now.Add(time.Minute)
	hanging = 0
	s.expect(7, time.Minute, append(podsOf("dead", 5000, true), podsOf("new", 200, true)...)...)
	for range 200 {
		hold()
	}
	if hanging > places/2 {
		t.Errorf("%d of %d places hang on silent pods", hanging, places)
	}
	if acked := s.table.groups[chat].acked; acked != 200 {
		t.Errorf("%d of 200 living pods of the same bundle answered", acked)
	}
}

func TestWhoIsSuspected(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		reply   reply
		suspect bool
	}{
		"one that starts and says so":    {reply{problem: NotLoaded}, false},
		"one that says so after a while": {reply{problem: NotLoaded, slow: true}, true},
		"one that does not answer":       {reply{problem: Unreachable}, true},
		"one that answers for another":   {reply{problem: WrongPod}, true},
		"one that answers well":          {reply{state: stateOf("p-0", 7)}, false},
		"one that proves it but is busy": {reply{state: stateOf("p-0", 7), slow: true}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, Options{})
			s.expect(7, time.Minute, podsOf("p", 1, true)...)
			s.ask(func(question) reply { return test.reply })
			if got := s.table.groups[chat].members["p-0"].suspect; got != test.suspect {
				t.Errorf("suspected: %v", got)
			}
		})
	}
}

func TestThereAreNeverMoreQuestionsThanPlaces(t *testing.T) {
	t.Parallel()
	for _, places := range []int{1, 2, 3, 64} {
		s := newStand(t, Options{Concurrency: places})
		for n := range 5 {
			name := types.NamespacedName{Namespace: "agents", Name: fmt.Sprint(n)}
			s.table.expect(name, Call{Pods: podsOf("p", 100, true), AckKey: ackKey, Revision: 7, Keys: heardOn}, s.now)
		}
		var under []errand
		for range 1000 {
			errands, _ := s.table.take(s.now)
			under = append(under, errands...)
			if len(under) > places || len(under) == 0 {
				t.Fatalf("%d questions under way in %d places", len(under), places)
			}
			s.table.settle(under[0], reply{problem: Unreachable}, s.now)
			under = under[1:]
			s.now = s.now.Add(100 * time.Millisecond)
		}
	}
}

func TestWhatIsKnownOfVanishedPods(t *testing.T) {
	t.Parallel()
	used := func(q question) reply {
		state := stateOf(string(q.uid), 7)
		state.LastAccepted["1-a"] = noon.Add(-time.Hour)
		return reply{state: state}
	}
	t.Run("when they accepted is kept, and a fresh answer loses nothing", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, Options{})
		s.expect(7, time.Minute, podsOf("p", 1, true)...)
		s.ask(used)
		s.now = s.now.Add(time.Minute)
		s.expect(7, time.Minute)
		want := Report{
			Answers: map[types.UID]Answer{}, Accepted: map[string]time.Time{"1-a": noon.Add(-time.Hour + time.Second)}, Since: noon,
		}
		if diff := cmp.Diff(want, s.report()); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	})
	t.Run("after silence something may be lost", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, Options{})
		s.expect(7, time.Minute, podsOf("p", 1, true)...)
		s.ask(used)
		s.now = s.now.Add(82 * time.Second) // 1 min and a tenth, and 15 s
		s.expect(7, time.Minute)
		if got := s.report().Lost; !got.Equal(s.now) {
			t.Errorf("lost at %v, want %v", got, s.now)
		}
	})
	t.Run("one that never answered", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, Options{})
		s.expect(7, time.Minute, podsOf("p", 2, true)...)
		s.now = s.now.Add(10 * time.Second)
		s.expect(7, time.Minute, podsOf("p", 1, true)...)
		if got := s.report().Lost; !got.IsZero() {
			t.Errorf("lost at %v, though it had hardly been there", got)
		}
		s.now = s.now.Add(10 * time.Second)
		s.expect(7, time.Minute)
		if got := s.report().Lost; !got.Equal(s.now) {
			t.Errorf("lost at %v, want %v", got, s.now)
		}
	})
	t.Run("an answer that was under way when the pod vanished counts", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, Options{})
		s.expect(7, time.Minute, podsOf("p", 1, true)...)
		errands, _ := s.table.take(s.now)
		s.expect(7, time.Minute)
		s.table.settle(errands[0], used(errands[0].question), s.now)
		report := s.report()
		if len(report.Answers) != 0 || report.Accepted["1-a"].IsZero() {
			t.Errorf("report %+v", report)
		}
		if s.next() != 0 {
			t.Error("it is asked again")
		}
	})
	t.Run("a shorter interval makes nobody late at once", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, Options{})
		s.expect(7, time.Hour, podsOf("p", 1, true)...)
		s.ask(loaded(7))
		s.now = s.now.Add(50 * time.Minute)
		s.expect(7, time.Second, podsOf("p", 1, true)...)
		if answer := s.report().Answers["p-0"]; answer.Stale {
			t.Error("stale at once")
		}
		s.now = s.now.Add(16 * time.Second)
		if answer := s.report().Answers["p-0"]; !answer.Stale {
			t.Error("not stale though nobody answered since")
		}
	})
}

func TestProofsAreOfOneKeyOnly(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	pods := podsOf("p", 2, true)
	s.expect(7, time.Minute, pods...)
	s.ask(loaded(7))
	s.table.expect(chat, Call{Pods: pods, AckKey: otherKey, Revision: 7, Keys: heardOn}, s.now)
	for uid, answer := range s.report().Answers {
		if !answer.At.IsZero() || !answer.Stale {
			t.Errorf("%s still counts: %+v", uid, answer)
		}
	}
	// An answer to a question that was put under the key before counts no more.
	s = newStand(t, Options{})
	s.expect(7, time.Minute, pods...)
	errands, _ := s.table.take(s.now)
	s.table.expect(chat, Call{Pods: pods, AckKey: otherKey, Revision: 7, Keys: heardOn}, s.now)
	for _, e := range errands {
		s.table.settle(e, loaded(7)(e.question), s.now)
	}
	if g := s.table.groups[chat]; g.acked != 0 || len(g.accepted) != 0 {
		t.Errorf("%d acknowledge under a key that is gone", g.acked)
	}
	if n := s.ask(loaded(7)); n != 2 || !s.table.groups[chat].complete() {
		t.Errorf("asked %d times under the new key", n)
	}
}

func TestOneAnswersForItselfAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	s.expect(7, time.Minute, podsOf("p", 3, true)...)
	s.ask(func(q question) reply {
		if q.uid == "p-1" {
			return reply{problem: BadMAC}
		}
		return loaded(7)(q)
	})
	s.now = s.now.Add(time.Second)
	s.expect(8, time.Minute, podsOf("p", 3, true)...)
	s.now = s.now.Add(time.Second)
	s.ask(func(q question) reply {
		return map[types.UID]reply{"p-0": {state: stateOf("p-0", 9)}, "p-1": {problem: NotLoaded}, "p-2": {problem: Unreachable}}[q.uid]
	})
	second, third := noon.Add(2*time.Second), noon
	want := map[types.UID]Answer{
		"p-0": {State: stateOf("p-0", 9), At: second, First: second}, // a revision above the bundle's is told as it is
		"p-1": {Problem: NotLoaded, Stale: true},
		"p-2": {State: stateOf("p-2", 7), At: third, First: third, Problem: Unreachable},
	}
	if diff := cmp.Diff(want, s.report().Answers, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestFirstStaysWhenASidecarIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	for range 3 {
		s.expect(7, time.Minute, podsOf("p", 1, true)...)
		s.ask(loaded(7))
		s.now = s.now.Add(70 * time.Second)
	}
	answer := s.report().Answers["p-0"]
	if !answer.First.Equal(noon) || !answer.At.Equal(noon.Add(140*time.Second)) {
		t.Errorf("first proven %v, last answered %v", answer.First, answer.At)
	}
}

func TestNewsAreToldSeldomAndTheLastAcknowledgementAtOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	told := func() int {
		names, _ := s.table.notices(s.now)
		return len(names)
	}
	step := func(what string, want int) {
		t.Helper()
		if got := told(); got != want {
			t.Errorf("%s: told %d times, want %d", what, got, want)
		}
	}
	pods := podsOf("p", 3, true)
	s.expect(7, time.Minute, pods...)
	step("somebody is expected", 1)
	one := func(uid types.UID, r reply) {
		errands, _ := s.table.take(s.now)
		for _, e := range errands {
			if e.uid == uid {
				s.table.settle(e, r, s.now)
				continue
			}
			e.member.asking, e.member.due = false, s.now
			s.table.count(e, -1)
			e.group.enqueue(e.member)
		}
	}
	one("p-0", loaded(7)(question{uid: "p-0"}))
	step("the first acknowledged within the second", 0)
	if _, next := s.table.notices(s.now); !next.Equal(noon.Add(time.Second)) {
		t.Errorf("to be told at %v", next)
	}
	s.now = s.now.Add(time.Second)
	step("a second later", 1)
	one("p-1", loaded(7)(question{uid: "p-1"}))
	step("the second acknowledged", 0)
	one("p-2", loaded(7)(question{uid: "p-2"}))
	step("the last acknowledged", 1)
	step("nothing happened", 0)
	s.now = s.now.Add(2 * time.Minute)
	s.ask(loaded(7))
	step("all answered the same again", 0)
	s.now = s.now.Add(70 * time.Second)
	s.ask(silent)
	step("all fell silent", 1)
	s.now = s.now.Add(2 * time.Second)
	s.ask(silent)
	step("and are still silent", 0)
	s.now = s.now.Add(time.Minute)
	s.ask(silent)
	step("their answers became stale", 1)
	s.now = s.now.Add(12 * time.Second)
	s.ask(loaded(9))
	step("they have a revision above the bundle's", 1)
	s.now = s.now.Add(2 * time.Minute)
	s.ask(func(q question) reply {
		r := loaded(9)(q)
		r.state.LastAccepted = map[string]time.Time{"1-a": noon}
		return r
	})
	step("a key was used for the first time", 1)
	s.now = s.now.Add(2 * time.Minute)
	s.ask(func(q question) reply {
		r := loaded(9)(q)
		r.state.LastAccepted = map[string]time.Time{"1-a": noon.Add(time.Minute)}
		return r
	})
	step("it was used again", 0)
	s.expect(9, time.Minute, pods[:2]...)
	step("a pod vanished", 1)
	s.expect(9, time.Minute, pods[:2]...)
	step("the same are expected", 0)
}

// A read of a stale answer is remembered: the next good one is news.
func TestGoodNewsAfterAStaleReport(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	s.expect(7, time.Minute, podsOf("p", 1, true)...)
	s.ask(loaded(7))
	s.table.notices(s.now)
	s.now = s.now.Add(10 * time.Minute)
	if !s.report().Answers["p-0"].Stale {
		t.Fatal("not stale")
	}
	s.ask(loaded(7))
	if names, _ := s.table.notices(s.now); len(names) != 1 || s.report().Answers["p-0"].Stale {
		t.Errorf("told %v, stale %v", names, s.report().Answers["p-0"].Stale)
	}
}

func TestThousandsAreToldOfInFewPieces(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{})
	const pods = 5000
	s.expect(7, time.Hour, podsOf("p", pods, false)...)
	s.ask(loaded(7))
	s.now = s.now.Add(time.Hour / 2)
	s.table.notices(s.now)
	s.expect(8, time.Hour, podsOf("p", pods, false)...)
	told, revision := 0, map[types.UID]int64{}
	for n := range pods { // 50 are told a second
		uid := types.UID(fmt.Sprint("p-", n))
		revision[uid] = 8
		s.table.groups[chat].told(uid, 8, s.now)
		s.now = s.now.Add(20 * time.Millisecond)
		s.ask(func(q question) reply { return loaded(max(7, revision[q.uid]))(q) })
		names, _ := s.table.notices(s.now)
		told += len(names)
	}
	if told < 10 || told > 25 {
		t.Errorf("a rollout of 100 s to %d pods was told in %d pieces", pods, told)
	}
}

func TestForgettingTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	s := newStand(t, Options{Concurrency: 4})
	other := types.NamespacedName{Namespace: "agents", Name: "other"}
	s.expect(7, time.Minute, podsOf("p", 10, true)...)
	s.table.expect(other, Call{Pods: podsOf("o", 10, true), AckKey: ackKey, Revision: 7, Keys: heardOn}, s.now)
	errands, _ := s.table.take(s.now)
	s.table.forget(chat)
	s.table.forget(chat)
	for _, e := range errands {
		s.table.settle(e, loaded(7)(e.question), s.now)
	}
	s.ask(loaded(7))
	if g := s.table.groups[other]; !g.complete() || s.table.busy != 0 || s.table.suspected != 0 {
		t.Errorf("%d of 10 acknowledged, %d places are taken", g.acked, s.table.busy)
	}
	if diff := cmp.Diff(map[types.NamespacedName]bool{other: true}, func() map[types.NamespacedName]bool {
		names := map[types.NamespacedName]bool{}
		for _, g := range s.table.ring {
			names[g.name] = true
		}
		return names
	}()); diff != "" {
		t.Error(diff)
	}
	s.expect(9, time.Minute, podsOf("p", 1, true)...)
	if report := s.report(); len(report.Accepted) != 0 || report.Answers["p-0"].State.Revision != 0 {
		t.Errorf("something was remembered: %+v", report)
	}
}
