package inject

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Select returns the policy that guards a pod: of those of its namespace that
// select its labels the oldest, by name where two are as old; nil when none
// does. The caller passes the policies of the pod's own namespace. A selector
// that cannot be read is a *Refusal: whether it means the pod is not known.
func Select(policies []v1alpha1.AgentAuthPolicy, pod *corev1.Pod) (*v1alpha1.AgentAuthPolicy, error) {
	var chosen *v1alpha1.AgentAuthPolicy
	for i := range policies {
		candidate := &policies[i]
		selector, err := metav1.LabelSelectorAsSelector(candidate.Spec.Selector)
		if err != nil {
			return nil, refuse(ReasonSelector, fmt.Sprintf("agentauthpolicy %s: spec.selector", candidate.Name), "%v; correct the policy", err)
		}
		if selector.Matches(labels.Set(pod.Labels)) && (chosen == nil || older(candidate, chosen)) {
			chosen = candidate
		}
	}
	return chosen, nil
}

// older orders policies by age and then by name.
func older(a, b *v1alpha1.AgentAuthPolicy) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// Decide says whether a pod of an admission request is to be guarded and by
// which policy. No policy and no error: the pod is none of Gatepost's business,
// because nothing selects it, or because it opted out where its policy allows that.
func Decide(policies []v1alpha1.AgentAuthPolicy, pod *corev1.Pod) (*v1alpha1.AgentAuthPolicy, error) {
	chosen, err := Select(policies, pod)
	if err != nil {
		return nil, err
	}
	label := pod.Labels[v1alpha1.LabelInject]
	field := fmt.Sprintf("metadata.labels[%s]", v1alpha1.LabelInject)
	switch {
	case chosen == nil && label == "true":
		return nil, refuse(ReasonNoPolicy, field, "the pod asks to be guarded and no AgentAuthPolicy of its namespace selects it%s; "+
			"create one whose spec.selector matches the pod's labels, or remove the label", known(policies))
	case chosen == nil:
		return nil, nil
	case label == "false" && chosen.Spec.AllowOptOut:
		return nil, nil
	case label == "false":
		return nil, refuse(ReasonOptOut, field, "AgentAuthPolicy %s selects the pod and does not allow opting out; "+
			"remove the label or set allowOptOut: true in the policy", chosen.Name)
	}
	return chosen, nil
}

// known names the policies that a namespace has, for the person who mistyped a label.
func known(policies []v1alpha1.AgentAuthPolicy) string {
	if len(policies) == 0 {
		return " (there is none)"
	}
	const most = 5
	var names []string
	for i := range policies {
		names = append(names, policies[i].Name)
	}
	slices.Sort(names)
	if len(names) > most {
		return fmt.Sprintf(" (there are %v and %d more)", names[:most], len(names)-most)
	}
	return fmt.Sprintf(" (there are %v)", names)
}
