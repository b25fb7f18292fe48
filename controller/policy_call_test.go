package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

func TestWhereASidecarIsAsked(t *testing.T) {
	t.Parallel()
	ports := func(ports ...corev1.ContainerPort) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Ports = ports }
	}
	for sentence, test := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"at the pod's address and the admin port":          {func(*corev1.Pod) {}, "10.0.0.7:19901"},
		"at the port that the sidecar declares":            {ports(corev1.ContainerPort{Name: "http", ContainerPort: 80}, corev1.ContainerPort{Name: v1alpha1.AdminPortName, ContainerPort: 29901}), "10.0.0.7:29901"},
		"at an IPv6 address":                               {func(pod *corev1.Pod) { pod.Status.PodIP = "fd00::7" }, "[fd00::7]:19901"},
		"nowhere while the pod has no address":             {func(pod *corev1.Pod) { pod.Status.PodIP = "" }, ""},
		"nowhere when the address would be the node's own": {func(pod *corev1.Pod) { pod.Spec.HostNetwork = true }, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			pod := guarded(image, "7", corev1.ContainerStatus{Ready: true})
			pod.Status.PodIP = "10.0.0.7"
			test.change(&pod)
			stripped, err := stripPod(&pod) // what the cache keeps must be enough
			if err != nil {
				t.Fatal(err)
			}
			kept, _ := stripped.(*corev1.Pod)
			if got := adminAddress(kept); got != test.want {
				t.Errorf("asked at %q, want %q", got, test.want)
			}
		})
	}
}
