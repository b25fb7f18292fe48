package inject

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/policy"
)

// probes collects what the kubelet will ask of guarded ports: the requests that
// need no credential, and warnings about checks that prove less than they seem to.
type probes struct {
	ports    []int32
	exempt   []policy.Probe
	warnings []Warning
}

// collectProbes looks at every probe and lifecycle hook of the pod.
func collectProbes(pod *corev1.Pod, ports []int32) (*probes, *Refusal) {
	found := &probes{ports: ports}
	for where, container := range containers(pod) {
		for _, probe := range []struct {
			field string
			probe *corev1.Probe
		}{
			{"startupProbe", container.StartupProbe},
			{"readinessProbe", container.ReadinessProbe},
			{"livenessProbe", container.LivenessProbe},
		} {
			if probe.probe == nil {
				continue
			}
			if refusal := found.handler(container, where+"."+probe.field, probe.probe.ProbeHandler); refusal != nil {
				return nil, refusal
			}
		}
		if refusal := found.lifecycle(container, where+".lifecycle"); refusal != nil {
			return nil, refusal
		}
	}
	slices.SortFunc(found.exempt, func(a, b policy.Probe) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Path, b.Path))
	})
	found.exempt = slices.Compact(found.exempt)
	return found, nil
}

// lifecycle looks at the hooks of one container.
func (p *probes) lifecycle(container *corev1.Container, field string) *Refusal {
	if container.Lifecycle == nil {
		return nil
	}
	if hook := container.Lifecycle.PostStart; hook != nil && hook.HTTPGet != nil {
		if refusal := p.httpGet(container, field+".postStart.httpGet", hook.HTTPGet); refusal != nil {
			return refusal
		}
	}
	if hook := container.Lifecycle.PreStop; hook != nil && hook.HTTPGet != nil {
		return p.httpGet(container, field+".preStop.httpGet", hook.HTTPGet)
	}
	return nil
}

// handler looks at one probe.
func (p *probes) handler(container *corev1.Container, field string, probe corev1.ProbeHandler) *Refusal {
	switch {
	case probe.HTTPGet != nil:
		return p.httpGet(container, field+".httpGet", probe.HTTPGet)
	case probe.GRPC != nil && slices.Contains(p.ports, probe.GRPC.Port):
		return refuse(ReasonProbe, field+".grpc",
			"a gRPC probe cannot pass the guard of port %d; use httpGet, exec, or a port outside capture.ports", probe.GRPC.Port)
	case probe.TCPSocket != nil && probe.TCPSocket.Host == "":
		if port := portNumber(container, probe.TCPSocket.Port); slices.Contains(p.ports, port) {
			p.warnings = append(p.warnings, Warning(fmt.Sprintf(
				"%s.tcpSocket: port %d is answered by the guard, whether the agent lives or not; use httpGet", field, port)))
		}
	}
	return nil
}

// httpGet exempts one request of the kubelet, on its port and with its exact
// path. A handler that names a host does not ask this pod.
func (p *probes) httpGet(container *corev1.Container, field string, get *corev1.HTTPGetAction) *Refusal {
	port := portNumber(container, get.Port)
	if get.Host != "" || !slices.Contains(p.ports, port) {
		return nil
	}
	if get.Scheme == corev1.URISchemeHTTPS {
		return refuse(ReasonProbe, field+".scheme",
			"the guard of port %d speaks plain HTTP; use scheme HTTP, exec, or a port outside capture.ports", port)
	}
	probe := policy.Probe{Port: int(port), Method: http.MethodGet, Path: probePath(get.Path)}
	// The engine says whether it would know this request again in the sidecar.
	if _, err := policy.Compile(policy.Spec{}, probe); err != nil {
		return refuse(ReasonProbe, field+".path",
			"the guard would refuse %q as ambiguous; write the path without //, dot segments, backslashes and escapes", get.Path)
	}
	p.exempt = append(p.exempt, probe)
	return nil
}

// probePath is the path that the kubelet will ask for: query and fragment are
// not part of it, and a missing slash is put in front.
func probePath(path string) string {
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

// portNumber resolves a probe's port as the kubelet does: a name is looked for
// among the ports of the probe's own container. Zero: there is none, and the
// kubelet will fail the probe.
func portNumber(container *corev1.Container, port intstr.IntOrString) int32 {
	if port.Type == intstr.Int {
		return port.IntVal
	}
	for _, declared := range container.Ports {
		if declared.Name == port.StrVal {
			return declared.ContainerPort
		}
	}
	return 0
}
