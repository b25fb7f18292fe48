package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
)

// lying is the rollout of a SigningKey, generation 5, one of whose sidecars lies.
func lying(lie bundle.State) keyWorld {
	w := rollingOut()
	w.key.Status.KeyGeneration = 5
	w.say(lie)
	return w
}

func (w keyWorld) say(lie bundle.State) {
	w.carriers[0].report.Answers = map[types.UID]rollcall.Answer{"liar": {At: noon, State: lie}}
}

func TestALiarRevokesNoLiveKey(t *testing.T) {
	t.Parallel()
	revoked := map[string][]string{"k": {"3-old", "1-gone"}}
	generations := map[string]int64{"k": 5}
	for sentence, test := range map[string]struct {
		lie     bundle.State
		claimed []string
	}{
		"one with the bundle of now":        {bundle.State{Revision: 7, Generations: generations, Revoked: revoked}, []string{"1-gone"}},
		"one that is late":                  {bundle.State{Revision: 6, Generations: generations, Revoked: revoked}, []string{"1-gone"}},
		"one with a revision beyond belief": {bundle.State{Revision: 8 + claimRoom, Generations: generations, Revoked: revoked}, []string{"1-gone"}},
		"one with a generation beyond belief": {
			bundle.State{Revision: 8, Generations: map[string]int64{"k": 6 + claimRoom}, Revoked: revoked}, []string{"1-gone"},
		},
		"one that is ahead is believed: it may know what was restored": {bundle.State{Revision: 8, Generations: generations, Revoked: revoked}, []string{"3-old", "1-gone"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.claimed, lying(test.lie).memory().Claimed); diff != "" {
				t.Errorf("claimed (-want +got)\n%s", diff)
			}
		})
	}
}

// A sidecar that names one generation more at each answer would have a new key
// begin anew forever.
func TestLiarsLiftASetAFewTimesOnly(t *testing.T) {
	t.Parallel()
	w := lying(bundle.State{})
	lifted, rebuilt := 0, 0
	for range 100 {
		known := w.state.Generation
		w.say(bundle.State{Revision: 7, Generations: map[string]int64{"k": known + 1}})
		if floor := w.floor(); floor > known {
			lifted++
			w.state.Generation = floor + 1
		}
		known = w.state.Generation
		w.say(bundle.State{Revision: 8, Generations: map[string]int64{"k": known + 1}})
		if memory := w.memory(); memory.Ahead {
			rebuilt++
			w.state.Generation = memory.Generation + 1
		}
	}
	if lifted != maxLifts || rebuilt != maxFollowed {
		t.Errorf("lifted %d times, rebuilt %d times, want %d and %d", lifted, rebuilt, maxLifts, maxFollowed)
	}
	w.now = w.now.Add(followPeriod)
	if !w.memory().Ahead {
		t.Error("later it is not followed any more")
	}
	w.say(bundle.State{Revision: 7, Generations: map[string]int64{"k": 1 << 40}})
	if floor := w.floor(); floor >= 1<<40 {
		t.Errorf("a floor beyond belief: %d", floor)
	}
}

func TestLiarsSayNotMoreThanSoManyThings(t *testing.T) {
	t.Parallel()
	w := lying(bundle.State{})
	for n := range 500 {
		w.carriers[0].report.Answers[types.UID(fmt.Sprint(n))] = rollcall.Answer{At: noon, State: bundle.State{
			Revision: 7, Revoked: map[string][]string{"k": {fmt.Sprint(n, "-x")}},
		}}
	}
	if got := len(w.testimonies(w.carriers[0])); got != maxTestimonies {
		t.Errorf("%d testimonies, want %d", got, maxTestimonies)
	}
}

// One lie may not hide what an honest sidecar knows.
func TestALieBeyondBeliefHidesNothing(t *testing.T) {
	t.Parallel()
	report := rollcall.Report{Answers: map[types.UID]rollcall.Answer{
		"liar": loaded(8, 1<<40), "honest": loaded(9, 12, "9-x"), "other": has(1 << 40),
	}}
	seen := recallOf(report, 7, func(string) int64 { return 5 })
	if got := seen.beyond["k"]; got.generation != 12 || seen.revision != 9 {
		t.Errorf("revision %d, beyond %+v", seen.revision, got)
	}
}

func TestABundleClimbsAboveItsSidecarsAFewTimesAMinute(t *testing.T) {
	t.Parallel()
	s := newSwitchboard(Config{})
	name, climbs := bundleNamed("chat"), 0
	for second := range 60 {
		if now := noon.Add(time.Duration(second) * time.Second); s.mayClimb(name, now) {
			s.climbed(name, now)
			climbs++
		}
	}
	if climbs != maxClimbs || !s.mayClimb(name, noon.Add(2*time.Minute)) || !s.mayClimb(bundleNamed("other"), noon) {
		t.Errorf("%d climbs in a minute, want %d, and more later and elsewhere", climbs, maxClimbs)
	}
	w := policyWorld{policy: &v1alpha1.AgentAuthPolicy{}, last: written{file: &keyring.File{Revision: 7}}}
	w.hear(rollcall.Report{Answers: map[types.UID]rollcall.Answer{"a": has(8)}, Since: noon}, noon)
	w.heard.tired = true
	if w.highestRevision() != 0 || w.hearAgain() <= 0 {
		t.Errorf("highest %d, again in %s", w.highestRevision(), w.hearAgain())
	}
}

func TestWhatIsWrittenOnPodsOfNoBundleDoesNotCount(t *testing.T) {
	t.Parallel()
	bare := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", UID: "bare", Annotations: map[string]string{v1alpha1.AnnotationBundleRevision: "30"}}}
	w := policyWorld{
		policy: &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Name: "chat"}},
		claim:  claim{pods: []corev1.Pod{bare}}, last: written{file: &keyring.File{Revision: 7}},
	}
	w.hear(rollcall.Report{Since: noon.Add(-time.Hour)}, noon)
	if w.heard.told != 0 || w.highestRevision() != 0 {
		t.Errorf("told of %d, highest %d", w.heard.told, w.highestRevision())
	}
}
