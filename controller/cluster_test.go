//go:build cluster

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/live"
)

// world is the control plane that all tests of this package share, with one
// controller running.
var world struct {
	cluster *cluster.Cluster
	api     client.Client
	start   func() error // the controller
	stop    func() error
}

// issuerImage is the one that the chart's admission policy lets the controller run.
const (
	sidecarImage = "example.com/gatepost-sidecar:test"
	issuerImage  = "localhost/gatepost-issuer:dev"
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller tests:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c, err := cluster.Start(ctx, cluster.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if _, err := c.Kubectl(ctx, "apply", "--server-side", "-k", filepath.Join("..", "config", "crd")); err != nil {
		return 0, err
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=180s"); err != nil {
		return 0, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 0, err
	}
	world.cluster = c
	if world.api, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	if err := grantRights(ctx, c); err != nil {
		return 0, err
	}
	world.start = func() error {
		ctx, cancel := context.WithCancel(ctx)
		wait, err := startController(ctx, c, true)
		if err != nil {
			cancel()
			return err
		}
		world.stop = func() error { cancel(); return wait() }
		return nil
	}
	if err := world.start(); err != nil {
		return 0, err
	}
	code = live.Main(m)
	return code, world.stop()
}

// alone ends the shared controller for the length of one test, which must not
// be a parallel one.
func alone(t *testing.T) {
	t.Helper()
	if err := world.stop(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.start(); err != nil {
			t.Fatal(err)
		}
	})
}

// The account of the chart.
const (
	ownNamespace = "gatepost-system"
	account      = "system:serviceaccount:gatepost-system:gatepost"
)

// grantRights applies the rights and the limits that the chart gives the
// controller, so that every test here also shows that they are enough.
func grantRights(ctx context.Context, c *cluster.Cluster) error {
	for _, args := range [][]string{
		{"create", "namespace", ownNamespace},
		{"apply", "--server-side", "-k", filepath.Join("..", "config", "rbac")},
		{"apply", "--server-side", "-f", filepath.Join("..", "config", "admission", "controller.yaml")},
	} {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// startController runs a controller as the chart's account with short margins
// until the context ends; wait returns what it ended with.
func startController(ctx context.Context, c *cluster.Cluster, elect bool) (wait func() error, err error) {
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	mgr, err := controller.New(config, controller.Config{
		SidecarImage: sidecarImage, IssuerImage: issuerImage, MetricsAddress: "0", HealthAddress: "0", Namespace: ownNamespace, LeaderElect: elect,
		MinPrePublish: time.Second, RetireMargin: 2 * time.Second,
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return func() error { return <-ended }, nil
}

// patience is how long a test waits for what takes seconds, on a machine that does
// ten other things.
const patience = 2 * time.Minute

// eventually waits until probe returns nothing; it fails with its last answer.
func eventually(t *testing.T, probe func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = probe(); last == "" {
			return
		}
	}
	t.Fatalf("not within %s: %s", patience, last)
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.api.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %s: %v", object.GetName(), err)
	}
}

// change edits an object and writes it, again when somebody else was faster.
func change[T client.Object](t *testing.T, object T, edit func(T)) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		edit(object)
		switch err := world.api.Update(t.Context(), object); {
		case apierrors.IsConflict(err):
			return err.Error()
		case err != nil:
			t.Fatal(err)
		}
		return ""
	})
}

func annotate(t *testing.T, object client.Object, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	if err := world.api.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.api.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// secretOf fetches a Secret; nil when there is none.
func secretOf(t *testing.T, namespace, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	err := world.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &secret
}

func secretWith(namespace, name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
}

// has says whether a condition of an object is as wanted, and if not how it is.
func has(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) string {
	got := meta.FindStatusCondition(conditions, kind)
	if got == nil {
		return kind + " is not set"
	}
	if got.Status != status || got.Reason != reason {
		return fmt.Sprintf("%s is %s/%s (%s), want %s/%s", kind, got.Status, got.Reason, got.Message, status, reason)
	}
	return ""
}

// keyHas waits for a condition of a SigningKey.
func keyHas(t *testing.T, key *v1alpha1.SigningKey, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		if key.Status.ObservedGeneration != key.Generation {
			return "the status is of an older generation"
		}
		return has(key.Status.Conditions, kind, status, reason)
	})
}

// policyHas waits for a condition of a policy.
func policyHas(t *testing.T, p *v1alpha1.AgentAuthPolicy, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		if p.Status.ObservedGeneration != p.Generation {
			return "the status is of an older generation"
		}
		return has(p.Status.Conditions, kind, status, reason)
	})
}

