//go:build cluster

package controller_test

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// asController writes with the account of the chart, and nothing for good.
func asController(t *testing.T) client.Client {
	t.Helper()
	config := rest.CopyConfig(world.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	api, err := client.New(config, client.Options{Scheme: world.api.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return client.NewDryRunClient(api)
}

// twin is a part as it is made for an issuer called twin.
func twin[T client.Object](t *testing.T, part, made T) T {
	t.Helper()
	eventually(t, func() string {
		if !there(t, part) {
			return part.GetName() + " is missing"
		}
		return ""
	})
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{`auth-issuer`, `twin-issuer`}, {`"auth.gatepost-issuer"`, `"twin.gatepost-issuer"`}, {`"auth"`, `"twin"`}} {
		text = []byte(strings.ReplaceAll(string(text), pair[0], pair[1]))
	}
	if err := json.Unmarshal(text, made); err != nil {
		t.Fatal(err)
	}
	made.SetResourceVersion("")
	made.SetUID("")
	made.SetManagedFields(nil)
	return made
}

// right is a change to a part, and why the controller may not make it.
type right[T client.Object] struct {
	edit func(T)
	want string
}

// refused creates a part with each change as the controller would.
func refused[T client.Object](t *testing.T, part T, changes map[string]right[T]) {
	t.Helper()
	api := asController(t)
	if err := api.Create(t.Context(), part.DeepCopyObject().(T)); err != nil {
		t.Errorf("what the controller makes is refused: %v", err)
	}
	for name, test := range changes {
		t.Run(name, func(t *testing.T) {
			changed := part.DeepCopyObject().(T)
			test.edit(changed)
			if err := api.Create(t.Context(), changed); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// pods changes the pods of a Deployment, one their only container.
func pods(edit func(*corev1.PodSpec)) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { edit(&d.Spec.Template.Spec) }
}

func one(edit func(*corev1.Container)) func(*appsv1.Deployment) {
	return pods(func(p *corev1.PodSpec) { edit(&p.Containers[0]) })
}

// Whoever has the controller's token makes nothing with it but what runs issuers.
func TestTheControllerMakesIssuersAndNothingElse(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	issuer := tokenIssuer(ns, "auth")
	create(t, issuerKey(ns, "ES256"))
	create(t, issuer)
	meta := metav1.ObjectMeta{Namespace: ns, Name: "auth-issuer"}
	deployment := twin(t, &appsv1.Deployment{ObjectMeta: meta}, &appsv1.Deployment{})
	service := twin(t, &corev1.Service{ObjectMeta: meta}, &corev1.Service{})
	service.Spec.ClusterIP, service.Spec.ClusterIPs = "", nil
	t.Run("expressions", testWorkloadExpressions)
	t.Run("Deployment", func(t *testing.T) { refused(t, deployment, deploymentRights()) })
	t.Run("containers", func(t *testing.T) { refused(t, deployment, containerRights()) })
	t.Run("Service", func(t *testing.T) { refused(t, service, serviceRights()) })
	t.Run("PodDisruptionBudget", func(t *testing.T) {
		refused(t, twin(t, &policyv1.PodDisruptionBudget{ObjectMeta: meta}, &policyv1.PodDisruptionBudget{}), budgetRights())
	})
	t.Run("ServiceAccount", func(t *testing.T) {
		refused(t, twin(t, &corev1.ServiceAccount{ObjectMeta: meta}, &corev1.ServiceAccount{}), accountRights())
	})
	t.Run("what others added", func(t *testing.T) { testOthersAdded(t, &appsv1.Deployment{ObjectMeta: meta}) })
}

func deploymentRights() map[string]right[*appsv1.Deployment] {
	const nothingOfTheNode, names = "no rights in the cluster and nothing of the node", "which names an issuer's pods look up"
	return map[string]right[*appsv1.Deployment]{
		"labels of another workload": {func(d *appsv1.Deployment) { d.Spec.Template.Labels["app"] = "shop" }, "the labels of that issuer and no others"},
		"an annotation":              {func(d *appsv1.Deployment) { d.Spec.Template.Annotations["mesh"] = "off" }, "gatepost.dev/bundle-revision alone"},
		"an init container":          {pods(func(p *corev1.PodSpec) { p.InitContainers = []corev1.Container{{Name: "init", Image: issuerImage}} }), "no other container"},
		"a second container": {pods(func(p *corev1.PodSpec) {
			second := *p.Containers[0].DeepCopy()
			second.Name = "second"
			p.Containers = append(p.Containers, second)
		}), "no other container"},
		"another user":  {pods(func(p *corev1.PodSpec) { p.SecurityContext.RunAsUser = new(int64(1000)) }), "as user and group 10753 only"},
		"another group": {pods(func(p *corev1.PodSpec) { p.SecurityContext.FSGroup = new(int64(0)) }), "as user and group 10753 only"},
		"a token":       {pods(func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = new(true) }), nothingOfTheNode},
		"an account with rights": {pods(func(p *corev1.PodSpec) {
			p.ServiceAccountName, p.DeprecatedServiceAccount = "admin", "admin"
		}), nothingOfTheNode},
		"the network of the node":   {pods(func(p *corev1.PodSpec) { p.HostNetwork = true }), nothingOfTheNode},
		"the processes of the node": {pods(func(p *corev1.PodSpec) { p.HostPID = true }), nothingOfTheNode},
		"one node":                  {pods(func(p *corev1.PodSpec) { p.NodeName = "control-plane" }), nothingOfTheNode},
		"a directory of the node": {pods(func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}), "mount an issuer's bundle into its pods and nothing else"},
		"an empty directory": {pods(func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		}), "mount an issuer's bundle into its pods and nothing else"},
		"the bundle of another issuer": {pods(func(p *corev1.PodSpec) { p.Volumes[0].Secret.SecretName = "auth.gatepost-issuer" }), "mount an issuer's bundle"},
		"names of hosts": {pods(func(p *corev1.PodSpec) {
			p.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"idp.example.com"}}}
		}), names},
		"the node's DNS": {pods(func(p *corev1.PodSpec) { p.DNSPolicy = corev1.DNSDefault }), names},
		"a priority":     {pods(func(p *corev1.PodSpec) { p.PriorityClassName = "system-node-critical" }), "no pull secrets, priority or runtime class"},
		"pull secrets": {pods(func(p *corev1.PodSpec) {
			p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
		}), "no pull secrets, priority or runtime class"},
	}
}

