package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
)

// rollingOut is a SigningKey k whose second key is in a bundle of revision 7, on
// the pods a and b.
func rollingOut() keyWorld {
	state := &keyring.State{Algorithm: "HS256", Generation: 5, Keys: []keyring.Key{
		{KID: "3-old", Phase: keyring.Active, Generation: 4, Published: noon.Add(-time.Hour)},
		{KID: "5-new", Phase: keyring.Published, Generation: 5, Created: noon.Add(-time.Minute), Published: noon},
	}}
	w := keyWorld{key: &v1alpha1.SigningKey{}, state: state, margin: 2 * time.Minute, strict: true, peopled: noon.Add(-time.Hour), now: noon}
	w.key.Name = "k"
	w.memo = (&keyMemos{}).of(types.NamespacedName{Name: "k"}, "1")
	w.carriers = []carrier{{
		name: "chat.gatepost-bundle", revision: 7, since: 6, generation: 5, mounted: true, keys: []keyring.VerifyKey{{KID: "3-old"}, {KID: "5-new"}},
		verifiers: []verifier{{"a", loaded(7, 5, "3-old", "5-new")}, {"b", loaded(6, 4, "3-old")}},
		report:    rollcall.Report{Since: noon.Add(-time.Hour), Accepted: map[string]time.Time{"3-old": noon}},
	}}
	return w
}

// loaded is the answer of a sidecar with these keys in force.
func loaded(revision, generation int64, kids ...string) rollcall.Answer {
	return rollcall.Answer{At: noon, State: bundle.State{
		Revision: revision, Generations: map[string]int64{"k": generation}, KIDs: map[string][]string{"k": kids},
	}}
}

