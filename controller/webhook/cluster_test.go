//go:build cluster

package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
	"gatepost.dev/gatepost/test/cluster"
)

const (
	ownNamespace = "gatepost-system"
	ownAccount   = "system:serviceaccount:gatepost-system:gatepost"
	sidecarImage = "localhost/gatepost-sidecar:dev"
	patience     = 2 * time.Minute
)

// house is a control plane with Gatepost's admission in it, as config/ installs
// it, and the webhook in this process with the rights of the controller's account.
type house struct {
	admin      client.Client // the administrator
	controller client.Client // the controller's own account
	keeper     *selfManaged
	stop       func() // ends the webhook
	webhook    string // file of the webhook's configuration
	cluster    *cluster.Cluster
}

func newHouse(t *testing.T) *house {
	t.Helper()
	if os.Getenv("GATEPOST_CLUSTER") == "current" {
		t.Skip("a cluster elsewhere cannot call a webhook in this process")
	}
	h := &house{cluster: cluster.ControlPlane(t)}
	address := freeAddress(t)
	h.webhook = webhookConfiguration(t, address.Port)
	root := "../../config/"
	if err := h.cluster.Apply(t.Context(), root+"default/namespace.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := h.cluster.Apply(t.Context(), root+"crd/gatepost.dev_agentauthpolicies.yaml", root+"crd/gatepost.dev_signingkeys.yaml",
		root+"rbac/controller.yaml", root+"rbac/certificate.yaml", root+"webhook/certificate.yaml", h.webhook,
		root+"admission/guarded.yaml", root+"admission/sidecars.yaml", root+"admission/controller.yaml"); err != nil {
		t.Fatal(err)
	}
	account := rest.CopyConfig(h.cluster.Config)
	account.Impersonate.UserName = ownAccount
	account.Impersonate.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + ownNamespace, "system:authenticated"}
	h.admin, h.controller = newClient(t, h.cluster.Config), newClient(t, account)
	h.start(t, account, address)
	return h
}

// start runs the webhook and returns when it is ready.
func (h *house) start(t *testing.T, account *rest.Config, address *net.TCPAddr) {
	t.Helper()
	mgr, err := ctrl.NewManager(account, ctrl.Options{
		Scheme: newScheme(t), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Config{
		Inject: inject.Config{Image: sidecarImage}, Host: address.IP.String(), Port: address.Port,
		Namespace: ownNamespace, ServiceName: "gatepost-webhook", ExtraHosts: []string{address.IP.String()},
		Registerer: prometheus.NewRegistry(),
	}.complete()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		t.Fatal(err)
	}
	h.keeper = newSelfManaged(mgr, cfg, m.expiry)
	if err := register(mgr, cfg, m, h.keeper); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the webhook ended: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(h.stop)
}

func freeAddress(t *testing.T) *net.TCPAddr {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address
}

// webhookConfiguration is that of config/webhook with this process in the
// Service's place.
func webhookConfiguration(t *testing.T, port int) string {
	t.Helper()
	data, err := os.ReadFile("../../config/webhook/configuration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		Metadata   map[string]any   `json:"metadata"`
		Webhooks   []map[string]any `json:"webhooks"`
	}
	if err := yaml.UnmarshalStrict(data, &object); err != nil {
		t.Fatal(err)
	}
	for _, webhook := range object.Webhooks {
		webhook["timeoutSeconds"] = 30 // a slow machine is no webhook that is down
		webhook["clientConfig"] = map[string]any{"url": fmt.Sprintf("https://127.0.0.1:%d%s", port, Path)}
	}
	if data, err = yaml.Marshal(object); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "webhook.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	quiet := rest.CopyConfig(config)
	quiet.WarningHandler, quiet.Timeout = rest.NoWarnings{}, patience
	c, err := client.New(quiet, client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually tries until it works.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// namespace makes a namespace in which pods can be created.
func (h *house) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	if err := h.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the service account of "+name, func() error {
		return h.admin.Get(t.Context(), client.ObjectKey{Namespace: name, Name: "default"}, &corev1.ServiceAccount{})
	})
}