func containerRights() map[string]right[*appsv1.Deployment] {
	const ask, env, restricted = "told to drain, and run nothing else", "POD_UID, GATEPOST_MIN_REVISION and GOMEMLIMIT", "without privileges only"
	const mount, ports = "at /etc/gatepost/issuer alone, read-only", "and none of the node"
	return map[string]right[*appsv1.Deployment]{
		"another image":              {one(func(c *corev1.Container) { c.Image = "example.com/other" }), "no other container than gatepost-issuer"},
		"a command":                  {one(func(c *corev1.Container) { c.Command = []string{"/issuer"} }), "no command and no arguments but its own"},
		"an argument":                {one(func(c *corev1.Container) { c.Args = append(c.Args, "--users=/proc/1/environ") }), "no command and no arguments but its own"},
		"a terminal":                 {one(func(c *corev1.Container) { c.Stdin = true }), "no command and no arguments but its own"},
		"another command at its end": {one(func(c *corev1.Container) { c.Lifecycle.PreStop.Exec.Command = []string{"/bin/sh"} }), ask},
		"a command at its start":     {one(func(c *corev1.Container) { c.Lifecycle.PostStart = c.Lifecycle.PreStop.DeepCopy() }), ask},
		"no lifecycle":               {one(func(c *corev1.Container) { c.Lifecycle = nil }), ask},
		"a command as a probe": {one(func(c *corev1.Container) {
			c.LivenessProbe.ProbeHandler = corev1.ProbeHandler{Exec: c.Lifecycle.PreStop.Exec}
		}), ask},
		"a probe of another host": {one(func(c *corev1.Container) { c.ReadinessProbe.HTTPGet.Host = "169.254.169.254" }), ask},
		"a variable":              {one(func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "x"}) }), env},
		"a Secret as a variable": {one(func(c *corev1.Container) {
			c.Env[2] = corev1.EnvVar{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "tokens.gatepost-keys"}, Key: "current",
			}}}
		}), env},
		"a Secret as variables": {one(func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}}}
		}), env},
		"a port of the node": {one(func(c *corev1.Container) { c.Ports[0].HostPort = 8080 }), ports},
		"a third port":       {one(func(c *corev1.Container) { c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 22}) }), ports},
		"privileges": {one(func(c *corev1.Container) {
			c.SecurityContext.Privileged, c.SecurityContext.AllowPrivilegeEscalation = new(true), nil
		}), restricted},
		"a capability":        {one(func(c *corev1.Container) { c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"} }), restricted},
		"root":                {one(func(c *corev1.Container) { c.SecurityContext.RunAsUser = new(int64(0)) }), restricted},
		"no security context": {one(func(c *corev1.Container) { c.SecurityContext = nil }), restricted},
		"a mount elsewhere":   {one(func(c *corev1.Container) { c.VolumeMounts[0].MountPath = "/etc/ssl" }), mount},
		"a mount for writing": {one(func(c *corev1.Container) { c.VolumeMounts[0].ReadOnly = false }), mount},
	}
}

func serviceRights() map[string]right[*corev1.Service] {
	const cluster, ready, port = "for the cluster alone", "to the ready pods of that issuer alone", "to the port http of its pods, and no other"
	return map[string]right[*corev1.Service]{
		"an external address": {func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.1"} }, cluster},
		"a load balancer":     {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer }, cluster},
		"a port of all nodes": {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }, cluster},
		"a name outside": {func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
		}, cluster},
		"the pods of another": {func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "shop"} }, ready},
		"the pods of all":     {func(s *corev1.Service) { delete(s.Spec.Selector, "app.kubernetes.io/instance") }, ready},
		"no selector":         {func(s *corev1.Service) { s.Spec.Selector = nil }, ready},
		"pods that start":     {func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }, ready},
		"the admin port":      {func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString(v1alpha1.AdminPortName) }, port},
		"a second port":       {func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "b", Port: 81}) }, port},
	}
}

