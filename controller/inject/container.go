package inject

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

const (
	// emptyVolume is an empty volume on the path of the service account's
	// token: the API server mounts the token into every container that has
	// nothing there, and runs again after every webhook.
	emptyVolume = "gatepost-no-token"
	accountDir  = "/var/run/secrets/kubernetes.io/serviceaccount"
	// bundleMode lets a user without a group in common read the mounted files;
	// the mount is the boundary, not the mode.
	bundleMode int32 = 0o444
	// stateBytes is the size of the sidecar's state: sixteen key sets of the largest keys.
	stateBytes int64 = 4 << 20
	// startSeconds is how long the sidecar may take to load its bundle.
	startSeconds int32 = 120
)

// guarding is what the sidecar of one pod is for.
type guarding struct {
	ports    []int32
	exempt   []policy.Probe
	revision int64 // of the bundle at admission; 0: there was none yet
}

// container is the sidecar: a native one, under the restricted Pod Security Standard.
func container(cfg Config, settings settings, of guarding) corev1.Container {
	admin := intstr.FromString(v1alpha1.AdminPortName)
	return corev1.Container{
		Name:            v1alpha1.ContainerName,
		Image:           cfg.Image,
		ImagePullPolicy: cfg.PullPolicy,
		RestartPolicy:   new(corev1.ContainerRestartPolicyAlways),
		Args:            arguments(cfg, settings, of),
		Env: []corev1.EnvVar{
			fromField("POD_IP", "status.podIP"),
			fromField("POD_IPS", "status.podIPs"),
			fromField("POD_UID", "metadata.uid"),
			{Name: "GOMEMLIMIT", Value: settings.goMemory},
		},
		Ports:          []corev1.ContainerPort{{Name: v1alpha1.AdminPortName, ContainerPort: cfg.AdminPort, Protocol: corev1.ProtocolTCP}},
		Resources:      settings.resources,
		StartupProbe:   adminProbe("/readyz", admin, 1, startSeconds),
		ReadinessProbe: adminProbe("/readyz", admin, 2, 2),
		LivenessProbe:  adminProbe("/healthz", admin, 10, 3),
		Lifecycle: &corev1.Lifecycle{
			PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
				Command: []string{"/sidecar", "drain", fmt.Sprintf("--admin=127.0.0.1:%d", cfg.AdminPort)},
			}},
		},
		// The last words of a sidecar that found its port taken, for kubectl describe.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			Privileged:               new(false),
			ReadOnlyRootFilesystem:   new(true),
			RunAsGroup:               new(int64(v1alpha1.SidecarUID)),
			RunAsNonRoot:             new(true),
			RunAsUser:                new(int64(v1alpha1.SidecarUID)),
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: v1alpha1.VolumeName, MountPath: v1alpha1.BundleMountPath, ReadOnly: true},
			{Name: v1alpha1.StateVolumeName, MountPath: v1alpha1.StateMountPath},
			{Name: emptyVolume, MountPath: accountDir, ReadOnly: true},
		},
	}
}

// arguments is the sidecar's command line. Kubernetes expands the $(NAME) that
// we wrote and must not expand any in a path that a user wrote. The brackets are
// for an IPv6 address and do not hurt an IPv4 one.
func arguments(cfg Config, settings settings, of guarding) []string {
	args := []string{
		"--policy=" + v1alpha1.BundleMountPath + "/" + v1alpha1.BundlePolicyKey,
		"--keys-file=" + v1alpha1.BundleMountPath + "/" + v1alpha1.BundleKeysKey,
		"--state-dir=" + v1alpha1.StateMountPath,
		"--pod-ips=$(POD_IPS)",
		"--pod-uid=$(POD_UID)",
		fmt.Sprintf("--admin=[$(POD_IP)]:%d", cfg.AdminPort),
		"--log-level=" + settings.logLevel,
	}
	if of.revision > 0 {
		args = append(args, fmt.Sprintf("--min-revision=%d", of.revision))
	}
	for _, port := range of.ports {
		args = append(args, fmt.Sprintf("--guard=%d", port))
	}
	for _, probe := range of.exempt {
		path := strings.ReplaceAll(probe.Path, "$(", "$$(")
		args = append(args, fmt.Sprintf("--probe=%d:%s:%s", probe.Port, probe.Method, path))
	}
	return args
}

func fromField(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field},
	}}
}

func adminProbe(path string, port intstr.IntOrString, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port, Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds:    period,
		TimeoutSeconds:   2,
		FailureThreshold: failures,
	}
}

// volumes are the policy's bundle, the sidecar's state, and the empty place where
// no token is. Those without a Secret are in memory, because a disk-backed one
// keeps the cluster autoscaler from draining the node.
func volumes(policyName string) []corev1.Volume {
	return []corev1.Volume{
		{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: v1alpha1.BundleName(policyName), DefaultMode: new(bundleMode), Optional: new(false),
		}}},
		{Name: v1alpha1.StateVolumeName, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(stateBytes, resource.BinarySI),
		}}},
		{Name: emptyVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			Medium: corev1.StorageMediumMemory,
		}}},
	}
}
