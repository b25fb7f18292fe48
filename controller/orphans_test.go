package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// Pods whose bundle is nobody's any more count for the sets that they are known
// to have had; those of which nothing is known hold only the word that everybody
// refuses a revoked key.
func TestWhoseBundleIsNobodys(t *testing.T) {
	t.Parallel()
	name := types.NamespacedName{Namespace: "team-a", Name: "chat" + v1alpha1.BundleSuffix}
	for sentence, test := range map[string]struct {
		carriers []carrier
		kept     map[string]rollcall.Report
		gone     map[types.NamespacedName][]string
		lines    map[types.NamespacedName]line
		want     orphans
	}{
		"nothing is known of it": {want: orphans{{pod: "chat-0"}}},
		"it had the set":         {gone: map[types.NamespacedName][]string{name: {"other", "k"}}, want: orphans{{pod: "chat-0", held: true}}},
		"it never had the set":   {gone: map[types.NamespacedName][]string{name: {"other"}}},
		"it has the set, and that its policy or Secret went is news": {lines: map[types.NamespacedName]line{name: {keys: []string{"k"}}}, want: orphans{{pod: "chat-0", held: true}}},
		"it had the set before its policy changed, and that went":    {lines: map[types.NamespacedName]line{name: {heard: map[string][]string{"k": nil}}}, want: orphans{{pod: "chat-0", held: true}}},
		"it never had the set, and that its policy went is news":     {lines: map[types.NamespacedName]line{name: {keys: []string{"other"}}}},
		"its bundle carries the set":                                 {carriers: []carrier{{name: name.Name}}, kept: map[string]rollcall.Report{name.Name: {}}},
		"its bundle has it no more, and it told so":                  {kept: map[string]rollcall.Report{name.Name: {Answers: map[types.UID]rollcall.Answer{"0": has(7)}}}},
		"its bundle has it no more, and it is mute":                  {kept: map[string]rollcall.Report{name.Name: {}}, want: orphans{{pod: "chat-0", unheard: true}}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			pod := orphanedPod("chat-0", name.Name)
			waiting := orphanedPod("chat-1", name.Name)
			waiting.Status = corev1.PodStatus{}
			r := keyReconciler{switchboard: &switchboard{gone: test.gone, lines: test.lines}}
			key := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Name: "k", Namespace: "team-a"}}
			got := r.readOrphans(key, []corev1.Pod{waiting, pod}, test.carriers, test.kept)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(orphan{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func orphanedPod(name, bundle string) corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team-a", UID: types.UID(name[len(name)-1:])},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: v1alpha1.ContainerName, RestartPolicy: &always}},
			Volumes: []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: bundle},
			}}},
		},
		Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{
			Name: v1alpha1.ContainerName, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
}

func TestOrphansHoldTheWordAboutARevocation(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		orphans orphans
		done    bool
	}{
		"nobody":                              {nil, true},
		"one that had the key":                {orphans{{pod: "z", held: true}}, false},
		"one of which nothing is known":       {orphans{{pod: "z"}}, false},
		"one of another policy that is mute":  {orphans{{pod: "z", unheard: true, since: noon.Add(-time.Hour)}}, false},
		"and was made after the revocation":   {orphans{{pod: "z", unheard: true, since: noon.Add(time.Second)}}, true},
		"one whose policy went is never late": {orphans{{pod: "z", since: noon.Add(time.Second)}}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := rollingOut()
			w.state.Keys, w.state.Generation = w.state.Keys[1:], 6
			w.state.Revoked = []keyring.Revocation{{KID: "3-old", Generation: 6, Time: noon}}
			w.carriers, w.orphans = nil, test.orphans
			v := keyView{plans: true, plan: keyring.Result{State: w.state}, waits: w.waits()}
			if got := v.lastRevocation(w); (got.AcknowledgedTime != nil) != test.done {
				t.Errorf("last revocation %+v, want acknowledged: %t", got, test.done)
			}
			if got := v.degradation(); (got.status != metav1.ConditionTrue) != test.done || !test.done && !strings.Contains(got.message, "z (") {
				t.Errorf("degraded %+v", got)
			}
		})
	}
}

func TestOrphansThatHadTheSetHoldANewKey(t *testing.T) {
	t.Parallel()
	w := rollingOut()
	w.carriers, w.orphans = nil, orphans{{pod: "y"}, {pod: "z", held: true}}
	seen := w.observations(keyView{})
	if diff := cmp.Diff([]keyring.Verifier{{Name: "z", Silent: true}}, seen.Verifiers); diff != "" || seen.Unneeded {
		t.Errorf("verifiers (-want +got)\n%s\nunneeded: %t", diff, seen.Unneeded)
	}
}

