package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// newInjector is a handler over a store that holds the objects.
func newInjector(t *testing.T, objects ...client.Object) *injector {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &injector{
		policies: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		config:   inject.Config{Image: "localhost/gatepost-sidecar:dev", PullPolicy: corev1.PullIfNotPresent},
		metrics:  m, logger: logr.Discard(),
	}
}

func review(namespace string, pod []byte) admission.Request {
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Namespace: namespace, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: pod},
	}}
}

// apply returns the object as the API server will have it after the response.
func apply(t *testing.T, raw []byte, response admission.Response) []byte {
	t.Helper()
	if err := response.Complete(review("", raw)); err != nil {
		t.Fatal(err)
	}
	if response.Patch == nil {
		return raw
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(raw)
	if err != nil {
		t.Fatal(err)
	}
	return patched
}

// The golden files of package inject, as admission requests.
func TestPatchGivesTheGoldenPod(t *testing.T) {
	files, err := filepath.Glob("../inject/testdata/*.injected.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".injected.yaml"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, err := os.ReadFile(strings.TrimSuffix(file, ".injected.yaml") + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			documents := bytes.Split(input, []byte("\n---\n"))
			policy := &v1alpha1.AgentAuthPolicy{}
			if err := yaml.UnmarshalStrict(documents[0], policy); err != nil {
				t.Fatal(err)
			}
			raw, err := yaml.YAMLToJSON(documents[1])
			if err != nil {
				t.Fatal(err)
			}
			handler := newInjector(t, policy)
			response := handler.Handle(t.Context(), review("agents", raw))
			if !response.Allowed {
				t.Fatalf("refused: %s", response.Result.Message)
			}
			var got, want corev1.Pod
			if err := json.Unmarshal(apply(t, raw, response), &got); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(golden, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("patched pod (-golden +got):\n%s", diff)
			}
			if got := testutil.ToFloat64(handler.metrics.injections.WithLabelValues(resultInjected, "")); got != 1 {
				t.Errorf("counted %v injections, want 1", got)
			}
			for _, warning := range response.Warnings {
				if !bytes.Contains(golden, []byte(strings.TrimPrefix(warning, "gatepost: "))) {
					t.Errorf("warning %q is not in the golden file", warning)
				}
			}
		})
	}
}