func (h *house) policy(t *testing.T, namespace, name string, change func(*v1alpha1.AgentAuthPolicySpec)) *v1alpha1.AgentAuthPolicy {
	t.Helper()
	policy := &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	policy.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}
	if change != nil {
		change(&policy.Spec)
	}
	if err := h.admin.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	return policy
}

// agent is a pod as its author writes it.
func agent(namespace string, labels map[string]string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "chat-", Namespace: namespace, Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "agent", Image: "localhost/agent:dev", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}},
		}}},
	}
	for _, change := range change {
		change(pod)
	}
	return pod
}

var chat = map[string]string{"app": "chat"}

func asking(labels map[string]string) map[string]string {
	asked := map[string]string{v1alpha1.LabelInject: "true"}
	maps.Copy(asked, labels)
	return asked
}

// create creates the pod and says "" for one without the sidecar, "guarded" for
// one with it, or the API server's refusal.
func (h *house) create(t *testing.T, pod *corev1.Pod, options ...client.CreateOption) string {
	t.Helper()
	err := h.admin.Create(t.Context(), pod, options...)
	switch {
	case err != nil:
		return err.Error()
	case len(pod.Spec.InitContainers) > 0 && pod.Spec.InitContainers[0].Name == v1alpha1.ContainerName:
		return "guarded"
	}
	return ""
}

// guards creates the pod, which must get the sidecar: a refusal may speak of guarded
// pods too.
func (h *house) guards(t *testing.T, pod *corev1.Pod, options ...client.CreateOption) error {
	t.Helper()
	if got := h.create(t, pod, options...); got != "guarded" {
		return fmt.Errorf("got %q, want a guarded pod", got)
	}
	return nil
}

// want fails unless got contains it; "" and "guarded" must be all there is.
func want(t *testing.T, got, want string) {
	t.Helper()
	if ok := got == want || want != "" && want != "guarded" && strings.Contains(got, want); !ok {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAdmission(t *testing.T) {
	h := newHouse(t)
	h.namespace(t, "agents", map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
	h.namespace(t, "elsewhere", nil)
	h.namespace(t, "restricted", map[string]string{
		v1alpha1.LabelInjection: v1alpha1.InjectionEnabled, "pod-security.kubernetes.io/enforce": "restricted",
	})
	for _, namespace := range []string{"agents", "elsewhere", "restricted", "kube-system"} {
		h.policy(t, namespace, "chat", nil)
	}
	h.policy(t, "agents", "optional", func(spec *v1alpha1.AgentAuthPolicySpec) {
		spec.Selector.MatchLabels = map[string]string{"app": "optional"}
		spec.AllowOptOut = true
	})
	eventually(t, "waiting for the webhook", func() error {
		if got := h.create(t, agent("agents", chat), client.DryRunAll); got != "guarded" {
			return errors.New(got)
		}
		return nil
	})
	h.waitForPolicies(t)
	t.Run("expressions", h.testExpressions)
	t.Run("webhook", h.testWebhook)
	t.Run("revision", h.testRevision)
	t.Run("sidecars", h.testSidecars)
	t.Run("controller", h.testController)
	t.Run("certificates", h.testCertificates)
	t.Run("bypass", h.testBypass)
	t.Run("selectors", h.testSelectors)
	t.Run("down", h.testWebhookDown)
}

// waitForPolicies returns when every ValidatingAdmissionPolicy is enforced: the
// API server takes them up some time after they were created.
func (h *house) waitForPolicies(t *testing.T) {
	t.Helper()
	eventually(t, "waiting for the policy on guarded pods", func() error {
		return h.guards(t, agent("agents", chat, handMade("localhost/other:dev")), client.DryRunAll) // the webhook mends it
	})
	eventually(t, "waiting for the policy on the controller", func() error {
		pod := agent("elsewhere", nil)
		if got := h.create(t, pod); got != "" {
			return errors.New(got)
		}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))
		return contains(fmt.Sprint(h.controller.Patch(t.Context(), pod, patch)), "may change nothing")
	})
	eventually(t, "waiting for the policy on sidecars", func() error {
		bare := agent("elsewhere", nil, handMade(sidecarImage), mounting("x.gatepost-bundle"))
		return contains(h.create(t, bare, client.DryRunAll), "only the sidecar may read")
	})
}

// The API server checks expressions against the types of pods and of our CRD,
// and only warns.
func (h *house) testExpressions(t *testing.T) {
	for _, name := range []string{"gatepost-guarded", "gatepost-sidecars", "gatepost-controller"} {
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		eventually(t, "waiting for the check of "+name, func() error {
			if err := h.admin.Get(t.Context(), client.ObjectKey{Name: name}, policy); err != nil {
				return err
			}
			if policy.Status.ObservedGeneration != policy.Generation || policy.Status.TypeChecking == nil {
				return errors.New("not checked yet")
			}
			return nil
		})
		for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
			t.Errorf("%s: %s: %s", name, warning.FieldRef, warning.Warning)
		}
	}
}