// A bundle that is forgotten is remembered for its pods, until somebody keeps it
// again.
func TestWhatPodsOfAForgottenBundleHadIsRemembered(t *testing.T) {
	t.Parallel()
	s := newSwitchboard(Config{Now: time.Now})
	bundle := types.NamespacedName{Namespace: "team-a", Name: "chat" + v1alpha1.BundleSuffix}
	call := rollcall.Call{Pods: []rollcall.Pod{{UID: "0", Name: "chat-0"}}, Revision: 7}
	s.expect(bundle, call, []string{"k"}, false)
	s.forget(bundle)
	if keys, known := s.left(bundle); !known || !cmp.Equal(keys, []string{"k"}) {
		t.Errorf("left %v, known %t", keys, known)
	}
	s.forget(bundle) // told twice
	if _, known := s.left(bundle); !known {
		t.Error("forgotten by being told twice")
	}
	s.expect(bundle, call, []string{"other"}, false)
	if keys, _ := s.left(bundle); slices.Contains(keys, "k") {
		t.Error("still that of before, with its policy back")
	}
}

// A policy is deleted and made anew (helm, argo, kubectl replace --force) while an
// old key is in use: what was heard stays, and in the end the clock decides.
func TestAPolicyThatIsReplacedDoesNotWipeOutWhatWasHeard(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		w := rollingOut()
		w.strict = strict
		w.state.Version, w.state.Salt, w.state.Revoked = 1, []byte("salt"), []keyring.Revocation{}
		w.state.Keys[0].Phase, w.state.Keys[0].Activated, w.state.Keys[0].Retiring = keyring.Retiring, noon.Add(-100*time.Hour), noon.Add(-72*time.Hour)
		w.state.Keys[1].Phase, w.state.Keys[1].Activated = keyring.Active, noon.Add(-72*time.Hour)
		w.key.Status.Keys = []v1alpha1.KeyStatus{{
			KID: "3-old", LastAcceptedTime: moment(noon.Add(-time.Minute)), LastObservedTime: moment(noon),
		}}
		w.carriers = nil
		spec := keyring.Spec{Algorithm: "HS256", External: true, WaitForVerifiers: strict, RetireAfter: 24 * time.Hour, MaxTokenLifetime: 15 * time.Minute}
		for _, step := range []struct {
			after time.Duration
			keys  int
		}{{0, 2}, {24*time.Hour - time.Second, 2}, {24 * time.Hour, 1}} {
			w.now = noon.Add(step.after)
			plan, err := keyring.Planner{}.Plan(spec, w.state, w.observations(keyView{}), w.now)
			if err != nil || len(plan.State.Keys) != step.keys {
				t.Errorf("strict %t, after %s: %d keys, want %d (%v)", strict, step.after, len(plan.State.Keys), step.keys, err)
			}
		}
	}
}

func TestBundlesThatHoldNoSuccessorOfARevokedKey(t *testing.T) {
	t.Parallel()
	p := &v1alpha1.AgentAuthPolicy{}
	p.Spec.JWT = &policy.JWT{Providers: []policy.Provider{{Name: "p", Algorithms: []policy.Algorithm{"HS256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}}}}
	meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue})
	key := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Name: "k"}, Spec: v1alpha1.SigningKeySpec{Algorithm: "HS256"}}
	for reason, want := range map[string]bool{
		v1alpha1.ReasonNotProgrammed: true, v1alpha1.ReasonPodsPending: true,
		v1alpha1.ReasonRefsUnresolved: false, v1alpha1.ReasonBundleInvalid: false, v1alpha1.ReasonBundleConflict: false,
	} {
		meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: reason})
		if got := expected(p, key); got != want {
			t.Errorf("%s: expected %t, want %t", reason, got, want)
		}
	}
	p.Generation++ // by being deleted
	if !expected(p, key) {
		t.Error("a bundle whose policy was just edited is not expected to hold it")
	}
	p.DeletionTimestamp = &metav1.Time{Time: noon}
	if expected(p, key) {
		t.Error("a bundle that stays as it is, because its policy is being deleted, is expected to hold it")
	}
	state := &keyring.State{Generation: 5, Keys: []keyring.Key{{KID: "5-b", Generation: 5, Phase: keyring.Published}}}
	held := carrier{generation: 5, keys: []keyring.VerifyKey{{KID: "5-b"}}, mounted: true}
	if got := distributed([]carrier{held, {}}, state, true); got == 5 {
		t.Error("a bundle that no pod mounts yet does not hold a key that has time")
	}
	state.Keys[0].Urgent = true
	if got := distributed([]carrier{held, {}}, state, true); got != 5 {
		t.Errorf("distributed %d: a bundle that no pod mounts holds the successor of a revoked key", got)
	}
	if got := distributed([]carrier{held, {mounted: true}}, state, true); got == 5 {
		t.Error("one that pods mount does not hold it")
	}
}

// A leader that has just begun has asked nobody: Proceed waits until it has.
func TestNobodyIsPassedOverUnasked(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		since  time.Duration
		answer rollcall.Answer
		want   bool
	}{
		"not asked yet":                       {time.Second, rollcall.Answer{}, true},
		"asked in vain":                       {time.Second, rollcall.Answer{Problem: rollcall.Unreachable}, false},
		"has answered":                        {time.Second, loaded(7, 5), false},
		"there is no way to ask it, it seems": {time.Hour, rollcall.Answer{}, false},
	} {
		w := rollingOut()
		w.carriers[0].report.Since = noon.Add(-test.since)
		w.carriers[0].verifiers = []verifier{{"a", test.answer}}
		if got := w.verifiers()[0].Unasked; got != test.want {
			t.Errorf("%s: unasked %t", sentence, got)
		}
	}
}