func TestFieldsOfANewerKubernetesStay(t *testing.T) {
	raw := []byte(`{"metadata":{"labels":{"app":"chat"}},"spec":{"brandNew":{"a":12345678901234567890},
		"initContainers":[{"name":"first","brandNew":1},{"name":"second","brandNew":2}],
		"containers":[{"name":"agent","ports":[{"containerPort":8000,"brandNew":3}],"env":[{"name":"A","brandNew":4}],"brandNew":5}]}}`)
	policy := &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "all", Namespace: "agents"},
		Spec:       v1alpha1.AgentAuthPolicySpec{Selector: &metav1.LabelSelector{}},
	}
	patched := apply(t, raw, newInjector(t, policy).Handle(t.Context(), review("agents", raw)))
	var got struct {
		Spec struct {
			BrandNew       json.RawMessage
			InitContainers []struct {
				Name     string
				BrandNew int
			}
			Containers []struct {
				BrandNew int
				Ports    []struct{ BrandNew int }
				Env      []struct {
					Name     string
					BrandNew int
				}
			}
		}
	}
	if err := json.Unmarshal(patched, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"a":12345678901234567890}`, string(got.Spec.BrandNew)); diff != "" {
		t.Errorf("spec.brandNew (-want +got):\n%s", diff)
	}
	var order []string
	for i, container := range got.Spec.InitContainers {
		order = append(order, container.Name)
		if container.BrandNew != i {
			t.Errorf("init container %s has brandNew %d, want %d", container.Name, container.BrandNew, i)
		}
	}
	if diff := cmp.Diff([]string{"gatepost", "first", "second"}, order); diff != "" {
		t.Errorf("init containers (-want +got):\n%s", diff)
	}
	agent := got.Spec.Containers[0]
	if agent.BrandNew != 5 || agent.Ports[0].BrandNew != 3 || agent.Env[0].BrandNew != 4 || len(agent.Env) != 3 {
		t.Errorf("the agent's own fields were lost: %+v", agent)
	}
}

func TestAnswers(t *testing.T) {
	chat := &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "agents"},
		Spec:       v1alpha1.AgentAuthPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}},
	}
	for name, test := range map[string]struct {
		namespace, pod string
		allowed        bool
		code           int32
		message        string
		result         string
		reason         inject.Reason
	}{
		"a pod that nothing selects is left alone": {
			"agents", `{"metadata":{"labels":{"app":"other"}}}`, true, 200, "", resultSkipped, "",
		},
		"a policy of another namespace selects nothing here": {
			"elsewhere", `{"metadata":{"labels":{"app":"chat"}}}`, true, 200, "", resultSkipped, "",
		},
		"a pod that asks in vain is refused": {
			"elsewhere", `{"metadata":{"labels":{"app":"chat","gatepost.dev/inject":"true"}}}`,
			false, 403, "no AgentAuthPolicy of its namespace selects it", resultRefused, inject.ReasonNoPolicy,
		},
		"a pod that cannot be guarded is refused, with its policy and the fix": {
			"agents", `{"metadata":{"labels":{"app":"chat"}},"spec":{"hostNetwork":true}}`,
			false, 403, "gatepost cannot guard this pod as AgentAuthPolicy chat asks: spec.hostNetwork:", resultRefused, inject.ReasonHostNetwork,
		},
		"what is no pod is an error": {
			"agents", `{"metadata":[]}`, false, 400, "decoding the pod", resultFailed, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler := newInjector(t, chat)
			response := handler.Handle(t.Context(), review(test.namespace, []byte(test.pod)))
			if response.Allowed != test.allowed || response.Result.Code != test.code || !strings.Contains(response.Result.Message, test.message) || len(response.Patches) > 0 {
				t.Errorf("got %+v, want allowed %t, code %d, message with %q, no patch", response, test.allowed, test.code, test.message)
			}
			if got := testutil.ToFloat64(handler.metrics.injections.WithLabelValues(test.result, string(test.reason))); got != 1 {
				t.Errorf("gatepost_injections_total{result=%q,reason=%q} is %v, want 1", test.result, test.reason, got)
			}
		})
	}
}

func TestWithoutACachePodsAreNotLetThrough(t *testing.T) {
	handler := newInjector(t)
	handler.policies = interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("10.0.0.1: the cache is not there")
		},
	})
	response := handler.Handle(t.Context(), review("agents", []byte(`{}`)))
	if response.Allowed || response.Result.Code != 500 || strings.Contains(response.Result.Message, "10.0.0.1") {
		t.Errorf("got %+v, want an error of our own", response)
	}
}

func TestConfig(t *testing.T) {
	image := inject.Config{Image: "localhost/gatepost-sidecar:dev"}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"self-managed":           {Config{Inject: image, Namespace: "gatepost", ServiceName: "gatepost"}, ""},
		"from files":             {Config{Inject: image, CertSource: CertFiles, CertDir: "/certs"}, ""},
		"without an image":       {Config{Namespace: "gatepost", ServiceName: "gatepost"}, "sidecar image"},
		"without a service":      {Config{Inject: image, Namespace: "gatepost"}, "service name"},
		"without a directory":    {Config{Inject: image, CertSource: CertFiles}, "certificate directory"},
		"from an unknown source": {Config{Inject: image, CertSource: "vault"}, `"vault"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.config.complete()
			if test.want == "" {
				if err != nil || got.Port != defaultPort || got.Now == nil || got.Registerer == nil {
					t.Errorf("got %+v, error %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
}
