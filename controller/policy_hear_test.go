package controller

import (
	"fmt"
	"strings"
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
	"gatepost.dev/gatepost/policy"
)

// sidecarPod is the pod a of the bundle of policy chat whose sidecar has started.
func sidecarPod(told int64) corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "a", UID: "a", Annotations: map[string]string{v1alpha1.AnnotationBundleRevision: fmt.Sprint(told)},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: v1alpha1.ContainerName, RestartPolicy: &always}},
			Volumes: []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: "chat.gatepost-bundle"},
			}}},
		},
	}
	pod.Status.PodIP = "127.0.0.9"
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{
		Name: v1alpha1.ContainerName, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}
	return pod
}

// has is the answer of a sidecar with a revision.
func has(revision int64) rollcall.Answer {
	return rollcall.Answer{At: noon, State: bundle.State{Revision: revision, Generations: map[string]int64{"k": revision}}}
}

func TestWhatPodsSayOfTheRevision(t *testing.T) {
	t.Parallel()
	const bundled = 7
	type answers = map[types.UID]rollcall.Answer
	for sentence, test := range map[string]struct {
		told    int64 // written on the pod
		status  int64
		answers answers
		since   time.Duration // ago
		behind  bool
		floor   int64
		early   bool
		waits   bool
	}{
		"the status counts":                                    {told: 7, status: 9, answers: answers{"a": has(7)}, floor: 9},
		"a sidecar's word counts":                              {told: 7, status: 7, answers: answers{"a": has(12)}, floor: 12},
		"not while a SigningKey is older than the sidecars":    {told: 7, status: 7, answers: answers{"a": has(12)}, behind: true, floor: 7},
		"a sidecar's word counts more than what is on its pod": {told: 30, status: 7, answers: answers{"a": has(7)}, floor: 7},
		"what is on the pod of a silent one does not at first": {told: 30, status: 7, since: time.Second, floor: 7, early: true, waits: true},
		"and does after a while":                               {told: 30, status: 7, since: time.Minute, floor: 30},
		"one that cannot be asked does not hold a change":      {told: 7, status: 7, answers: answers{"a": {Problem: rollcall.Unreachable}}, since: time.Second, floor: 7},
		"numbers beyond belief are not believed":               {told: 8 + claimRoom, status: 7, answers: answers{"a": has(8 + claimRoom)}, floor: 7},
		"nor are they on a pod":                                {told: 8 + claimRoom, status: 7, answers: answers{"a": {Problem: rollcall.Unreachable}}, since: time.Minute, floor: 7},
		"a large step is no step beyond belief":                {told: 7, status: 7, answers: answers{"a": has(7 + claimRoom)}, floor: 7 + claimRoom},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := policyWorld{
				policy: &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Name: "chat"}},
				pods:   []corev1.Pod{sidecarPod(test.told)},
				last:   written{file: &keyring.File{Revision: bundled}},
				from:   sources{keys: map[string]signingSource{"k": {behind: test.behind}}},
			}
			w.claim.pods, w.policy.Status.BundleRevision = w.pods, test.status
			w.hear(rollcall.Report{Answers: test.answers, Since: noon.Add(-test.since)}, noon)
			if got := w.highestRevision(); got != test.floor {
				t.Errorf("floor %d, want %d", got, test.floor)
			}
			if got := w.tooEarly(bundlePlan{file: &keyring.File{Revision: bundled + 1}}); got != test.early {
				t.Errorf("a change is too early: %t, want %t", got, test.early)
			}
			if w.tooEarly(bundlePlan{file: &keyring.File{Revision: bundled}}) {
				t.Error("what changes nothing is too early")
			}
			if got := w.hearAgain() > 0; got != test.waits {
				t.Errorf("waits: %t, want %t", got, test.waits)
			}
		})
	}
}