// stateOf reads a SigningKey's private state.
func stateOf(t *testing.T, key *v1alpha1.SigningKey) *keyring.State {
	t.Helper()
	secret := secretOf(t, key.Namespace, v1alpha1.StateName(key.Name))
	if secret == nil {
		return nil
	}
	state, err := keyring.ParseState(secret.Data["state.json"])
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// bundleOf reads a policy's bundle; found is false when there is none.
func bundleOf(t *testing.T, p *v1alpha1.AgentAuthPolicy) (doc manifest.Document, file keyring.File, found bool) {
	t.Helper()
	secret := secretOf(t, p.Namespace, v1alpha1.BundleName(p.Name))
	if secret == nil || len(secret.Data) == 0 {
		return doc, file, false
	}
	doc, err := manifest.Parse(secret.Data[v1alpha1.BundlePolicyKey])
	if err != nil {
		t.Fatal(err)
	}
	if file, err = keyring.ParseFile(secret.Data[v1alpha1.BundleKeysKey]); err != nil {
		t.Fatal(err)
	}
	return doc, file, true
}

// kidsOf are the key ids that a bundle has for the provider "tokens".
func kidsOf(t *testing.T, p *v1alpha1.AgentAuthPolicy) []string {
	t.Helper()
	_, file, _ := bundleOf(t, p)
	var kids []string
	for _, key := range file.Providers["tokens"].Keys {
		kids = append(kids, key.KID)
	}
	return kids
}

// together reads what signers use and what the bundle holds, of one moment: the
// exported Secret is the same before and after the bundle is read. Else, or while
// there is not both, it reports false.
func together(t *testing.T, key *v1alpha1.SigningKey, p *v1alpha1.AgentAuthPolicy) (signer string, kids []string, both bool) {
	t.Helper()
	before := secretOf(t, key.Namespace, key.Spec.ExportTo.SecretName)
	_, file, found := bundleOf(t, p)
	after := secretOf(t, key.Namespace, key.Spec.ExportTo.SecretName)
	if before == nil || after == nil || !found || before.ResourceVersion != after.ResourceVersion {
		return "", nil, false
	}
	return string(after.Data[v1alpha1.ExportCurrentKID]), fileKIDs(file), true
}

// signingKey is an HS256 key that switches by the clock, as fast as the tests'
// controller allows: retireAfter covers a token's life, the default clock skew
// and the margin.
func signingKey(namespace, name string) *v1alpha1.SigningKey {
	wait := false
	return &v1alpha1.SigningKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.SigningKeySpec{
			Algorithm:        "HS256",
			ExportTo:         &v1alpha1.ExportTo{SecretName: name + "-export", ValueKey: "JWT_SECRET"},
			MaxTokenLifetime: seconds(1),
			Rotation: v1alpha1.Rotation{
				PrePublish: seconds(1), RetireAfter: seconds(13), WaitForVerifiers: &wait,
			},
		},
	}
}

// quickKey is a signingKey whose verifiers allow no clock skew, as those of
// agentPolicy do not.
func quickKey(namespace, name string) *v1alpha1.SigningKey {
	key := signingKey(namespace, name)
	key.Spec.Rotation.RetireAfter = seconds(3)
	return key
}

func seconds(n int) *policy.Duration {
	return &policy.Duration{Duration: time.Duration(n) * time.Second}
}

// agentPolicy guards pods app=chat with the provider "tokens".
func agentPolicy(namespace, name string, provider policy.Provider) *v1alpha1.AgentAuthPolicy {
	provider.Name = "tokens"
	provider.ClockSkew = seconds(0)
	if len(provider.Algorithms) == 0 {
		provider.Algorithms = []policy.Algorithm{"HS256"}
	}
	return &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AgentAuthPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}},
			Spec:     policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{provider}}},
		},
	}
}

func bySigningKey(name string) policy.Provider {
	return policy.Provider{SigningKeyRef: &policy.SigningKeyRef{Name: name}}
}

func bySecret(keys ...string) policy.Provider {
	return policy.Provider{SecretRef: &policy.SecretRef{Name: "laravel", Keys: keys}}
}

// chatPod is a pod as the injector leaves it, or a bare one.
func chatPod(namespace, name, policyName string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "chat"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "example.com/agent"}}},
	}
	if policyName == "" {
		return pod
	}
	always := corev1.ContainerRestartPolicyAlways
	pod.Spec.InitContainers = []corev1.Container{{Name: v1alpha1.ContainerName, Image: sidecarImage, RestartPolicy: &always}}
	pod.Spec.Volumes = []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: v1alpha1.BundleName(policyName)},
	}}}
	return pod
}

// sidecarIs plays the kubelet: there is none here.
func sidecarIs(t *testing.T, pod *corev1.Pod, status corev1.ContainerStatus) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		status.Name, status.Image, status.ImageID = v1alpha1.ContainerName, sidecarImage, "none"
		pod.Status.Phase = corev1.PodRunning
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{status}
		if err := world.api.Status().Update(t.Context(), pod); err != nil {
			return err.Error()
		}
		return ""
	})
}

func serving() corev1.ContainerStatus {
	return corev1.ContainerStatus{Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}
}

// hasEvent waits for an event about an object.
func hasEvent(t *testing.T, object client.Object, reason, part string) {
	t.Helper()
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := world.api.List(t.Context(), &list, client.InNamespace(object.GetNamespace())); err != nil {
			return err.Error()
		}
		var seen []string
		for _, e := range list.Items {
			if e.Regarding.UID != object.GetUID() {
				continue
			}
			if e.Reason == reason && strings.Contains(e.Note, part) {
				return ""
			}
			seen = append(seen, e.Reason+": "+e.Note)
		}
		return fmt.Sprintf("no event %s with %q, only %q", reason, part, seen)
	})
}
