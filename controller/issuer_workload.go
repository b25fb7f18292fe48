package controller

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
)

// issuerImage is what the pods of issuers run.
type issuerImage struct {
	name string
	pull corev1.PullPolicy // empty: Kubernetes' default
}

// What one pod of an issuer may use. Hashing passwords takes the most: bcrypt a
// little, argon2id up to 64 MiB at once for each core.
const (
	issuerMemory     = "256Mi"
	issuerGoMemory   = "200MiB"
	passwordMemory   = "512Mi"
	passwordGoMemory = "400MiB"
)

// servicePort is where the Service of an issuer listens.
const servicePort = 80

// annotationWorkload on a Deployment tells the template that we wrote from
// another, so that its pods are replaced only when it says something else.
const annotationWorkload = v1alpha1.Group + "/workload"

// workload is the Deployment, the Service and what else runs one TokenIssuer.
// None of it has a right in the cluster. The chart's admission/controller.yaml
// holds the controller to just this: whoever writes more here allows it there.
type workload struct {
	issuer   *v1alpha1.TokenIssuer
	spec     grant.Spec // with defaults
	image    issuerImage
	revision int64 // least revision that a new pod loads
}

// objects are the parts, in the order in which they are made.
func (w workload) objects() ([]*unstructured.Unstructured, error) {
	parts := []runtime.Object{w.account(), w.service()}
	if w.replicas() > 1 {
		parts = append(parts, w.budget())
	}
	parts = append(parts, w.deployment())
	list := make([]*unstructured.Unstructured, 0, len(parts))
	for _, part := range parts {
		one, err := plain(part)
		if err != nil {
			return nil, fmt.Errorf("encoding the workload of issuer %s: %w", w.issuer.Name, err)
		}
		list = append(list, one)
	}
	return list, nil
}

// plain is an object without what only the API server writes, for server-side
// apply.
func plain(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	for _, path := range [][]string{{"status"}, {"metadata", "creationTimestamp"}, {"spec", "template", "metadata", "creationTimestamp"}} {
		unstructured.RemoveNestedField(content, path...)
	}
	return &unstructured.Unstructured{Object: content}, nil
}

func (w workload) replicas() int32 {
	if w.spec.Replicas == nil {
		return 1
	}
	return *w.spec.Replicas
}

// meta is the metadata of each part.
func (w workload) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: v1alpha1.IssuerWorkload(w.issuer.Name), Namespace: w.issuer.Namespace, Labels: w.labels(),
		OwnerReferences: []metav1.OwnerReference{owned{owner: w.issuer, kind: v1alpha1.KindTokenIssuer}.ownerReference()},
	}
}

// labels are those of each part and of the pods.
func (w workload) labels() map[string]string {
	all := w.selector()
	all[v1alpha1.LabelComponent] = v1alpha1.ComponentIssuer
	return all
}

// selector is how Service and Deployment find the pods; it can never change.
func (w workload) selector() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "gatepost-issuer", "app.kubernetes.io/instance": w.issuer.Name}
}

// account is nobody: it has no right, and no token of it is mounted.
func (w workload) account() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: w.meta(), AutomountServiceAccountToken: new(false),
	}
}

func (w workload) service() *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: w.meta(),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: w.selector(),
			Ports: []corev1.ServicePort{{
				Name: v1alpha1.IssuerPortName, Protocol: corev1.ProtocolTCP, AppProtocol: new("http"),
				Port: servicePort, TargetPort: intstr.FromString(v1alpha1.IssuerPortName),
			}},
		},
	}
}

// budget lets nodes be drained one pod at a time. It never keeps a node, so it
// may stay when only one pod is wanted any more.
func (w workload) budget() *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: w.meta(),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: w.selector()},
		},
	}
}