func TestWhatSidecarsProve(t *testing.T) {
	t.Parallel()
	const proven = 5
	for sentence, test := range map[string]struct {
		answer rollcall.Answer
		acked  int64
		silent bool
	}{
		"the bundle of now with the key":          {loaded(7, 5, "3-old", "5-new"), proven, false},
		"an older bundle that has the key":        {loaded(6, 5, "3-old", "5-new"), proven, false},
		"an older bundle without it":              {loaded(6, 4, "3-old"), 4, false},
		"a later bundle proves nothing":           {loaded(8, 5, "3-old", "5-new"), 0, false},
		"one from before it was put back neither": {loaded(5, 5, "3-old", "5-new"), 0, false},
		"the number alone does not prove the key": {loaded(7, 5, "3-old"), 4, false},
		"no answer": {rollcall.Answer{Problem: rollcall.Unreachable}, 0, true},
		"what it proved counts, though it is silent":  {func() rollcall.Answer { a := loaded(7, 5, "3-old", "5-new"); a.Stale = true; return a }(), proven, true},
		"another SigningKey's generation is no proof": {rollcall.Answer{At: noon, State: bundle.State{Revision: 7, Generations: map[string]int64{"other": 9}}}, 0, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := rollingOut()
			w.carriers[0].verifiers = []verifier{{"a", test.answer}}
			want := []keyring.Verifier{{Name: "a", Acked: test.acked, Silent: test.silent}}
			if diff := cmp.Diff(want, w.verifiers()); diff != "" {
				t.Errorf("verifiers (-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatIsKnownOfAcceptances(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	mark := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: ago(d)} }
	status := func(s v1alpha1.KeyStatus) func(*keyWorld) {
		return func(w *keyWorld) { s.KID = "3-old"; w.key.Status.Keys = []v1alpha1.KeyStatus{s} }
	}
	for sentence, test := range map[string]struct {
		change   func(*keyWorld)
		accepted time.Time // of 3-old
		doubt    time.Time
	}{
		"sidecars tell": {func(*keyWorld) {}, noon, time.Time{}},
		"the status remembers": {func(w *keyWorld) {
			status(v1alpha1.KeyStatus{LastAcceptedTime: mark(time.Hour)})(w)
			w.carriers[0].report.Accepted = nil
		}, ago(time.Hour), time.Time{}},
		"the later of both counts":            {status(v1alpha1.KeyStatus{LastAcceptedTime: mark(time.Hour)}), noon, time.Time{}},
		"a sidecar that vanished unheard":     {func(w *keyWorld) { w.carriers[0].report.Lost = ago(time.Second) }, noon, ago(time.Second)},
		"a controller that was away for long": {func(w *keyWorld) { w.carriers[0].report.Since = ago(time.Minute) }, noon, ago(time.Minute)},
		"and had watched until lately": {func(w *keyWorld) {
			status(v1alpha1.KeyStatus{LastObservedTime: mark(2 * time.Minute)})(w)
			w.carriers[0].report.Since = ago(time.Minute)
		}, noon, time.Time{}},
		"a gap before this process is remembered": {status(v1alpha1.KeyStatus{ObservedSinceTime: mark(10 * time.Minute), LastObservedTime: mark(time.Second)}), noon, ago(10 * time.Minute)},
		"a clock that was far ahead proves no watching": {func(w *keyWorld) {
			status(v1alpha1.KeyStatus{LastObservedTime: mark(-48 * time.Hour)})(w)
			w.carriers[0].report.Since = ago(time.Minute)
		}, noon, ago(time.Minute)},
		"a clock that was a little ahead does": {func(w *keyWorld) {
			status(v1alpha1.KeyStatus{LastObservedTime: mark(-time.Second)})(w)
			w.carriers[0].report.Since = ago(time.Minute)
		}, noon, time.Time{}},
		"what will be accepted was by now":         {status(v1alpha1.KeyStatus{LastAcceptedTime: mark(-48 * time.Hour)}), noon, time.Time{}},
		"a gap that will be has been by now":       {status(v1alpha1.KeyStatus{ObservedSinceTime: mark(-48 * time.Hour), LastObservedTime: mark(time.Second)}), noon, noon},
		"nobody asks yet":                          {func(w *keyWorld) { w.carriers[0].report.Since = time.Time{} }, noon, noon},
		"pods that came back after a long absence": {func(w *keyWorld) { w.peopled = ago(time.Minute) }, noon, ago(time.Minute)},
		"the same where the clock decides":         {func(w *keyWorld) { w.peopled, w.strict = ago(time.Minute), false }, noon, time.Time{}},
		"a key that signs is never in doubt": {func(w *keyWorld) {
			w.state.Keys[0].Phase = keyring.Active
			w.carriers[0].report.Lost = ago(time.Second)
		}, noon, time.Time{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := rollingOut()
			w.state.Keys[0].Phase, w.state.Keys[0].Retiring = keyring.Retiring, ago(30*time.Minute)
			test.change(&w)
			if got := w.accepted()["3-old"]; !got.Equal(test.accepted) {
				t.Errorf("accepted %s, want %s", got, test.accepted)
			}
			if got := w.doubt(); !got.Equal(test.doubt) {
				t.Errorf("doubt %s, want %s", got, test.doubt)
			}
		})
	}
	w := rollingOut()
	w.carriers = nil
	if w.accepted() != nil {
		t.Error("without a bundle something is observed")
	}
}

// A key on its way waits for the pods that must have it, not for those that
// cannot be told.
func TestPodsThatCannotBeToldHoldOnlyTheClock(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		change func(*keyWorld)
		want   int64
	}{
		"by proof nobody has to be told": {func(*keyWorld) {}, 5},
		"by the clock all have to be":    {func(w *keyWorld) { w.strict = false }, 0},
		"also once they all had been, for those that came since": {func(w *keyWorld) {
			w.strict, w.state.Keys[1].Published = false, noon.Add(-time.Second)
		}, 0},
		"and these too until they know by themselves": {func(w *keyWorld) {
			w.strict, w.state.Keys[1].Published, w.state.Keys[1].Created = false, noon.Add(-time.Minute), noon.Add(-time.Hour)
		}, 5},
		"until they know by themselves":               {func(w *keyWorld) { w.strict, w.state.Keys[1].Created = false, noon.Add(-time.Hour) }, 5},
		"the successor of a revoked key waits for no": {func(w *keyWorld) { w.strict, w.state.Keys[1].Urgent = false, true }, 5},
		"a bundle without the key does hold it":       {func(w *keyWorld) { w.carriers[0].keys = w.carriers[0].keys[:1] }, 4},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := rollingOut()
			w.state.Keys[1].Published, w.carriers[0].untold = time.Time{}, []string{"c"}
			test.change(&w)
			if got := w.observations(keyView{}).Distributed; got != test.want {
				t.Errorf("distributed %d, want %d", got, test.want)
			}
		})
	}
}

func TestWhatSidecarsRemember(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	w.key.Status.KeyGeneration = 5
	late := loaded(3, 9, "1-ancient")
	late.State.Revoked = map[string][]string{"k": {"0-bad"}}
	ahead := loaded(12, 8, "8-newer")
	ahead.State.Revoked = map[string][]string{"k": {"5-new"}}
	w.carriers[0].report.Answers = map[types.UID]rollcall.Answer{"late": late}
	w.carriers[0].seen = recall(w.carriers[0].report, 7)
	if got := w.memory(); got.Generation != 5 || got.Ahead || !cmp.Equal(got.Claimed, []string{"0-bad"}) {
		t.Errorf("of a sidecar that is merely late more than its revocations is believed: %+v", got)
	}
	if got := w.floor(); got != 9 {
		t.Errorf("floor %d, want that of the late sidecar", got)
	}
	w.carriers[0].report.Answers["ahead"] = ahead
	w.carriers[0].seen = recall(w.carriers[0].report, 7)
	if got := w.memory(); got.Generation != 8 || !got.Ahead || !cmp.Equal(got.Live, []string{"8-newer"}) || len(got.Claimed) != 2 {
		t.Errorf("memory %+v", got)
	}
	w.key.Status = v1alpha1.SigningKeyStatus{}
	if diff := cmp.Diff(keyring.Memory{}, w.memory()); diff != "" {
		t.Errorf("an object that was just made remembers (-want +got)\n%s", diff)
	}
}

func TestTheStatusOfARollout(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	v := keyView{plans: true, spec: keyring.Spec{External: true}, plan: keyring.Result{State: w.state}}
	status := v.status(w)
	if got := verifiersIn(status, "5-new"); got != "1/2 b" {
		t.Errorf("verifiers of the new key: %s", got)
	}
	if key := statusOfKey(status.Keys, "5-new"); key.AcknowledgedTime != nil {
		t.Error("it counts as acknowledged")
	}
	r := keyReconciler{metrics: testMetrics(t)}
	if list := r.arrivals(w, v); len(list) > 0 {
		t.Errorf("told: %v", list)
	}
	w.carriers[0].verifiers[1].answer = loaded(7, 5, "3-old", "5-new")
	status = v.status(w)
	if key := statusOfKey(status.Keys, "5-new"); !key.AcknowledgedTime.Time.Equal(noon) {
		t.Errorf("acknowledged %v", key.AcknowledgedTime)
	}
	if list := r.arrivals(w, v); len(list) != 1 || list[0].note != "key 5-new is known to all 2 pods that verify, 1m0s after it was made" {
		t.Errorf("told: %v", list)
	}
	if list := r.arrivals(w, v); len(list) > 0 {
		t.Errorf("told again: %v", list)
	}
}

func TestARevocationIsAcknowledgedByThoseWhoRefuseTheKey(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	w.state.Keys, w.state.Generation = w.state.Keys[1:], 6
	w.state.Revoked = []keyring.Revocation{{KID: "3-old", Generation: 6, Time: noon}}
	w.carriers[0].keys, w.carriers[0].generation = w.carriers[0].keys[1:], 6
	v := keyView{plans: true, plan: keyring.Result{State: w.state}}
	for _, step := range []struct {
		b    rollcall.Answer
		done bool
	}{
		{loaded(6, 5, "3-old", "5-new"), false},
		{loaded(7, 6, "3-old", "5-new"), false}, // it says the number, and still has the key
		{rollcall.Answer{}, false},
		{loaded(7, 6, "5-new"), true},
	} {
		w.carriers[0].verifiers = []verifier{{"a", loaded(7, 6, "5-new")}, {"b", step.b}}
		if got := v.lastRevocation(w); got.KID != "3-old" || (got.AcknowledgedTime != nil) != step.done {
			t.Errorf("%+v: last revocation %+v, want acknowledged: %t", step.b, got, step.done)
		}
	}
	w.carriers[0].keys = append(w.carriers[0].keys, keyring.VerifyKey{KID: "3-old"})
	w.memo = (&keyMemos{}).of(types.NamespacedName{Name: "k"}, "2")
	if got := v.lastRevocation(w); got.AcknowledgedTime != nil {
		t.Error("acknowledged, while a bundle still holds the key")
	}
}

// Of thousands of pods the counts change all the time; what somebody waits for is
// written at once.
func TestAStatusIsWrittenWhenItIsWorthIt(t *testing.T) {
	t.Parallel()
	before := v1alpha1.SigningKeyStatus{
		Keys: []v1alpha1.KeyStatus{{KID: "1-a", Verifiers: &v1alpha1.VerifierStatus{Ready: 1, Total: 9, Lagging: []string{"x"}}, LastAcceptedTime: moment(noon)}},
		Conditions: setConditions(nil, 1, holds(v1alpha1.ConditionRotating, v1alpha1.ReasonWaitingForVerifiers, "x"),
			holds(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "x")),
	}
	for sentence, test := range map[string]struct {
		change func(*v1alpha1.SigningKeyStatus)
		waits  bool
	}{
		"another count":             {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].Verifiers.Ready = 2 }, true},
		"other names":               {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].Verifiers.Lagging = []string{"y"} }, true},
		"a later use":               {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].LastAcceptedTime = moment(noon.Add(time.Minute)) }, true},
		"the names in a message":    {func(s *v1alpha1.SigningKeyStatus) { s.Conditions[0].Message = "y" }, true},
		"the last pod":              {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].Verifiers.Ready = 9 }, false},
		"the first use":             {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].LastObservedTime = moment(noon) }, false},
		"another reason":            {func(s *v1alpha1.SigningKeyStatus) { s.Conditions[0].Reason = v1alpha1.ReasonRetiring }, false},
		"what is wrong with a spec": {func(s *v1alpha1.SigningKeyStatus) { s.Conditions[1].Message = "y" }, false},
		"an acknowledgement":        {func(s *v1alpha1.SigningKeyStatus) { s.Keys[0].AcknowledgedTime = moment(noon) }, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			after := *before.DeepCopy()
			test.change(&after)
			if wait, same := replaces(before, after, time.Second, time.Minute); (wait > 0) != test.waits || same {
				t.Errorf("waits %s, same %t; want that it waits: %t", wait, same, test.waits)
			}
			if wait, _ := replaces(before, after, time.Minute, time.Minute); wait != 0 {
				t.Errorf("after a minute it still waits %s", wait)
			}
		})
	}
	if wait, same := replaces(before, *before.DeepCopy(), 0, time.Minute); wait != 0 || !same {
		t.Errorf("nothing changed: waits %s, same %t", wait, same)
	}
}

