package controller

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// claim is what one policy gets of the pods of its namespace.
type claim struct {
	pods []corev1.Pod // living pods it guards
	// lost are pods it selects and an older policy guards: name of the pod to name of the policy.
	lost map[string]string
}

// claimPods divides the pods among the policies as the injector does: one
// policy per pod, the oldest wins. A policy whose selector cannot be read, or
// that is being deleted, selects nothing. Pods that were allowed to opt out
// belong to nobody.
func claimPods(self *v1alpha1.AgentAuthPolicy, all []v1alpha1.AgentAuthPolicy, pods []corev1.Pod) claim {
	mine := claim{lost: map[string]string{}}
	selector, err := selectorOf(self)
	if err != nil || self.DeletionTimestamp != nil {
		return mine
	}
	selected := livingOf(pods, selector)
	if len(selected) == 0 {
		return mine // whoever else there is
	}
	selection := selectionOf(all)
	var guarded []*corev1.Pod
	for _, pod := range selected {
		winner := selection.Choose(pod.Labels)
		switch {
		case winner == nil || optedOut(pod, winner):
		case winner.Name == self.Name:
			guarded = append(guarded, pod)
		default:
			mine.lost[pod.Name] = winner.Name
		}
	}
	mine.pods = make([]corev1.Pod, len(guarded)) // of the right size at once: there may be thousands
	for i, pod := range guarded {
		mine.pods[i] = *pod
	}
	return mine
}

// livingOf are the living pods that a selector matches.
func livingOf(pods []corev1.Pod, selector labels.Selector) []*corev1.Pod {
	var selected []*corev1.Pod
	for i := range pods {
		if pod := &pods[i]; living(pod) && selector.Matches(labels.Set(pod.Labels)) {
			selected = append(selected, pod)
		}
	}
	return selected
}

// selectionOf are the policies that select pods. Each selector is read once,
// unless one of them cannot be.
func selectionOf(all []v1alpha1.AgentAuthPolicy) inject.Selection {
	selecting := make([]v1alpha1.AgentAuthPolicy, 0, len(all))
	for i := range all {
		if all[i].Spec.Selector != nil && all[i].DeletionTimestamp == nil {
			selecting = append(selecting, all[i])
		}
	}
	selection, err := inject.NewSelection(selecting)
	if err == nil {
		return selection
	}
	selection, _ = inject.NewSelection(slices.DeleteFunc(selecting, func(p v1alpha1.AgentAuthPolicy) bool {
		_, err := selectorOf(&p)
		return err != nil
	}))
	return selection
}

// selectorOf reads a policy's selector: absent selects no pod, empty selects all.
func selectorOf(policy *v1alpha1.AgentAuthPolicy) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("spec.selector: %w", err)
	}
	return selector, nil
}

func optedOut(pod *corev1.Pod, winner *v1alpha1.AgentAuthPolicy) bool {
	_, guarded := sidecarImageOf(pod)
	return winner.Spec.AllowOptOut && pod.Labels[v1alpha1.LabelInject] == "false" && !guarded
}

// rivals names the older policies and the pods they took, for a message.
func (c claim) rivals() (policies, pods []string) {
	policies = slices.Compact(slices.Sorted(maps.Values(c.lost)))
	return policies, slices.Sorted(maps.Keys(c.lost))
}
