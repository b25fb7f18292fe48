package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

func TestPodsGoToTheOldestPolicyThatSelectsThem(t *testing.T) {
	t.Parallel()
	chat := map[string]string{"app": "chat"}
	elder := policyAged("elder", 2*time.Hour, &metav1.LabelSelector{MatchLabels: chat})
	younger := policyAged("younger", time.Hour, &metav1.LabelSelector{})
	broken := policyAged("broken", 3*time.Hour, &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Near"}},
	})
	none := policyAged("none", 4*time.Hour, nil)
	lenient := policyAged("lenient", time.Hour, &metav1.LabelSelector{MatchLabels: chat})
	lenient.Spec.AllowOptOut = true

	for name, test := range map[string]struct {
		self     v1alpha1.AgentAuthPolicy
		all      []v1alpha1.AgentAuthPolicy
		pods     []corev1.Pod
		want     []string
		wantLost map[string]string
	}{
		"a policy alone gets the pods it selects": {
			self: elder, all: []v1alpha1.AgentAuthPolicy{elder}, pods: []corev1.Pod{podWith("a", chat), podWith("b", nil)},
			want: []string{"a"}, wantLost: map[string]string{},
		},
		"the younger of two gets what the elder leaves": {
			self: younger, all: []v1alpha1.AgentAuthPolicy{younger, elder}, pods: []corev1.Pod{podWith("a", chat), podWith("b", nil)},
			want: []string{"b"}, wantLost: map[string]string{"a": "elder"},
		},
		"the elder loses nothing": {
			self: elder, all: []v1alpha1.AgentAuthPolicy{younger, elder}, pods: []corev1.Pod{podWith("a", chat)},
			want: []string{"a"}, wantLost: map[string]string{},
		},
		"equally old policies are ordered by name": {
			self: policyAged("b", time.Hour, &metav1.LabelSelector{}),
			all:  []v1alpha1.AgentAuthPolicy{policyAged("b", time.Hour, &metav1.LabelSelector{}), policyAged("a", time.Hour, &metav1.LabelSelector{})},
			pods: []corev1.Pod{podWith("p", nil)}, wantLost: map[string]string{"p": "a"},
		},
		"a selector that cannot be read takes nothing away": {
			self: elder, all: []v1alpha1.AgentAuthPolicy{broken, elder}, pods: []corev1.Pod{podWith("a", chat)},
			want: []string{"a"}, wantLost: map[string]string{},
		},
		"an absent selector selects no pod": {
			self: none, all: []v1alpha1.AgentAuthPolicy{none}, pods: []corev1.Pod{podWith("a", chat)}, wantLost: map[string]string{},
		},
		"finished and departing pods do not count": {
			self: elder, all: []v1alpha1.AgentAuthPolicy{elder},
			pods:     []corev1.Pod{finished(podWith("done", chat)), departing(podWith("leaving", chat))},
			wantLost: map[string]string{},
		},
		"a pod may opt out where its policy allows it": {
			self: lenient, all: []v1alpha1.AgentAuthPolicy{lenient},
			pods:     []corev1.Pod{podWith("out", map[string]string{"app": "chat", v1alpha1.LabelInject: "false"})},
			wantLost: map[string]string{},
		},
		"a pod may not opt out elsewhere": {
			self: elder, all: []v1alpha1.AgentAuthPolicy{elder},
			pods: []corev1.Pod{podWith("out", map[string]string{"app": "chat", v1alpha1.LabelInject: "false"})},
			want: []string{"out"}, wantLost: map[string]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := claimPods(&test.self, test.all, test.pods)
			var names []string
			for _, pod := range got.pods {
				names = append(names, pod.Name)
			}
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantLost, got.lost); diff != "" {
				t.Errorf("lost pods (-want +got):\n%s", diff)
			}
		})
	}
}

func policyAged(name string, age time.Duration, selector *metav1.LabelSelector) v1alpha1.AgentAuthPolicy {
	born := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).Add(-age)
	return v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "agents", CreationTimestamp: metav1.NewTime(born)},
		Spec:       v1alpha1.AgentAuthPolicySpec{Selector: selector},
	}
}

func podWith(name string, labels map[string]string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "agents", Labels: labels}}
}

func finished(pod corev1.Pod) corev1.Pod {
	pod.Status.Phase = corev1.PodSucceeded
	return pod
}

func departing(pod corev1.Pod) corev1.Pod {
	now := metav1.Now()
	pod.DeletionTimestamp = &now
	return pod
}

func TestOnlyAnotherSelectionConcernsRivals(t *testing.T) {
	t.Parallel()
	base := func() *v1alpha1.AgentAuthPolicy {
		p := &v1alpha1.AgentAuthPolicy{}
		p.Name, p.Generation = "chat", 1
		p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}
		return p
	}
	for sentence, test := range map[string]struct {
		edit func(*v1alpha1.AgentAuthPolicy)
		want bool
	}{
		"another selector":  {func(p *v1alpha1.AgentAuthPolicy) { p.Spec.Selector.MatchLabels["app"] = "other" }, true},
		"no selector":       {func(p *v1alpha1.AgentAuthPolicy) { p.Spec.Selector = nil }, true},
		"pods may opt out":  {func(p *v1alpha1.AgentAuthPolicy) { p.Spec.AllowOptOut = true }, true},
		"it goes":           {func(p *v1alpha1.AgentAuthPolicy) { p.DeletionTimestamp = &metav1.Time{Time: noon} }, true},
		"other tokens":      {func(p *v1alpha1.AgentAuthPolicy) { p.Spec.JWT = &policy.JWT{}; p.Generation++ }, false},
		"another label":     {func(p *v1alpha1.AgentAuthPolicy) { p.Labels = map[string]string{"a": "b"} }, false},
		"a status of it":    {func(p *v1alpha1.AgentAuthPolicy) { p.Status.BundleRevision++ }, false},
		"the same selector": {func(p *v1alpha1.AgentAuthPolicy) { p.Spec.Selector = p.Spec.Selector.DeepCopy() }, false},
	} {
		now := base()
		test.edit(now)
		if got := selectionChanged().Update(event.UpdateEvent{ObjectOld: base(), ObjectNew: now}); got != test.want {
			t.Errorf("%s: %t, want %t", sentence, got, test.want)
		}
	}
	if !selectionChanged().Create(event.CreateEvent{Object: base()}) || !selectionChanged().Delete(event.DeleteEvent{Object: base()}) {
		t.Error("a policy that comes or goes concerns nobody")
	}
}
