package inject

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// check refuses what no choice of ports can guard. The pod still has its
// volumes, but no sidecar of an earlier run.
func check(pod *corev1.Pod, cfg Config) *Refusal {
	for _, one := range []func(*corev1.Pod, Config) *Refusal{
		checkNamespaces, checkNames, checkSecrets, checkAdminPort,
	} {
		if refusal := one(pod, cfg); refusal != nil {
			return refusal
		}
	}
	return nil
}

// checkNamespaces refuses pods whose network or processes are not their own.
func checkNamespaces(pod *corev1.Pod, _ Config) *Refusal {
	switch {
	case pod.Spec.OS != nil && pod.Spec.OS.Name != corev1.Linux:
		return refuse(ReasonOS, "spec.os.name", "the sidecar runs on linux only")
	case pod.Spec.HostNetwork:
		return refuse(ReasonHostNetwork, "spec.hostNetwork",
			"the guard needs addresses of the pod's own; set it to false and reach the agent through a Service or a hostPort")
	case pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace:
		return refuse(ReasonSharedProcess, "spec.shareProcessNamespace",
			"other containers could read the sidecar's keys through /proc; set it to false")
	case pod.Spec.HostPID:
		return refuse(ReasonSharedProcess, "spec.hostPID",
			"other containers could read the sidecar's keys through /proc; set it to false")
	}
	return nil
}

// checkNames refuses pods that use a name of ours for something else.
func checkNames(pod *corev1.Pod, _ Config) *Refusal {
	for where, container := range containers(pod) {
		if container.Name == v1alpha1.ContainerName {
			return refuse(ReasonNameTaken, where+".name",
				"%q is the name of the sidecar; rename the container", container.Name)
		}
	}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if isOwnName(volume.Name) && !isOwnVolume(volume) {
			return refuse(ReasonNameTaken, fmt.Sprintf("spec.volumes[%d].name", i),
				"%q is the name of a volume of the sidecar; rename the volume", volume.Name)
		}
	}
	return nil
}

func isOwnName(volume string) bool {
	return volume == v1alpha1.VolumeName || volume == v1alpha1.StateVolumeName || volume == emptyVolume
}

// checkAdminPort refuses pods that want the sidecar's admin port or its name.
func checkAdminPort(pod *corev1.Pod, cfg Config) *Refusal {
	for where, container := range containers(pod) {
		for i, port := range container.Ports {
			field := fmt.Sprintf("%s.ports[%d]", where, i)
			if port.ContainerPort == cfg.AdminPort {
				return refuse(ReasonAdminPort, field+".containerPort",
					"%d is the sidecar's admin port; use another, or move the admin port with the chart's value adminPort", port.ContainerPort)
			}
			if port.Name == v1alpha1.AdminPortName {
				return refuse(ReasonAdminPort, field+".name", "%q is the name of the sidecar's admin port; rename the port", port.Name)
			}
		}
	}
	return nil
}

// checkSecrets refuses pods in which another container could read, or choose,
// what the sidecar verifies with. Volumes count where they are mounted.
func checkSecrets(pod *corev1.Pod, _ Config) *Refusal {
	secret := map[string]string{}
	for i := range pod.Spec.Volumes {
		if name := volumeSecret(&pod.Spec.Volumes[i]); name != "" {
			secret[pod.Spec.Volumes[i].Name] = name
		}
	}
	for where, container := range containers(pod) {
		for i, mount := range container.VolumeMounts {
			field := fmt.Sprintf("%s.volumeMounts[%d]", where, i)
			if name := secret[mount.Name]; name != "" {
				return refuseSecret(field, name)
			}
			if mount.Name == v1alpha1.StateVolumeName {
				return refuse(ReasonNameTaken, field+".name",
					"%q is the volume of the sidecar's state, which only it may write; use another volume", mount.Name)
			}
		}
		if refusal := checkEnvironment(container, where); refusal != nil {
			return refusal
		}
	}
	return nil
}

// checkEnvironment refuses containers that take a Gatepost Secret as environment.
func checkEnvironment(container *corev1.Container, where string) *Refusal {
	for i, source := range container.EnvFrom {
		if source.SecretRef != nil && isOwnSecret(source.SecretRef.Name) {
			return refuseSecret(fmt.Sprintf("%s.envFrom[%d].secretRef", where, i), source.SecretRef.Name)
		}
	}
	for i, env := range container.Env {
		if from := env.ValueFrom; from != nil && from.SecretKeyRef != nil && isOwnSecret(from.SecretKeyRef.Name) {
			return refuseSecret(fmt.Sprintf("%s.env[%d].valueFrom.secretKeyRef", where, i), from.SecretKeyRef.Name)
		}
	}
	return nil
}

func refuseSecret(field, name string) *Refusal {
	return refuse(ReasonSecretMounted, field,
		"Secret %q belongs to Gatepost and only its sidecar may read it; agents that sign read the Secret of exportTo", name)
}

// volumeSecret is the name of the Gatepost Secret that a volume shows, if any.
func volumeSecret(volume *corev1.Volume) string {
	if volume.Secret != nil && isOwnSecret(volume.Secret.SecretName) {
		return volume.Secret.SecretName
	}
	if volume.Projected == nil {
		return ""
	}
	for _, source := range volume.Projected.Sources {
		if source.Secret != nil && isOwnSecret(source.Secret.Name) {
			return source.Secret.Name
		}
	}
	return ""
}

// isOwnSecret tells Gatepost's Secrets by their names, which end in a suffix of ours.
func isOwnSecret(name string) bool {
	return strings.HasSuffix(name, v1alpha1.BundleSuffix) || strings.HasSuffix(name, v1alpha1.StateSuffix) ||
		strings.HasSuffix(name, v1alpha1.IssuerSuffix)
}