func TestLateUseOfARetiringKeyIsCountedOncePerMinute(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	w.skew = 10 * time.Second
	w.state.Keys[0].Phase, w.state.Keys[0].Retiring = keyring.Retiring, noon
	v := keyView{spec: keyring.Spec{MaxTokenLifetime: 15 * time.Minute}, plan: keyring.Result{State: w.state}}
	r := keyReconciler{metrics: testMetrics(t)}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{14 * time.Minute, "0"},                // a token made before
		{15*time.Minute + 30*time.Second, "0"}, // in a minute in which one could live
		{17 * time.Minute, "1"},
		{17*time.Minute + 20*time.Second, "1"},
		{18 * time.Minute, "2"},
	} {
		w.carriers[0].report.Accepted["3-old"] = noon.Add(step.after)
		r.lateUses(w, v)
		if got := gathered(t, r.metrics.retiredUsed); got != step.want {
			t.Errorf("after %s counted %s, want %s", step.after, got, step.want)
		}
	}
}

func TestMessagesSayWhyPodsAreWaitedForAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	w.carriers[0].verifiers = append(w.carriers[0].verifiers,
		verifier{"c", rollcall.Answer{Problem: rollcall.Unreachable}}, verifier{"d", rollcall.Answer{}}, verifier{"e", loaded(9, 5)})
	got := w.waits().pods([]string{"b", "c", "d", "e"})
	want := "b (has an older bundle), c (does not answer), d (not asked yet), e (has a bundle of a later time); let the controller reach port gatepost-adm of the pods, or delete those that cannot answer"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if many := w.waits().pods(strings.Split("b b b b b b b b b b b b", " ")); !strings.Contains(many, "and 2 more; look at the log of container gatepost") {
		t.Errorf("got %s", many)
	}
}

func TestTimesOfAClockThatWasAheadAreReplaced(t *testing.T) {
	t.Parallel()
	ahead := &metav1.Time{Time: noon.Add(48 * time.Hour)}
	if got := later(ahead, noon, time.Minute); !got.Time.Equal(noon) {
		t.Errorf("shown: %s", got)
	}
	if got := later(&metav1.Time{Time: noon}, noon.Add(time.Second), time.Minute); !got.Time.Equal(noon) {
		t.Errorf("shown too often: %s", got)
	}
}
