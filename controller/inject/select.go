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

// Selection is the policies of one namespace, ready to choose for many pods.
type Selection []candidate

// candidate is a policy and what it selects.
type candidate struct {
	policy   *v1alpha1.AgentAuthPolicy
	selector labels.Selector
}

// NewSelection reads the selectors. One that cannot be read is a *Refusal:
// whether it means a pod is not known.
func NewSelection(policies []v1alpha1.AgentAuthPolicy) (Selection, error) {
	selection := make(Selection, 0, len(policies))
	for i := range policies {
		policy := &policies[i]
		selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Selector)
		if err != nil {
			return nil, refuse(ReasonSelector, fmt.Sprintf("agentauthpolicy %s: spec.selector", policy.Name), "%v; correct the policy", err)
		}
		selection = append(selection, candidate{policy, selector})
	}
	slices.SortStableFunc(selection, func(a, b candidate) int { return byAge(a.policy, b.policy) })
	return selection, nil
}

// Choose returns the policy that guards a pod with these labels: the oldest that
// selects them, by name where two are as old; nil when none does.
func (s Selection) Choose(of map[string]string) *v1alpha1.AgentAuthPolicy {
	for _, c := range s {
		if c.selector.Matches(labels.Set(of)) {
			return c.policy
		}
	}
	return nil
}

// Select returns the policy that guards one pod, as a Selection does. The caller
// passes the policies of the pod's own namespace.
func Select(policies []v1alpha1.AgentAuthPolicy, pod *corev1.Pod) (*v1alpha1.AgentAuthPolicy, error) {
	selection, err := NewSelection(policies)
	if err != nil {
		return nil, err
	}
	return selection.Choose(pod.Labels), nil
}

// byAge orders policies by age and then by name.
func byAge(a, b *v1alpha1.AgentAuthPolicy) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
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
