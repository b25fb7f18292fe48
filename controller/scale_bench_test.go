package controller

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// What one look of a policy at its pods costs, per pod, with ten policies in the
// namespace:
//
//	go test -bench Look -run '^$' ./controller
func BenchmarkLook(b *testing.B) {
	var policies []v1alpha1.AgentAuthPolicy
	for n := range 10 {
		p := v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: fmt.Sprint("policy-", n)}}
		p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint("app-", n)}}
		policies = append(policies, p)
	}
	for _, pods := range []int{50, 500, 5000} {
		all := make([]corev1.Pod, pods)
		for i := range all {
			all[i] = mounting(guarded(image, "7", corev1.ContainerStatus{Ready: true, State: running()}), "policy-0")
			all[i].Name, all[i].UID = fmt.Sprint("pod-", i), types.UID(fmt.Sprint("uid-", i))
			all[i].Labels = map[string]string{"app": "app-0", "pod-template-hash": "5f6d8c7b9"}
			all[i].Status.PodIP = "10.0.0.1"
		}
		steps := map[string]func(){
			"claim": func() { claimPods(&policies[0], policies, all) },
			"judge": func() { judgePods(all, "policy-0", image, 7) },
			"asked": func() { askedPods(all, v1alpha1.BundleName("policy-0"), 7) },
		}
		for _, name := range []string{"claim", "judge", "asked"} {
			b.Run(fmt.Sprintf("%s/%d", name, pods), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					steps[name]()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pods), "ns/pod")
			})
		}
	}
}