func TestWhichPodsAreAsked(t *testing.T) {
	t.Parallel()
	edit := func(edit func(*corev1.Pod)) corev1.Pod {
		pod := sidecarPod(7)
		edit(&pod)
		return pod
	}
	const at = "a 127.0.0.9:19901"
	for sentence, test := range map[string]struct {
		pod  corev1.Pod
		want string
	}{
		"one that mounts the bundle": {sidecarPod(7), at + " told"},
		"one that was not told":      {sidecarPod(6), at},
		"one that is not ready":      {edit(func(p *corev1.Pod) { p.Status.InitContainerStatuses[0].Ready = false }), at + " told"},
		"one whose sidecar ended": {edit(func(p *corev1.Pod) {
			p.Status.InitContainerStatuses[0] = corev1.ContainerStatus{Name: "gatepost", RestartCount: 1}
		}), at + " told"},
		"one with another admin port": {edit(func(p *corev1.Pod) {
			p.Spec.InitContainers[0].Ports = []corev1.ContainerPort{{Name: "gatepost-adm", ContainerPort: 5}}
		}), "a 127.0.0.9:5 told"},
		"one with an IPv6 address":            {edit(func(p *corev1.Pod) { p.Status.PodIP = "::1" }), "a [::1]:19901 told"},
		"one without an address is named too": {edit(func(p *corev1.Pod) { p.Status.PodIP = "" }), "a  told"},
		"not at a machine's metadata":         {edit(func(p *corev1.Pod) { p.Status.PodIP = "169.254.169.254" }), "a  told"},
		"not at that in the clothes of IPv6":  {edit(func(p *corev1.Pod) { p.Status.PodIP = "::ffff:169.254.169.254" }), "a  told"},
		"not at a link's address":             {edit(func(p *corev1.Pod) { p.Status.PodIP = "fe80::1" }), "a  told"},
		"not at no address":                   {edit(func(p *corev1.Pod) { p.Status.PodIP = "0.0.0.0" }), "a  told"},
		"not at a group's":                    {edit(func(p *corev1.Pod) { p.Status.PodIP = "224.0.0.1" }), "a  told"},
		"one whose sidecar never started":     {edit(func(p *corev1.Pod) { p.Status.InitContainerStatuses = nil }), ""},
		"one that is going away":              {edit(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }), ""},
		"one that has ended":                  {edit(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), ""},
		"one of another bundle":               {edit(func(p *corev1.Pod) { p.Spec.Volumes[0].Secret.SecretName = "other.gatepost-bundle" }), ""},
		"one without a sidecar":               {edit(func(p *corev1.Pod) { p.Spec.InitContainers = nil }), ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, pod := range askedPods([]corev1.Pod{test.pod}, "chat.gatepost-bundle", 7) {
				text := pod.Name + " " + pod.Address
				if pod.Told {
					text += " told"
				}
				got = append(got, text)
			}
			if strings.Join(got, ";") != test.want {
				t.Errorf("asked %q, want %q", got, test.want)
			}
		})
	}
}

func TestStatesThatNobodyIsShown(t *testing.T) {
	t.Parallel()
	state := keyring.State{Generation: 134, Keys: []keyring.Key{{KID: "1w-signs", Phase: keyring.Active}, {KID: "1x-next", Phase: keyring.Published}}}
	edited := state
	edited.Edited = true
	for sentence, test := range map[string]struct {
		state   keyring.State
		status  v1alpha1.SigningKeyStatus
		bundled int64
		inForce edition
		shown   bool
	}{
		"one of now is shown":                       {state, v1alpha1.SigningKeyStatus{KeyGeneration: 134, RevokedKeyIDs: []string{"1-gone"}}, 134, edition{}, true},
		"a later one is shown before the status":    {state, v1alpha1.SigningKeyStatus{KeyGeneration: 133}, 133, edition{}, true},
		"one that the status is ahead of":           {state, v1alpha1.SigningKeyStatus{KeyGeneration: 135}, 134, edition{}, false},
		"one that the bundle is ahead of":           {state, v1alpha1.SigningKeyStatus{KeyGeneration: 134}, 135, edition{}, false},
		"one that sidecars are ahead of":            {state, v1alpha1.SigningKeyStatus{KeyGeneration: 134}, 134, edition{generation: 135}, false},
		"one that somebody edited":                  {edited, v1alpha1.SigningKeyStatus{KeyGeneration: 134}, 134, edition{}, false},
		"one of that generation with a revoked key": {state, v1alpha1.SigningKeyStatus{KeyGeneration: 134, RevokedKeyIDs: []string{"1x-next"}}, 134, edition{}, false},
		"one of a later generation with such a key": {state, v1alpha1.SigningKeyStatus{KeyGeneration: 66, RevokedKeyIDs: []string{"1w-signs"}}, 66, edition{}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			source := signingSource{key: &v1alpha1.SigningKey{Status: test.status}, state: &test.state}
			if shown := source.unlessBehind(test.bundled, test.inForce).state != nil; shown != test.shown {
				t.Errorf("shown: %t", shown)
			}
		})
	}
}

