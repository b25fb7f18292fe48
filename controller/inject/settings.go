package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// settings is what a pod's annotations may change about its sidecar.
type settings struct {
	resources corev1.ResourceRequirements
	goMemory  string
	logLevel  string
}

// leastMemory is the smallest limit under which the sidecar starts, in bytes.
const leastMemory int64 = 32 << 20

// podSettings reads the annotations of a pod over the defaults.
func podSettings(pod *corev1.Pod, cfg Config) (settings, *Refusal) {
	level, refusal := logLevel(pod, cfg)
	if refusal != nil {
		return settings{}, refusal
	}
	resources := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
	for _, set := range []struct {
		annotation string
		list       corev1.ResourceList
		resource   corev1.ResourceName
	}{
		{v1alpha1.AnnotationCPURequest, resources.Requests, corev1.ResourceCPU},
		{v1alpha1.AnnotationCPULimit, resources.Limits, corev1.ResourceCPU},
		{v1alpha1.AnnotationMemoryRequest, resources.Requests, corev1.ResourceMemory},
		{v1alpha1.AnnotationMemoryLimit, resources.Limits, corev1.ResourceMemory},
	} {
		if refusal := setQuantity(pod, set.annotation, set.list, set.resource); refusal != nil {
			return settings{}, refusal
		}
	}
	if refusal := checkResources(pod, resources); refusal != nil {
		return settings{}, refusal
	}
	return settings{resources: resources, goMemory: goMemory(resources.Limits.Memory().Value()), logLevel: level}, nil
}

// logLevel is the level that the pod asks for, or the installation's.
func logLevel(pod *corev1.Pod, cfg Config) (string, *Refusal) {
	level := cmp.Or(pod.Annotations[v1alpha1.AnnotationLogLevel], cfg.LogLevel)
	levels := []string{"debug", "info", "warn", "error"}
	if !slices.Contains(levels, level) {
		return "", refuse(ReasonAnnotation, annotationField(v1alpha1.AnnotationLogLevel),
			"%q is no log level; use one of: %s", level, strings.Join(levels, ", "))
	}
	return level, nil
}

// setQuantity puts the annotation's quantity, if there is one, into the list.
func setQuantity(pod *corev1.Pod, annotation string, list corev1.ResourceList, name corev1.ResourceName) *Refusal {
	text, ok := pod.Annotations[annotation]
	if !ok {
		return nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil || quantity.Sign() <= 0 {
		return refuse(ReasonAnnotation, annotationField(annotation), "%q is no positive quantity; write it like 100m or 64Mi", text)
	}
	list[name] = quantity
	return nil
}

// checkResources refuses limits that the sidecar could not live with. A request
// that no annotation set follows a smaller limit down.
func checkResources(pod *corev1.Pod, r corev1.ResourceRequirements) *Refusal {
	if memory := r.Limits.Memory(); memory.Value() < leastMemory {
		return refuse(ReasonAnnotation, annotationField(v1alpha1.AnnotationMemoryLimit),
			"%s is less than the sidecar needs; use at least 32Mi", memory)
	}
	for _, pair := range []struct {
		name       corev1.ResourceName
		annotation string
	}{
		{corev1.ResourceCPU, v1alpha1.AnnotationCPURequest},
		{corev1.ResourceMemory, v1alpha1.AnnotationMemoryRequest},
	} {
		request := r.Requests[pair.name]
		limit, limited := r.Limits[pair.name]
		if !limited || request.Cmp(limit) <= 0 {
			continue
		}
		if _, asked := pod.Annotations[pair.annotation]; asked {
			return refuse(ReasonAnnotation, annotationField(pair.annotation),
				"the request %s is more than the limit %s; lower the request or raise the limit", &request, &limit)
		}
		r.Requests[pair.name] = limit
	}
	return nil
}

// goMemory is the soft limit of the Go heap under a container limit in bytes:
// 25/32 of it, which is 200MiB of the default 256Mi.
func goMemory(limit int64) string {
	const mebi = 1 << 20
	soft := limit / 32 * 25
	if soft >= mebi {
		return fmt.Sprintf("%dMiB", soft/mebi)
	}
	return fmt.Sprintf("%dB", soft)
}

func annotationField(name string) string { return fmt.Sprintf("metadata.annotations[%s]", name) }