func contains(text, part string) error {
	if strings.Contains(text, part) {
		return nil
	}
	return fmt.Errorf("got %q, want %q", text, part)
}

// handMade puts a sidecar into the pod as another webhook, or an attacker, might.
func handMade(image string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.InitContainers = append([]corev1.Container{{
			Name: v1alpha1.ContainerName, Image: image, RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
			VolumeMounts: []corev1.VolumeMount{{Name: v1alpha1.VolumeName, MountPath: v1alpha1.BundleMountPath}},
		}}, pod.Spec.InitContainers...)
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: "chat.gatepost-bundle"},
		}})
	}
}

// mounting mounts a Secret into the agent.
func mounting(secret string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "keys", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: secret},
		}})
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "keys", MountPath: "/keys"})
	}
}

func (h *house) testWebhook(t *testing.T) {
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"a selected pod of an enabled namespace is guarded":    {agent("agents", chat), "guarded"},
		"a pod that asks is guarded elsewhere":                 {agent("elsewhere", asking(chat)), "guarded"},
		"a pod that does not ask is left alone elsewhere":      {agent("elsewhere", chat), ""},
		"a pod that nothing selects is left alone":             {agent("agents", map[string]string{"app": "other"}), ""},
		"kube-system is left alone":                            {agent("kube-system", asking(chat)), ""},
		"the controller's namespace is left alone":             {restricted(agent(ownNamespace, asking(chat))), ""},
		"a pod that asks in vain is refused":                   {agent("agents", asking(nil)), "no AgentAuthPolicy of its namespace selects it"},
		"opting out is refused where the policy is silent":     {agent("agents", map[string]string{"app": "chat", v1alpha1.LabelInject: "false"}), "does not allow opting out"},
		"opting out is possible where the policy says so":      {agent("agents", map[string]string{"app": "optional", v1alpha1.LabelInject: "false"}), ""},
		"a pod that cannot be guarded is refused with the fix": {agent("agents", chat, func(p *corev1.Pod) { p.Spec.HostNetwork = true }), "spec.hostNetwork: "},
		"a mounted bundle is refused":                          {agent("agents", chat, mounting("chat.gatepost-bundle")), "belongs to Gatepost"},
		"the sidecar keeps to the restricted Pod Security":     {restricted(agent("restricted", chat)), "guarded"},
		"on a port below 1024 too":                             {restricted(agent("restricted", chat, onPort(80))), "guarded"},
		"a sidecar with another image is put right":            {agent("agents", chat, handMade("localhost/other:dev")), "guarded"},
	} {
		t.Run(name, func(t *testing.T) { want(t, h.create(t, test.pod), test.want) })
	}
	t.Run("the token is the agent's alone", func(t *testing.T) {
		pod := agent("agents", chat)
		want(t, h.create(t, pod), "guarded")
		if !hasToken(pod, &pod.Spec.Containers[0]) {
			t.Error("the agent lost its service account token")
		}
		if hasToken(pod, &pod.Spec.InitContainers[0]) {
			t.Errorf("the sidecar has a service account token: %+v", pod.Spec.InitContainers[0].VolumeMounts)
		}
	})
}

// restricted makes a pod pass the Pod Security of the controller's namespace.
func restricted(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(1)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return pod
}

func onPort(number int32) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Spec.Containers[0].Ports[0].ContainerPort = number }
}