// deployment has its template told apart by what is in it, but for the least
// revision, which alone is no reason to replace pods.
func (w workload) deployment() *appsv1.Deployment {
	meta := w.meta()
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: w.labels()}, Spec: w.pod()}
	meta.Annotations = map[string]string{annotationWorkload: digest(template)}
	template.Annotations = map[string]string{v1alpha1.AnnotationBundleRevision: strconv.FormatInt(w.revision, 10)}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: kindDeployment},
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: new(w.replicas()), Strategy: w.strategy(),
			Selector: &metav1.LabelSelector{MatchLabels: w.selector()},
			Template: template,
		},
	}
}

// digest tells templates apart. It is written where everybody reads it, and
// nothing of a Secret is in it.
func digest(template corev1.PodTemplateSpec) string {
	text, err := json.Marshal(template)
	if err != nil {
		return "" // never: it is made of plain values
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// strategy never has two pods that each remember other refresh tokens and other
// wrong passwords; where nothing is remembered, a new pod answers before an old
// one goes.
func (w workload) strategy() appsv1.DeploymentStrategy {
	if w.spec.IsStateful() {
		return appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	}
	return appsv1.DeploymentStrategy{
		Type:          appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt32(1))},
	}
}

// endingSeconds is how long a pod may take to end: Services forget it, then
// requests under way go on for up to 30 s.
const endingSeconds int64 = 45

// pod is under the restricted Pod Security Standard.
func (w workload) pod() corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: v1alpha1.IssuerWorkload(w.issuer.Name), AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: new(endingSeconds),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(v1alpha1.SidecarUID)), RunAsGroup: new(int64(v1alpha1.SidecarUID)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{w.container()},
		Volumes: []corev1.Volume{{Name: v1alpha1.IssuerVolumeName, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: v1alpha1.IssuerName(w.issuer.Name), DefaultMode: new(int32(0o444)), Optional: new(false),
		}}}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: w.selector()},
		}},
	}
}

// variableMinRevision is the environment variable from which a container that starts,
// or starts again, learns the least revision that it may load: the one that its
// pod was told of last.
const variableMinRevision = "GATEPOST_MIN_REVISION"

func (w workload) container() corev1.Container {
	admin := intstr.FromString(v1alpha1.AdminPortName)
	memory, goMemory := issuerMemory, issuerGoMemory
	if w.spec.Users() != nil {
		memory, goMemory = passwordMemory, passwordGoMemory
	}
	return corev1.Container{
		Name: v1alpha1.IssuerContainerName, Image: w.image.name, ImagePullPolicy: w.image.pull,
		Args: []string{
			"--bundle=" + v1alpha1.IssuerMountPath,
			fmt.Sprintf("--listen=:%d", v1alpha1.IssuerPort),
			fmt.Sprintf("--admin=:%d", v1alpha1.AdminPort),
			"--pod-uid=$(POD_UID)",
			"--min-revision=$(" + variableMinRevision + ")",
		},
		Env: []corev1.EnvVar{
			fromField("POD_UID", "metadata.uid"),
			fromField(variableMinRevision, fmt.Sprintf("metadata.annotations['%s']", v1alpha1.AnnotationBundleRevision)),
			{Name: "GOMEMLIMIT", Value: goMemory},
		},
		Ports: []corev1.ContainerPort{
			{Name: v1alpha1.IssuerPortName, ContainerPort: v1alpha1.IssuerPort, Protocol: corev1.ProtocolTCP},
			{Name: v1alpha1.AdminPortName, ContainerPort: v1alpha1.AdminPort, Protocol: corev1.ProtocolTCP},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)},
		},
		StartupProbe: adminProbe("/readyz", admin, 1, 120), ReadinessProbe: adminProbe("/readyz", admin, 2, 2), LivenessProbe: adminProbe("/healthz", admin, 10, 3),
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
			Command: []string{"/issuer", "drain", fmt.Sprintf("--admin=127.0.0.1:%d", v1alpha1.AdminPort)},
		}}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Privileged: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: v1alpha1.IssuerVolumeName, MountPath: v1alpha1.IssuerMountPath, ReadOnly: true}},
	}
}

func fromField(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field},
	}}
}

func adminProbe(path string, port intstr.IntOrString, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port, Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 2, FailureThreshold: failures,
	}
}
