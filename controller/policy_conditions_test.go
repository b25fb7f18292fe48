package controller

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

// fine is a policy in force on one ready pod.
func fine() policyView {
	pods := []string{"chat-1"}
	return policyView{
		hasSelector: true,
		bundle:      bundleView{revision: 7, written: true, current: true},
		pods:        podReport{selected: 1, injected: pods, ready: pods, programmed: pods},
	}
}

func TestConditionsOfAPolicy(t *testing.T) {
	t.Parallel()
	const (
		accepted   = v1alpha1.ConditionAccepted
		resolved   = v1alpha1.ConditionResolvedRefs
		programmed = v1alpha1.ConditionProgrammed
		enforced   = v1alpha1.ConditionEnforced
	)
	for sentence, test := range map[string]struct {
		change  func(*policyView)
		kind    string
		reason  string
		holds   bool
		message string // a part of it: what is wrong, or what to do
	}{
		"a valid policy is accepted":                 {func(*policyView) {}, accepted, v1alpha1.ReasonAccepted, true, ""},
		"a policy whose keys were found is resolved": {func(*policyView) {}, resolved, v1alpha1.ReasonResolvedRefs, true, ""},
		"a written bundle is programmed":             {func(*policyView) {}, programmed, v1alpha1.ReasonProgrammed, true, ""},
		"a policy on guarded pods is enforced":       {func(*policyView) {}, enforced, v1alpha1.ReasonEnforced, true, ""},

		"a policy that only counts is not enforced": {func(v *policyView) {
			v.bundle.audit = true
		}, enforced, v1alpha1.ReasonAuditMode, false, "set spec.mode to Enforce"},
		"a pod without the sidecar is said first, also under Audit": {func(v *policyView) {
			v.bundle.audit, v.pods.uninjected = true, []string{"chat-2"}
		}, enforced, v1alpha1.ReasonPodsNotInjected, false, "chat-2"},

		"a field without code behind it is named": {func(v *policyView) {
			v.unsupported = []string{"spec.apiKeyAuth: comes later"}
		}, accepted, v1alpha1.ReasonNotSupportedYet, false, "spec.apiKeyAuth"},
		"an invalid field is named": {func(v *policyView) {
			v.invalid = errors.New("spec.jwt.providers[0].algorithms: name one")
		}, accepted, v1alpha1.ReasonInvalid, false, "spec.jwt.providers[0].algorithms"},
		"the elder of two policies is named": {func(v *policyView) {
			v.claim.lost = map[string]string{"chat-1": "elder"}
		}, accepted, v1alpha1.ReasonConflicted, false, "elder guards pods that this one selects too (chat-1)"},
		"forwarding what nobody verified is said": {func(v *policyView) {
			v.accepted.JWT = &policy.JWT{Forward: policy.ForwardAlways}
		}, accepted, v1alpha1.ReasonForwardsUnverified, true, "nobody verified"},

		"the first broken reference gives the reason": {func(v *policyView) {
			v.refs = []refProblem{{reason: v1alpha1.ReasonSecretTooShort, message: "a"}, {reason: v1alpha1.ReasonSecretNotFound, message: "b"}}
		}, resolved, v1alpha1.ReasonSecretTooShort, false, "a; b"},

		"a bundle of somebody else's is not touched": {func(v *policyView) {
			v.bundle = bundleView{foreign: true}
		}, programmed, v1alpha1.ReasonBundleConflict, false, "does not belong"},
		"an invalid edit keeps the last policy": {func(v *policyView) {
			v.invalid = errors.New("bad")
		}, programmed, v1alpha1.ReasonNotAccepted, false, "last accepted policy stays in force"},
		"a policy that never was valid programs nothing": {func(v *policyView) {
			v.invalid, v.bundle = errors.New("bad"), bundleView{}
		}, programmed, v1alpha1.ReasonNotAccepted, false, "no policy was ever accepted"},
		"a bundle that a sidecar would refuse is not written": {func(v *policyView) {
			v.bundle.invalid = errors.New("provider p: no keys")
		}, programmed, v1alpha1.ReasonBundleInvalid, false, "provider p: no keys"},
		"a provider without a key is named": {func(v *policyView) {
			v.refs = []refProblem{{provider: "laravel", keyless: true}}
		}, programmed, v1alpha1.ReasonRefsUnresolved, false, "laravel"},
		"a reference that broke keeps its keys and the bundle": {func(v *policyView) {
			v.refs = []refProblem{{provider: "laravel"}}
		}, programmed, v1alpha1.ReasonProgrammed, true, ""},
		"pods that were not told are named": {func(v *policyView) {
			v.pods.untold = []string{"chat-1"}
		}, programmed, v1alpha1.ReasonPodsPending, false, "chat-1"},

		"without a bundle nothing is enforced": {func(v *policyView) {
			v.bundle = bundleView{}
		}, enforced, v1alpha1.ReasonNotProgrammed, false, ""},
		"a policy that selects nothing enforces nothing": {func(v *policyView) {
			v.pods = podReport{}
		}, enforced, v1alpha1.ReasonNoPodsSelected, false, "no running pod has the labels"},
		"an absent selector is said": {func(v *policyView) {
			v.pods, v.hasSelector = podReport{}, false
		}, enforced, v1alpha1.ReasonNoPodsSelected, false, "add matchLabels"},
		"a pod whose port was taken comes first": {func(v *policyView) {
			v.pods.portTaken, v.pods.uninjected = []string{"chat-1"}, []string{"chat-0"}
		}, enforced, v1alpha1.ReasonPortTaken, false, "listen on 127.0.0.1"},
		"an unguarded pod is named with the cure": {func(v *policyView) {
			v.pods.uninjected = []string{"chat-0"}
		}, enforced, v1alpha1.ReasonPodsNotInjected, false, "chat-0"},
		"a pod under another policy is named": {func(v *policyView) {
			v.pods.elsewhere = []string{"chat-2"}
		}, enforced, v1alpha1.ReasonPodsNotInjected, false, "chat-2"},
		"pods that are all starting enforce nothing yet": {func(v *policyView) {
			v.pods.ready = nil
		}, enforced, v1alpha1.ReasonPodsNotReady, false, "chat-1"},
		"an agent that wants the guarded address is told what to do": {func(v *policyView) {
			v.pods.addressFor = []string{"chat-1"}
		}, enforced, v1alpha1.ReasonAgentAddressInUse, true, "127.0.0.1 instead of 0.0.0.0"},
		"an agent that keeps ending without a word is told what it may be": {func(v *policyView) {
			v.pods.crashing = []string{"chat-1"}
		}, enforced, v1alpha1.ReasonAgentCrashLooping, true, "if its log says address already in use"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			view := fine()
			test.change(&view)
			got := find(t, view.conditions(), test.kind)
			if got.reason != test.reason || (got.status == metav1.ConditionTrue) != test.holds {
				t.Errorf("got %s/%s, want %t/%s", got.status, got.reason, test.holds, test.reason)
			}
			if !strings.Contains(got.message, test.message) {
				t.Errorf("message %q does not contain %q", got.message, test.message)
			}
		})
	}
}