// hasToken reports whether a container mounts a projected service account token.
func hasToken(pod *corev1.Pod, container *corev1.Container) bool {
	for _, mount := range container.VolumeMounts {
		for _, volume := range pod.Spec.Volumes {
			if volume.Name == mount.Name && volume.Projected != nil {
				return true
			}
		}
	}
	return false
}

func (h *house) testSidecars(t *testing.T) {
	guarded := func(t *testing.T) *corev1.Pod {
		t.Helper()
		pod := agent("agents", chat)
		want(t, h.create(t, pod), "guarded")
		pod.ResourceVersion = "" // the scheduler writes to it too
		return pod
	}
	ephemeral := func(t *testing.T, pod *corev1.Pod, mount string) string {
		t.Helper()
		debug := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "localhost/debug:dev"}}
		if mount != "" {
			debug.VolumeMounts = []corev1.VolumeMount{{Name: mount, MountPath: "/keys"}}
		}
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, debug)
		return fmt.Sprint(h.admin.SubResource("ephemeralcontainers").Update(t.Context(), pod))
	}
	t.Run("an ephemeral container may not mount the bundle", func(t *testing.T) {
		want(t, ephemeral(t, guarded(t), v1alpha1.VolumeName), "remove them from spec.ephemeralContainers")
	})
	t.Run("nor the sidecar's state, which says whose tokens are good", func(t *testing.T) {
		want(t, ephemeral(t, guarded(t), v1alpha1.StateVolumeName), "remove them from spec.ephemeralContainers")
	})
	t.Run("not even when the pod was relabelled before", func(t *testing.T) {
		pod := guarded(t)
		pod.Labels = map[string]string{"app": "other"}
		if err := h.admin.Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		pod.ResourceVersion = ""
		want(t, ephemeral(t, pod, v1alpha1.VolumeName), "remove them from spec.ephemeralContainers")
	})
	t.Run("another ephemeral container may", func(t *testing.T) {
		want(t, ephemeral(t, guarded(t), ""), "<nil>")
	})
	t.Run("a running sidecar keeps its image", func(t *testing.T) {
		pod := guarded(t)
		pod.Spec.InitContainers[0].Image = "localhost/other:dev"
		want(t, fmt.Sprint(h.admin.Update(t.Context(), pod)), "may only be given the image that is installed")
	})
	t.Run("a running agent may change its own", func(t *testing.T) {
		pod := guarded(t)
		pod.Spec.Containers[0].Image = "localhost/agent:next"
		want(t, fmt.Sprint(h.admin.Update(t.Context(), pod)), "<nil>")
	})
}

