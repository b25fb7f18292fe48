package inject

import (
	"cmp"
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Config is what one installation injects. Zero values but Image mean defaults.
type Config struct {
	// Image is the sidecar's image reference. Required.
	Image string
	// PullPolicy of that image; empty leaves it to Kubernetes.
	PullPolicy corev1.PullPolicy
	// AdminPort is the sidecar's port for probes, metrics and state; default 19901.
	AdminPort int32
	// LogLevel of sidecars whose pod does not say: debug, info, warn or error; default info.
	LogLevel string
}

// Status is what the annotation gatepost.dev/status says of an injected pod, in
// JSON. It is for people: nothing trusts it.
type Status struct {
	// Policy is the name of the policy that selected the pod.
	Policy string `json:"policy"`
	// Image is the sidecar's image.
	Image string `json:"image"`
	// Ports are the guarded ports, ascending.
	Ports []int32 `json:"ports"`
}

// Pod returns the pod with the sidecar in front of its agent, as policy asks.
// The pod that is given is not changed. The error is a *Refusal when the pod
// cannot be guarded as it is. Injecting an injected pod anew gives the same pod.
func Pod(pod *corev1.Pod, policy *v1alpha1.AgentAuthPolicy, cfg Config) (*corev1.Pod, []Warning, error) {
	cfg.AdminPort = cmp.Or(cfg.AdminPort, v1alpha1.AdminPort)
	cfg.LogLevel = cmp.Or(cfg.LogLevel, "info")
	if cfg.Image == "" {
		return nil, nil, refuse(ReasonConfiguration, "image", "no sidecar image is configured")
	}
	out := pod.DeepCopy()
	dropContainer(out)
	if refusal := check(out, cfg); refusal != nil {
		return nil, nil, refusal
	}
	dropVolumes(out)
	warnings, refusal := guard(out, policy, cfg)
	if refusal != nil {
		return nil, nil, refusal
	}
	return out, warnings, nil
}

// guard adds the sidecar to a pod that has none.
func guard(pod *corev1.Pod, policy *v1alpha1.AgentAuthPolicy, cfg Config) ([]Warning, *Refusal) {
	ports, refusal := guardedPorts(pod, policy.Spec.Capture)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkCapture(ports, cfg); refusal != nil {
		return nil, refusal
	}
	found, refusal := collectProbes(pod, ports)
	if refusal != nil {
		return nil, refusal
	}
	settings, refusal := podSettings(pod, cfg)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := allowLowPorts(pod, ports); refusal != nil {
		return nil, refusal
	}
	warnings := append(found.warnings, prepareAgents(pod, ports)...)
	revision := policy.Status.BundleRevision
	sidecar := container(cfg, settings, guarding{ports: ports, exempt: found.exempt, revision: revision})
	pod.Spec.InitContainers = append([]corev1.Container{sidecar}, pod.Spec.InitContainers...)
	pod.Spec.Volumes = append(pod.Spec.Volumes, volumes(policy.Name)...)
	return warnings, mark(pod, Status{Policy: policy.Name, Image: cfg.Image, Ports: ports}, revision)
}

// checkCapture refuses to guard the sidecar's own port.
func checkCapture(ports []int32, cfg Config) *Refusal {
	for _, port := range ports {
		if port == cfg.AdminPort {
			return refuse(ReasonAdminPort, "spec.capture.ports",
				"%d is the sidecar's admin port; leave it out, or move the admin port with the chart's value adminPort", port)
		}
	}
	return nil
}

// mark labels the pod as injected and says with what. The revision that the pod
// is admitted with is one that nobody has to tell it of; whatever its author
// wrote there is not heeded.
func mark(pod *corev1.Pod, status Status, revision int64) *Refusal {
	text, err := json.Marshal(status)
	if err != nil {
		return refuse(ReasonConfiguration, "status", "%v", err)
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Labels[v1alpha1.LabelInjected] = "true"
	pod.Annotations[v1alpha1.AnnotationStatus] = string(text)
	delete(pod.Annotations, v1alpha1.AnnotationBundleRevision)
	if revision > 0 {
		pod.Annotations[v1alpha1.AnnotationBundleRevision] = strconv.FormatInt(revision, 10)
	}
	return nil
}

// dropContainer takes the sidecar of an earlier run out. It tells it by what it
// is, not by the pod's annotations.
func dropContainer(pod *corev1.Pod) {
	kept := pod.Spec.InitContainers[:0]
	for _, container := range pod.Spec.InitContainers {
		if !isOwnContainer(&container) {
			kept = append(kept, container)
		}
	}
	pod.Spec.InitContainers = kept
}

// dropVolumes takes the volumes of an earlier run out.
func dropVolumes(pod *corev1.Pod) {
	kept := pod.Spec.Volumes[:0]
	for _, volume := range pod.Spec.Volumes {
		if !isOwnVolume(&volume) {
			kept = append(kept, volume)
		}
	}
	pod.Spec.Volumes = kept
}

// isOwnContainer tells the sidecar from a container that merely has its name:
// it is a native sidecar and mounts a bundle.
func isOwnContainer(container *corev1.Container) bool {
	if container.Name != v1alpha1.ContainerName ||
		container.RestartPolicy == nil || *container.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		return false
	}
	for _, mount := range container.VolumeMounts {
		if mount.Name == v1alpha1.VolumeName && mount.MountPath == v1alpha1.BundleMountPath {
			return true
		}
	}
	return false
}

// isOwnVolume tells the sidecar's volumes from volumes that merely have their names.
func isOwnVolume(volume *corev1.Volume) bool {
	switch volume.Name {
	case v1alpha1.VolumeName:
		return volume.Secret != nil && isOwnSecret(volume.Secret.SecretName)
	case v1alpha1.StateVolumeName, emptyVolume:
		return volume.EmptyDir != nil
	}
	return false
}