func TestMessagesNameAtMostTenPods(t *testing.T) {
	t.Parallel()
	view := fine()
	view.pods.uninjected = strings.Split("abcdefghijklmnopqrstuvwxyz", "")
	got := find(t, view.conditions(), v1alpha1.ConditionEnforced).message
	if !strings.HasSuffix(got, ": a, b, c, d, e, f, g, h, i, j, ...") {
		t.Errorf("message %q", got)
	}
}

func TestEventsTellWhatTurnedBadAndWell(t *testing.T) {
	t.Parallel()
	good := map[string]metav1.ConditionStatus{"Ready": metav1.ConditionTrue, "Degraded": metav1.ConditionFalse}
	ready := setConditions(nil, 1, holds("Ready", "Fine", "all is well"), fails("Degraded", "AsExpected", ""))
	broken := setConditions(ready, 2, fails("Ready", "Broken", "mend it"))
	worse := setConditions(broken, 2, fails("Ready", "Worse", "mend that first"))
	agentDies := setConditions(ready, 1, holds("Ready", v1alpha1.ReasonAgentAddressInUse, "listen on 127.0.0.1"))
	for sentence, test := range map[string]struct {
		before, after []metav1.Condition
		want          []notice
	}{
		"a good start needs no event":              {nil, ready, nil},
		"a bad start is a warning":                 {nil, setConditions(nil, 1, fails("Ready", "Broken", "mend it")), []notice{{true, "Broken", "mend it"}}},
		"no change, no event":                      {broken, broken, nil},
		"turning bad is a warning":                 {ready, broken, []notice{{true, "Broken", "mend it"}}},
		"another reason is a warning again":        {broken, worse, []notice{{true, "Worse", "mend that first"}}},
		"turning well is a note":                   {worse, ready, []notice{{false, "Fine", "all is well"}}},
		"good and yet worth a look is a warning":   {ready, agentDies, []notice{{true, v1alpha1.ReasonAgentAddressInUse, "listen on 127.0.0.1"}}},
		"that nothing is worth a look any more is": {agentDies, ready, []notice{{false, "Fine", "all is well"}}},
		"Degraded is bad when it is true": {
			ready, setConditions(ready, 2, holds("Degraded", "ExportConflict", "delete it")), []notice{{true, "ExportConflict", "delete it"}},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := conditionEvents(test.before, test.after, good)
			if len(got) != len(test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("got %v, want %v", got[i], test.want[i])
				}
			}
		})
	}
}

func TestLongMessagesAreCutBetweenLetters(t *testing.T) {
	t.Parallel()
	got := shorten(strings.Repeat("é", longestMessage))
	if want := strings.Repeat("é", longestMessage/2) + " ..."; got != want {
		t.Errorf("got %d bytes ending in %q", len(got), got[len(got)-8:])
	}
}

func find(t *testing.T, conditions []condition, kind string) condition {
	t.Helper()
	for _, c := range conditions {
		if c.kind == kind {
			return c
		}
	}
	t.Fatalf("no condition %s", kind)
	return condition{}
}
