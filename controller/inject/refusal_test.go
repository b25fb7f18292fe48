package inject_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// agentPod is a pod that can be guarded; agentPolicy selects it.
func agentPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "agents", Labels: map[string]string{"app": "chat"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{
				{Name: "agent", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}}},
				{Name: "helper"},
			},
		},
	}
}

func agentPolicy() *v1alpha1.AgentAuthPolicy {
	return &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "agents"},
		Spec:       v1alpha1.AgentAuthPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}},
	}
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}

func agentProbe(handler corev1.ProbeHandler) func(*corev1.Pod, *v1alpha1.AgentAuthPolicy) {
	return func(pod *corev1.Pod, _ *v1alpha1.AgentAuthPolicy) {
		pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: handler}
	}
}

func annotated(name, value string) func(*corev1.Pod, *v1alpha1.AgentAuthPolicy) {
	return func(pod *corev1.Pod, _ *v1alpha1.AgentAuthPolicy) {
		pod.Annotations = map[string]string{name: value}
	}
}

func capturing(ports ...intstr.IntOrString) func(*corev1.Pod, *v1alpha1.AgentAuthPolicy) {
	return func(_ *corev1.Pod, policy *v1alpha1.AgentAuthPolicy) { policy.Spec.Capture.Ports = ports }
}

func onPod(change func(*corev1.PodSpec)) func(*corev1.Pod, *v1alpha1.AgentAuthPolicy) {
	return func(pod *corev1.Pod, _ *v1alpha1.AgentAuthPolicy) { change(&pod.Spec) }
}

