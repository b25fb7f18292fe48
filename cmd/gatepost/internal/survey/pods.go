package survey

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/kube"
	"gatepost.dev/gatepost/controller/inject"
)

// podsOf are the pods that one policy guards, or should.
type podsOf struct {
	bare []string // without a sidecar of this policy
}

// judgePods finds for each pod the policy that guards it, and counts. What a
// selector that cannot be read means is the controller's to say.
func (w World) judgePods(report *Report) map[object]podsOf {
	found := map[object]podsOf{}
	if slices.Contains(w.Hidden, "pods") {
		for i := range w.Policies {
			report.Selected += int(w.Policies[i].Status.Pods.Selected)
			report.Guarded += int(w.Policies[i].Status.Pods.Injected)
		}
		return found
	}
	byNamespace := map[string][]v1alpha1.AgentAuthPolicy{}
	for i := range w.Policies {
		byNamespace[w.Policies[i].Namespace] = append(byNamespace[w.Policies[i].Namespace], w.Policies[i])
	}
	selections := map[string]inject.Selection{}
	for namespace, policies := range byNamespace {
		if selection, err := inject.NewSelection(policies); err == nil {
			selections[namespace] = selection
		}
	}
	for i := range w.Pods {
		w.judgePod(&w.Pods[i], selections, report, found)
	}
	for _, pods := range found {
		slices.Sort(pods.bare)
	}
	return found
}

func (w World) judgePod(pod *corev1.Pod, selections map[string]inject.Selection, report *Report, found map[object]podsOf) {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	selection, guarded := selections[pod.Namespace]
	chosen := selection.Choose(pod.Labels)
	switch {
	case chosen == nil:
		if guarded || w.Injects[pod.Namespace] {
			report.Unselected++
		}
		return
	case pod.Labels[v1alpha1.LabelInject] == "false" && chosen.Spec.AllowOptOut:
		return // it declined, and may
	}
	report.Selected++
	at := objectOf(chosen)
	pods := found[at]
	if kube.BundleOf(pod) == v1alpha1.BundleName(chosen.Name) {
		report.Guarded++
	} else {
		pods.bare = append(pods.bare, pod.Name)
	}
	found[at] = pods
}

// mostNamed is how many pods a message names.
const mostNamed = 10

func some(names []string) string {
	if rest := len(names) - mostNamed; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), rest)
	}
	return strings.Join(names, ", ")
}
