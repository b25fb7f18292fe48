package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/api/v1alpha1"
)

const (
	maxGuardedPorts       = 16
	highestPort     int32 = 65535
)

// guardedPorts are the ports that the sidecar takes over, ascending: those
// that capture names, or else every TCP port that a regular container declares.
func guardedPorts(pod *corev1.Pod, capture v1alpha1.Capture) ([]int32, *Refusal) {
	if capture.Mode != "" && capture.Mode != v1alpha1.CaptureSamePort {
		return nil, refuse(ReasonNotSupported, "spec.capture.mode", "%s is not supported yet; use SamePort", capture.Mode)
	}
	ports, refusal := resolvePorts(pod, capture.Ports)
	if refusal != nil {
		return nil, refusal
	}
	slices.Sort(ports)
	ports = slices.Compact(ports)
	if len(ports) > maxGuardedPorts {
		return nil, refuse(ReasonTooManyPorts, "spec.capture.ports",
			"%d ports would be guarded and %d are the most; name the agent's ports in the policy", len(ports), maxGuardedPorts)
	}
	return ports, checkProtocols(pod, ports)
}

// resolvePorts finds the numbers of the wanted ports; none wanted means all declared.
func resolvePorts(pod *corev1.Pod, wanted []intstr.IntOrString) ([]int32, *Refusal) {
	if len(wanted) == 0 {
		ports := declaredPorts(pod, func(corev1.ContainerPort) bool { return true })
		if len(ports) == 0 {
			return nil, refuse(ReasonNoPorts, "spec.containers[*].ports",
				"no container declares a TCP port; declare containerPort or set capture.ports in the policy")
		}
		return ports, nil
	}
	var ports []int32
	for i, port := range wanted {
		found, refusal := resolvePort(pod, port, fmt.Sprintf("spec.capture.ports[%d]", i))
		if refusal != nil {
			return nil, refusal
		}
		ports = append(ports, found...)
	}
	return ports, nil
}

// resolvePort finds the numbers that one entry of capture.ports stands for: a
// name may be used by several containers.
func resolvePort(pod *corev1.Pod, port intstr.IntOrString, field string) ([]int32, *Refusal) {
	if port.Type == intstr.Int {
		if port.IntVal < 1 || port.IntVal > highestPort {
			return nil, refuse(ReasonCapture, field, "%d is no port number; use 1 to %d or the name of a port", port.IntVal, highestPort)
		}
		return []int32{port.IntVal}, nil
	}
	found := declaredPorts(pod, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
	if len(found) == 0 {
		return nil, refuse(ReasonCapture, field, "no container of the pod declares a TCP port named %q; declare it or name one of: %s",
			port.StrVal, strings.Join(portNames(pod), ", "))
	}
	return found, nil
}

// declaredPorts are the numbers of the TCP ports of regular containers that match.
func declaredPorts(pod *corev1.Pod, match func(corev1.ContainerPort) bool) []int32 {
	var numbers []int32
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if isTCP(port) && match(port) {
				numbers = append(numbers, port.ContainerPort)
			}
		}
	}
	return numbers
}

// portNames are the names that capture.ports could have used.
func portNames(pod *corev1.Pod) []string {
	var names []string
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if isTCP(port) && port.Name != "" {
				names = append(names, port.Name)
			}
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return []string{"(no port has a name)"}
	}
	return slices.Compact(names)
}

// checkProtocols refuses UDP and SCTP on the number of a guarded port: the
// guard would hold the TCP half and leave the other half open.
func checkProtocols(pod *corev1.Pod, ports []int32) *Refusal {
	for where, container := range containers(pod) {
		for i, port := range container.Ports {
			if !isTCP(port) && slices.Contains(ports, port.ContainerPort) {
				return refuse(ReasonProtocol, fmt.Sprintf("%s.ports[%d].protocol", where, i),
					"%s on port %d cannot be guarded; remove it or leave the port out of capture.ports", port.Protocol, port.ContainerPort)
			}
		}
	}
	return nil
}

func isTCP(port corev1.ContainerPort) bool {
	return port.Protocol == corev1.ProtocolTCP || port.Protocol == ""
}

// guards reports whether a container is one that the guard stands before: it
// declares a guarded port, or it is the only one that could serve it.
func guards(pod *corev1.Pod, container *corev1.Container, ports []int32) bool {
	if len(pod.Spec.Containers) == 1 {
		return true
	}
	return slices.ContainsFunc(container.Ports, func(port corev1.ContainerPort) bool {
		return isTCP(port) && slices.Contains(ports, port.ContainerPort)
	})
}