func (h *house) testController(t *testing.T) {
	for name, test := range map[string]struct {
		patch string
		want  string
	}{
		"may set its annotation":             {`{"metadata":{"annotations":{"gatepost.dev/bundle-revision":"7"}}}`, "<nil>"},
		"may drop its annotation":            {`{"metadata":{"annotations":{"gatepost.dev/bundle-revision":null}}}`, "<nil>"},
		"may not set another":                {`{"metadata":{"annotations":{"a":"b"}}}`, "may change nothing"},
		"may not change another":             {`{"metadata":{"annotations":{"example.com/mine":"theirs"}}}`, "may change nothing"},
		"may not drop another":               {`{"metadata":{"annotations":{"example.com/mine":null}}}`, "may change nothing"},
		"may not set a label":                {`{"metadata":{"labels":{"a":"b"}}}`, "may change nothing"},
		"may not set a finalizer":            {`{"metadata":{"finalizers":["example.com/a"]}}`, "may change nothing"},
		"may not change an image":            {`{"spec":{"containers":[{"name":"agent","image":"localhost/evil:dev"}]}}`, "may change nothing"},
		"may not hide behind its annotation": {`{"metadata":{"annotations":{"gatepost.dev/bundle-revision":"8"},"labels":{"a":"b"}}}`, "may change nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := agent("elsewhere", chat, func(p *corev1.Pod) { p.Annotations = map[string]string{"example.com/mine": "mine"} })
			want(t, h.create(t, pod), "")
			patch := client.RawPatch("application/strategic-merge-patch+json", []byte(test.patch))
			want(t, fmt.Sprint(h.controller.Patch(t.Context(), pod, patch)), test.want)
		})
	}
	t.Run("may not create pods, delete them or open a shell", func(t *testing.T) {
		if err := h.controller.Create(t.Context(), agent("elsewhere", nil)); !apierrors.IsForbidden(err) {
			t.Errorf("creating: %v", err)
		}
		pod := agent("elsewhere", nil)
		want(t, h.create(t, pod), "")
		if err := h.controller.Delete(t.Context(), pod); !apierrors.IsForbidden(err) {
			t.Errorf("deleting: %v", err)
		}
	})
	t.Run("may not write webhook configurations but its own", func(t *testing.T) {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"webhooks":[]}`))
		other := configuration()
		other.Name = "other"
		if err := h.controller.Patch(t.Context(), other, patch); !apierrors.IsForbidden(err) {
			t.Errorf("got %v", err)
		}
	})
}

// The server's certificate is replaced over and over while pods are created.
func (h *house) testCertificates(t *testing.T) {
	const rotations, rate = 100, 50
	done, admitted := make(chan struct{}), make(chan []string, 1)
	go func() {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		var answers []string
		for {
			select {
			case <-done:
				admitted <- answers
				return
			case <-tick.C:
				answers = append(answers, h.create(t, agent("agents", chat), client.DryRunAll))
			}
		}
	}()
	stop := sync.OnceFunc(func() { close(done) })
	defer stop()
	seen := map[string]bool{}
	for range rotations {
		secret := &corev1.Secret{}
		if err := h.admin.Get(t.Context(), h.keeper.secret, secret); err != nil {
			t.Fatal(err)
		}
		delete(secret.Data, serverCertKey)
		if err := h.admin.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if err := h.keeper.check(t.Context()); err != nil {
			t.Fatal(err)
		}
		pair, err := h.keeper.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(pair.Certificate[0])] = true
		time.Sleep(20 * time.Millisecond) // so that requests come in between
	}
	stop()
	answers := <-admitted
	for _, answer := range answers {
		want(t, answer, "guarded")
	}
	if len(seen) != rotations || len(answers) == 0 {
		t.Errorf("%d certificates served to %d admissions", len(seen), len(answers))
	}
	t.Logf("figure: webhook_certificates_replaced %d certificates", len(seen))
	t.Logf("figure: webhook_admissions_meanwhile %d pods", len(answers))
}

// Without our webhook (deleted, or undone by another) the API server itself
// refuses what comes out unguarded.
func (h *house) testBypass(t *testing.T) {
	if err := h.admin.Delete(t.Context(), configuration()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the webhook to be forgotten", func() error {
		return contains(h.create(t, agent("agents", chat), client.DryRunAll), "and it has no sidecar")
	})
	share := func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = new(true) }
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"a selected pod without the sidecar":         {agent("agents", chat), "AgentAuthPolicy chat selects this pod, and it has no sidecar"},
		"a pod that asks, elsewhere":                 {agent("elsewhere", asking(chat)), "has no sidecar"},
		"a pod that asks and that nothing selects":   {agent("elsewhere", asking(nil)), "the pod asks to be guarded"},
		"one with another image":                     {agent("agents", chat, handMade("localhost/other:dev")), "its sidecar has another image than " + sidecarImage},
		"one that is no native sidecar":              {agent("agents", chat, handMade(sidecarImage), onSidecar(func(c *corev1.Container) { c.RestartPolicy = nil })), "has no sidecar"},
		"one with a command of its own":              {agent("agents", chat, handMade(sidecarImage), onSidecar(func(c *corev1.Container) { c.Command = []string{"/bin/true"} })), "its sidecar was changed"},
		"one without a bundle":                       {agent("agents", chat, handMade(sidecarImage), onSidecar(func(c *corev1.Container) { c.VolumeMounts = nil })), "its sidecar was changed"},
		"one whose processes are shared":             {agent("agents", chat, handMade(sidecarImage), share), "set shareProcessNamespace and hostPID to false"},
		"one on the host's network":                  {agent("agents", chat, handMade(sidecarImage), func(p *corev1.Pod) { p.Spec.HostNetwork = true }), "set hostNetwork to false"},
		"one whose agent mounts the bundle too":      {agent("agents", chat, handMade(sidecarImage), mounting("chat.gatepost-bundle")), "remove them from spec.containers"},
		"one whose agent mounts a state":             {agent("agents", chat, handMade(sidecarImage), mounting("k.gatepost-state")), "remove them from spec.containers"},
		"one whose init container reads it":          {agent("agents", chat, handMade(sidecarImage), readingFirst), "remove them from spec.initContainers"},
		"one with everything in its place passes":    {agent("agents", chat, handMade(sidecarImage)), "guarded"},
		"one that may opt out passes":                {agent("agents", map[string]string{"app": "optional", v1alpha1.LabelInject: "false"}), ""},
		"one that may opt out and does not":          {agent("agents", map[string]string{"app": "optional"}), "AgentAuthPolicy optional selects"},
		"a pod that nothing selects passes":          {agent("agents", map[string]string{"app": "other"}), ""},
		"a pod that does not ask, elsewhere, passes": {agent("elsewhere", chat), ""},
		"kube-system passes":                         {agent("kube-system", asking(chat)), ""},
	} {
		t.Run(name, func(t *testing.T) { want(t, h.create(t, test.pod), test.want) })
	}
}

func onSidecar(change func(*corev1.Container)) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { change(&pod.Spec.InitContainers[0]) }
}

// readingFirst has an init container with a Gatepost Secret in its environment.
func readingFirst(pod *corev1.Pod) {
	pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{
		Name: "first", Image: "localhost/first:dev",
		EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "chat.gatepost-bundle"}}}},
	})
}

// The API server and inject.Select must read selectors alike. The webhook is
// gone by now, so that what is selected is refused.
func (h *house) testSelectors(t *testing.T) {
	h.namespace(t, "selectors", map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled})
	requirement := func(operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: "tier", Operator: operator, Values: values}
	}
	match := map[string]string{"app": "chat", "team": "a"}
	pods := []map[string]string{
		nil, {"app": "chat"}, {"app": "chat", "team": "a"}, {"app": "chat", "team": "a", "tier": "web"}, {"tier": "web"}, {"tier": "db"}, {"tier": ""},
	}
	for name, selector := range map[string]*metav1.LabelSelector{
		"nothing":            nil,
		"everything":         {},
		"labels":             {MatchLabels: match},
		"in":                 {MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpIn, "web", "api")}},
		"not-in":             {MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpNotIn, "web", "api")}},
		"exists":             {MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpExists)}},
		"does-not-exist":     {MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpDoesNotExist)}},
		"labels-and-not-in":  {MatchLabels: match, MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpNotIn, "web")}},
		"two-of-one-and-two": {MatchExpressions: []metav1.LabelSelectorRequirement{requirement(metav1.LabelSelectorOpExists), requirement(metav1.LabelSelectorOpNotIn, "web")}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := h.policy(t, "selectors", name, func(spec *v1alpha1.AgentAuthPolicySpec) { spec.Selector = selector })
			defer func() {
				if err := h.admin.Delete(t.Context(), policy); err != nil {
					t.Error(err)
				}
			}()
			for _, labels := range pods {
				pod := agent("selectors", labels)
				chosen, err := inject.Select([]v1alpha1.AgentAuthPolicy{*policy}, pod)
				if err != nil {
					t.Fatal(err)
				}
				expected := ""
				if chosen != nil {
					expected = "AgentAuthPolicy " + name + " selects this pod"
				}
				eventually(t, fmt.Sprintf("labels %v", labels), func() error {
					got := h.create(t, pod.DeepCopy(), client.DryRunAll)
					if expected == "" && got != "" {
						return fmt.Errorf("got %q, want the pod admitted", got)
					}
					return contains(got, expected)
				})
			}
		})
	}
}

// With the configuration in place and nobody behind it.
func (h *house) testWebhookDown(t *testing.T) {
	h.stop()
	if err := h.cluster.Apply(t.Context(), h.webhook); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the configuration", func() error {
		return contains(h.create(t, agent("agents", map[string]string{"app": "other"}), client.DryRunAll), "failed calling webhook")
	})
	want(t, h.create(t, agent("elsewhere", asking(chat))), "failed calling webhook")
	want(t, h.create(t, agent("elsewhere", chat)), "")
	want(t, h.create(t, agent("kube-system", chat)), "")
}