func TestRefusals(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	for name, test := range map[string]struct {
		change func(*corev1.Pod, *v1alpha1.AgentAuthPolicy)
		reason inject.Reason
		field  string
		fix    string // part of the detail: what to do
	}{
		"a container that mounts the sidecar's state": {
			onPod(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{{Name: "gatepost-state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
				s.Containers[1].VolumeMounts = []corev1.VolumeMount{{Name: "gatepost-state", MountPath: "/state"}}
			}),
			inject.ReasonNameTaken, "spec.containers[1].volumeMounts[0].name", "use another volume",
		},
		"another volume by the name of the sidecar's state": {
			onPod(func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{secretVolume("gatepost-state", "mine")} }),
			inject.ReasonNameTaken, "spec.volumes[0].name", "rename the volume",
		},
		"a pod on the host's network": {
			onPod(func(s *corev1.PodSpec) { s.HostNetwork = true }),
			inject.ReasonHostNetwork, "spec.hostNetwork", "set it to false",
		},
		"a pod that shares its processes": {
			onPod(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(true) }),
			inject.ReasonSharedProcess, "spec.shareProcessNamespace", "set it to false",
		},
		"a pod that sees the host's processes": {
			onPod(func(s *corev1.PodSpec) { s.HostPID = true }),
			inject.ReasonSharedProcess, "spec.hostPID", "set it to false",
		},
		"a Windows pod": {
			onPod(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }),
			inject.ReasonOS, "spec.os.name", "linux",
		},
		"an init container that has the sidecar's name": {
			onPod(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: "gatepost"}} }),
			inject.ReasonNameTaken, "spec.initContainers[0].name", "rename",
		},
		"a native sidecar that has the sidecar's name and no bundle": {
			onPod(func(s *corev1.PodSpec) {
				s.InitContainers = []corev1.Container{{Name: "gatepost", RestartPolicy: &always}}
			}),
			inject.ReasonNameTaken, "spec.initContainers[0].name", "rename",
		},
		"a container that has the sidecar's name": {
			onPod(func(s *corev1.PodSpec) { s.Containers[1].Name = "gatepost" }),
			inject.ReasonNameTaken, "spec.containers[1].name", "rename",
		},
		"a volume that has the bundle's name": {
			onPod(func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{secretVolume("gatepost-bundle", "mine")} }),
			inject.ReasonNameTaken, "spec.volumes[0].name", "rename",
		},
		"a volume that has the empty volume's name": {
			onPod(func(s *corev1.PodSpec) { s.Volumes = []corev1.Volume{secretVolume("gatepost-no-token", "mine")} }),
			inject.ReasonNameTaken, "spec.volumes[0].name", "rename",
		},
		"another container that mounts a bundle": {
			onPod(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{secretVolume("keys", "chat.gatepost-bundle")}
				s.Containers[1].VolumeMounts = []corev1.VolumeMount{{Name: "other"}, {Name: "keys"}}
			}),
			inject.ReasonSecretMounted, "spec.containers[1].volumeMounts[1]", "exportTo",
		},
		"another container that mounts the sidecar's own volume": {
			onPod(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{secretVolume("gatepost-bundle", "chat.gatepost-bundle")}
				s.InitContainers = []corev1.Container{{Name: "first", VolumeMounts: []corev1.VolumeMount{{Name: "gatepost-bundle"}}}}
			}),
			inject.ReasonSecretMounted, "spec.initContainers[0].volumeMounts[0]", "only its sidecar",
		},
		"another container that mounts a key's state in a projected volume": {
			onPod(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
					Sources: []corev1.VolumeProjection{
						{ConfigMap: &corev1.ConfigMapProjection{}},
						{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "agent-tokens.gatepost-state"}}},
					},
				}}}}
				s.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "all"}}
			}),
			inject.ReasonSecretMounted, "spec.containers[0].volumeMounts[0]", "only its sidecar",
		},
		"another container that has a bundle in its environment": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "chat.gatepost-bundle"},
				}}}
			}),
			inject.ReasonSecretMounted, "spec.containers[0].envFrom[0].secretRef", "only its sidecar",
		},
		"another container that has a state's key in a variable": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[0].Env = []corev1.EnvVar{{Name: "A"}, {Name: "B", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "agent-tokens.gatepost-state"},
				}}}}
			}),
			inject.ReasonSecretMounted, "spec.containers[0].env[1].valueFrom.secretKeyRef", "only its sidecar",
		},
		"a container that declares the admin port": {
			onPod(func(s *corev1.PodSpec) { s.Containers[1].Ports = []corev1.ContainerPort{{ContainerPort: 19901}} }),
			inject.ReasonAdminPort, "spec.containers[1].ports[0].containerPort", "adminPort",
		},
		"a container that uses the admin port's name": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[1].Ports = []corev1.ContainerPort{{Name: "gatepost-adm", ContainerPort: 1}}
			}),
			inject.ReasonAdminPort, "spec.containers[1].ports[0].name", "rename",
		},
		"a policy that captures the admin port": {
			capturing(intstr.FromInt32(19901)),
			inject.ReasonAdminPort, "spec.capture.ports", "adminPort",
		},
		"a capture mode that is not built yet": {
			func(_ *corev1.Pod, p *v1alpha1.AgentAuthPolicy) { p.Spec.Capture.Mode = v1alpha1.CaptureNamedPort },
			inject.ReasonNotSupported, "spec.capture.mode", "use SamePort",
		},
		"a pod without ports": {
			onPod(func(s *corev1.PodSpec) { s.Containers[0].Ports = nil }),
			inject.ReasonNoPorts, "spec.containers[*].ports", "declare containerPort or set capture.ports",
		},
		"a pod with nothing but UDP": {
			onPod(func(s *corev1.PodSpec) { s.Containers[0].Ports[0].Protocol = corev1.ProtocolUDP }),
			inject.ReasonNoPorts, "spec.containers[*].ports", "declare containerPort",
		},
		"a captured name that the pod does not have": {
			capturing(intstr.FromInt32(8000), intstr.FromString("grpc")),
			inject.ReasonCapture, "spec.capture.ports[1]", "name one of: http",
		},
		"a captured name where no port has one": {
			func(pod *corev1.Pod, p *v1alpha1.AgentAuthPolicy) {
				pod.Spec.Containers[0].Ports[0].Name = ""
				p.Spec.Capture.Ports = []intstr.IntOrString{intstr.FromString("http")}
			},
			inject.ReasonCapture, "spec.capture.ports[0]", "no port has a name",
		},
		"a captured number that is no port": {
			capturing(intstr.FromInt32(70000)),
			inject.ReasonCapture, "spec.capture.ports[0]", "1 to 65535",
		},
		"a pod with more ports than can be guarded": {
			onPod(func(s *corev1.PodSpec) {
				for n := range int32(17) {
					s.Containers[1].Ports = append(s.Containers[1].Ports, corev1.ContainerPort{ContainerPort: 9000 + n})
				}
			}),
			inject.ReasonTooManyPorts, "spec.capture.ports", "name the agent's ports",
		},
		"UDP on a guarded port, in another container": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[1].Ports = []corev1.ContainerPort{{ContainerPort: 8000, Protocol: corev1.ProtocolUDP}}
			}),
			inject.ReasonProtocol, "spec.containers[1].ports[0].protocol", "remove it or leave the port out",
		},
		"SCTP on a guarded port": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[0].Ports = append(s.Containers[0].Ports, corev1.ContainerPort{ContainerPort: 8000, Protocol: corev1.ProtocolSCTP})
			}),
			inject.ReasonProtocol, "spec.containers[0].ports[1].protocol", "SCTP",
		},
		"a gRPC probe on a guarded port": {
			agentProbe(corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8000}}),
			inject.ReasonProbe, "spec.containers[0].readinessProbe.grpc", "use httpGet",
		},
		"an HTTPS probe on a guarded port": {
			agentProbe(corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTPS}}),
			inject.ReasonProbe, "spec.containers[0].readinessProbe.httpGet.scheme", "use scheme HTTP",
		},
		"a probe with a path that the guard would refuse": {
			agentProbe(corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/a/../b", Port: intstr.FromInt32(8000)}}),
			inject.ReasonProbe, "spec.containers[0].readinessProbe.httpGet.path", "write the path without",
		},
		"a hook over HTTPS on a guarded port": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[1].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
					Port: intstr.FromInt32(8000), Scheme: corev1.URISchemeHTTPS,
				}}}
			}),
			inject.ReasonProbe, "spec.containers[1].lifecycle.preStop.httpGet.scheme", "plain HTTP",
		},
		"a sysctl that keeps the sidecar from its port": {
			onPod(func(s *corev1.PodSpec) {
				s.Containers[0].Ports[0].ContainerPort = 80
				s.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "81"}}}
			}),
			inject.ReasonSysctl, "spec.securityContext.sysctls[0].value", "set it to 0",
		},
		"an annotation that is no quantity": {
			annotated("gatepost.dev/sidecar-cpu-request", "much"),
			inject.ReasonAnnotation, "metadata.annotations[gatepost.dev/sidecar-cpu-request]", "like 100m",
		},
		"an annotation with a negative quantity": {
			annotated("gatepost.dev/sidecar-memory-limit", "-1Gi"),
			inject.ReasonAnnotation, "metadata.annotations[gatepost.dev/sidecar-memory-limit]", "positive",
		},
		"a memory limit under which nothing starts": {
			annotated("gatepost.dev/sidecar-memory-limit", "1Mi"),
			inject.ReasonAnnotation, "metadata.annotations[gatepost.dev/sidecar-memory-limit]", "at least 32Mi",
		},
		"a request beyond the limit": {
			annotated("gatepost.dev/sidecar-memory-request", "1Gi"),
			inject.ReasonAnnotation, "metadata.annotations[gatepost.dev/sidecar-memory-request]", "lower the request or raise the limit",
		},
		"a log level that does not exist": {
			annotated("gatepost.dev/log-level", "loud"),
			inject.ReasonAnnotation, "metadata.annotations[gatepost.dev/log-level]", "debug, info, warn, error",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod, policy := agentPod(), agentPolicy()
			test.change(pod, policy)
			got, _, err := inject.Pod(pod, policy, config)
			refusal, ok := errors.AsType[*inject.Refusal](err)
			if !ok {
				t.Fatalf("got %v and error %v, want a refusal", got, err)
			}
			want := inject.Refusal{Reason: test.reason, Field: test.field, Detail: refusal.Detail}
			if diff := cmp.Diff(want, *refusal); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if !strings.Contains(refusal.Detail, test.fix) {
				t.Errorf("detail %q does not tell the fix %q", refusal.Detail, test.fix)
			}
		})
	}
}

func TestMissingImageIsRefused(t *testing.T) {
	_, _, err := inject.Pod(agentPod(), agentPolicy(), inject.Config{})
	if refusal, ok := errors.AsType[*inject.Refusal](err); !ok || refusal.Reason != inject.ReasonConfiguration {
		t.Fatalf("got %v, want a refusal for its configuration", err)
	}
}

// What lies beside the guarded ports is nobody's business.
func TestUnguardedPortsAreLeftAlone(t *testing.T) {
	pod, policy := agentPod(), agentPolicy()
	policy.Spec.Capture.Ports = []intstr.IntOrString{intstr.FromString("http")}
	pod.Spec.Containers[1].Ports = []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "rpc", ContainerPort: 9000}}
	pod.Spec.Containers[1].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9000}}}
	pod.Spec.Containers[1].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("rpc")}}}
	got, warnings, err := inject.Pod(pod, policy, config)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("warnings %v, error %v", warnings, err)
	}
	if diff := cmp.Diff(pod.Spec.Containers[1], got.Spec.Containers[1]); diff != "" {
		t.Errorf("the unguarded container was changed (-before +after):\n%s", diff)
	}
}
