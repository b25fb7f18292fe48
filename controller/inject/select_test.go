package inject_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// made is a policy created so many hours after the first.
func made(name string, hours int, selector *metav1.LabelSelector) v1alpha1.AgentAuthPolicy {
	created := metav1.NewTime(time.Date(2026, 11, 22, hours, 0, 0, 0, time.UTC))
	return v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: created},
		Spec:       v1alpha1.AgentAuthPolicySpec{Selector: selector},
	}
}

func TestDecide(t *testing.T) {
	chat := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}
	everything := &metav1.LabelSelector{}
	broken := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}
	optional := made("optional", 1, chat)
	optional.Spec.AllowOptOut = true
	for name, test := range map[string]struct {
		policies []v1alpha1.AgentAuthPolicy
		inject   string // value of the pod's label
		want     string
		reason   inject.Reason
		detail   string
	}{
		"the only policy that selects the pod": {policies: []v1alpha1.AgentAuthPolicy{made("a", 1, chat)}, want: "a"},
		"the oldest of those that select it":   {policies: []v1alpha1.AgentAuthPolicy{made("b", 2, everything), made("a", 1, nil), made("c", 1, chat)}, want: "c"},
		"the first by name of two as old":      {policies: []v1alpha1.AgentAuthPolicy{made("b", 1, chat), made("a", 1, everything)}, want: "a"},
		"an absent selector selects nothing":   {policies: []v1alpha1.AgentAuthPolicy{made("a", 1, nil)}},
		"no policy and no wish":                {},
		"no policy and a wish": {
			inject: "true", reason: inject.ReasonNoPolicy, detail: "there is none",
		},
		"only policies for others and a wish": {
			policies: []v1alpha1.AgentAuthPolicy{made("z", 1, nil), made("y", 1, nil)},
			inject:   "true", reason: inject.ReasonNoPolicy, detail: "there are [y z]",
		},
		"too many policies for others to name": {
			policies: []v1alpha1.AgentAuthPolicy{made("a", 1, nil), made("b", 1, nil), made("c", 1, nil), made("d", 1, nil), made("e", 1, nil), made("f", 1, nil)},
			inject:   "true", reason: inject.ReasonNoPolicy, detail: "[a b c d e] and 1 more",
		},
		"a wish that is granted":                {policies: []v1alpha1.AgentAuthPolicy{made("a", 1, chat)}, inject: "true", want: "a"},
		"opting out where it is allowed":        {policies: []v1alpha1.AgentAuthPolicy{optional}, inject: "false"},
		"opting out where nothing selects":      {inject: "false"},
		"a label that is neither true or false": {policies: []v1alpha1.AgentAuthPolicy{optional}, inject: "no", want: "optional"},
		"opting out where it is not allowed": {
			policies: []v1alpha1.AgentAuthPolicy{made("a", 1, chat)},
			inject:   "false", reason: inject.ReasonOptOut, detail: "allowOptOut: true",
		},
		"opting out where only a younger policy allows it": {
			policies: []v1alpha1.AgentAuthPolicy{optional, made("a", 0, chat)},
			inject:   "false", reason: inject.ReasonOptOut, detail: "AgentAuthPolicy a selects",
		},
		"a selector that cannot be read": {
			policies: []v1alpha1.AgentAuthPolicy{made("a", 1, chat), made("b", 2, broken)},
			reason:   inject.ReasonSelector, detail: "correct the policy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := agentPod()
			if test.inject != "" {
				pod.Labels[v1alpha1.LabelInject] = test.inject
			}
			chosen, err := inject.Decide(test.policies, pod)
			var got string
			if chosen != nil {
				got = chosen.Name
			}
			if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
				if refusal.Reason != test.reason || !strings.Contains(refusal.Detail, test.detail) {
					t.Errorf("refused by %s with %q, want %s with %q", refusal.Reason, refusal, test.reason, test.detail)
				}
			} else if err != nil || test.reason != "" {
				t.Errorf("error %v, want a refusal by %q", err, test.reason)
			}
			if got != test.want {
				t.Errorf("policy %q, want %q", got, test.want)
			}
		})
	}
}
