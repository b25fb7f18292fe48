package inject

import (
	"fmt"
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// containers walks the init containers and the containers of a pod, each with
// the path of its field.
func containers(pod *corev1.Pod) iter.Seq2[string, *corev1.Container] {
	return func(yield func(string, *corev1.Container) bool) {
		for i := range pod.Spec.InitContainers {
			if !yield(fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i]) {
				return
			}
		}
		for i := range pod.Spec.Containers {
			if !yield(fmt.Sprintf("spec.containers[%d]", i), &pod.Spec.Containers[i]) {
				return
			}
		}
	}
}