func TestHowOftenSidecarsAreAsked(t *testing.T) {
	t.Parallel()
	minute := &v1alpha1.SigningKey{}
	acknowledged := &v1alpha1.SigningKeyStatus{LastRevocation: &v1alpha1.RevocationStatus{KID: "0-gone", AcknowledgedTime: &metav1.Time{Time: noon}}}
	active := keyring.Key{KID: "1-a", Phase: keyring.Active, Published: noon}
	revoked := []keyring.Revocation{{KID: "0-gone"}}
	for sentence, test := range map[string]struct {
		state  *keyring.State
		status *v1alpha1.SigningKeyStatus
		every  time.Duration
		moving bool
	}{
		"seldom while nothing moves":             {&keyring.State{Keys: []keyring.Key{active}}, nil, askIdle, false},
		"for a key on its way in":                {&keyring.State{Keys: []keyring.Key{active, {Phase: keyring.Published, Published: noon}}}, nil, askPublished, true},
		"for one on its way out":                 {&keyring.State{Keys: []keyring.Key{active, {Phase: keyring.Retiring, Published: noon}}}, nil, time.Minute, true},
		"a revocation that is not acknowledged":  {&keyring.State{Keys: []keyring.Key{active}, Revoked: revoked}, nil, askIdle, true},
		"a revocation that is":                   {&keyring.State{Keys: []keyring.Key{active}, Revoked: revoked}, acknowledged, askIdle, false},
		"an imported value that has not arrived": {&keyring.State{Keys: []keyring.Key{{KID: "1-a", Phase: keyring.Active, Published: noon, Imported: []byte("mark")}}}, nil, askIdle, true},
		"a state that cannot be read":            {nil, nil, askIdle, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			source := signingSource{key: minute.DeepCopy(), state: test.state}
			if test.status != nil {
				source.key.Status = *test.status
			}
			if every, moving := source.pace(); every != test.every || moving != test.moving {
				t.Errorf("every %s, moving %t; want %s, %t", every, moving, test.every, test.moving)
			}
		})
	}
}

func TestSidecarsAreHeardOnWhatTheirPolicyRefersTo(t *testing.T) {
	t.Parallel()
	w := policyWorld{
		policy: &v1alpha1.AgentAuthPolicy{},
		last:   written{file: &keyring.File{}, doc: document(1, "k-last")},
		from:   sources{keys: map[string]signingSource{"k": {state: rollingOut().state}}},
	}
	reference := func(key string) []policy.Provider {
		return []policy.Provider{{Name: "p", SigningKeyRef: &policy.SigningKeyRef{Name: key}}}
	}
	w.policy.Spec.JWT = &policy.JWT{Providers: reference("k")}
	w.last.doc.Spec.JWT = &policy.JWT{Providers: reference("k-last")}
	w.last.file.Providers = map[string]keyring.FileProvider{"p": {Keys: []keyring.VerifyKey{{KID: "1-last"}}}}
	want := map[string][]string{"k": {"3-old", "5-new"}, "k-last": {"1-last"}, "k-kept": nil}
	got := w.heardOn(&keyring.File{SigningKeys: map[string]int64{"k-kept": 1}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("heard on (-want +got)\n%s", diff)
	}
	s := newSwitchboard(Config{})
	bundle := bundleNamed("chat")
	s.expect(bundle, rollcall.Call{Keys: got}, nil, false)
	s.expect(bundle, rollcall.Call{Keys: map[string][]string{"next": {"9-n"}}}, nil, false)
	want["next"] = []string{"9-n"}
	if diff := cmp.Diff(want, s.lines[bundle].heard); diff != "" {
		t.Errorf("after the policy changed (-want +got)\n%s", diff)
	}
}