func budgetRights() map[string]right[*policyv1.PodDisruptionBudget] {
	const bound = "bound disruptions of an issuer's pods alone"
	return map[string]right[*policyv1.PodDisruptionBudget]{
		"pods of others": {func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = &metav1.LabelSelector{} }, bound},
		"no disruption":  {func(b *policyv1.PodDisruptionBudget) { b.Spec.MaxUnavailable = new(intstr.FromInt32(0)) }, bound},
		"a minimum": {func(b *policyv1.PodDisruptionBudget) {
			b.Spec.MaxUnavailable, b.Spec.MinAvailable = nil, new(intstr.FromInt32(2))
		}, bound},
	}
}

func accountRights() map[string]right[*corev1.ServiceAccount] {
	const nothing = "neither tokens nor Secrets"
	return map[string]right[*corev1.ServiceAccount]{
		"a name of its own": {func(a *corev1.ServiceAccount) { a.Name = "other" }, "which has its name and -issuer"},
		"a token":           {func(a *corev1.ServiceAccount) { a.AutomountServiceAccountToken = new(true) }, nothing},
		"a Secret":          {func(a *corev1.ServiceAccount) { a.Secrets = []corev1.ObjectReference{{Name: "x"}} }, nothing},
		"pull secrets":      {func(a *corev1.ServiceAccount) { a.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}} }, nothing},
	}
}

// What others added is no reason to refuse what the controller changes beside it,
// and no reason to let it add more.
func testOthersAdded(t *testing.T, have *appsv1.Deployment) {
	change(t, have, func(d *appsv1.Deployment) {
		spec := &d.Spec.Template.Spec
		spec.Containers[0].Env = append(spec.Containers[0].Env, corev1.EnvVar{Name: "TZ", Value: "UTC"})
		spec.Containers = append(spec.Containers, corev1.Container{Name: "mesh", Image: "example.com/mesh", SecurityContext: spec.Containers[0].SecurityContext})
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
		spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"idp.example.com"}}}
	})
	api := asController(t)
	for name, test := range map[string]right[*appsv1.Deployment]{
		"the memory of ours":       {one(func(c *corev1.Container) { c.Env[2].Value = "400MiB" }), ""},
		"a variable beside theirs": {one(func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "TZ2"}) }), "GOMEMLIMIT in the environment of gatepost-issuer"},
		"their container":          {pods(func(p *corev1.PodSpec) { p.Containers[1].Image = "example.com/other" }), "no other container"},
		"their names of hosts":     {pods(func(p *corev1.PodSpec) { p.HostAliases[0].IP = "192.0.2.2" }), "which names"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: have.Namespace, Name: have.Name}}
			there(t, changed)
			was := changed.DeepCopy()
			test.edit(changed)
			err := api.Patch(t.Context(), changed, client.MergeFrom(was))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// The API server checks expressions against the types, and only warns.
func testWorkloadExpressions(t *testing.T) {
	for _, kind := range []string{"deployments", "services", "budgets", "accounts"} {
		policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "gatepost-controller-" + kind}}
		eventually(t, func() string {
			if !there(t, policy) || policy.Status.ObservedGeneration != policy.Generation || policy.Status.TypeChecking == nil {
				return policy.Name + " was not checked yet"
			}
			return ""
		})
		for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
			t.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
		}
	}
}
