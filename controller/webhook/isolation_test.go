package webhook

import (
	"context"
	"net/http"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
	"gatepost.dev/gatepost/policy"
)

// onlyPolicies is a reader that lets an admission see the policies of the pod's
// namespace, and nothing else of the cluster.
type onlyPolicies struct {
	t         *testing.T
	namespace string
	policies  []v1alpha1.AgentAuthPolicy
	asked     int
}

// Get implements client.Reader.
func (o *onlyPolicies) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	o.t.Errorf("an admission read the %T %s", object, key)
	return http.ErrNotSupported
}

// List implements client.Reader.
func (o *onlyPolicies) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	o.asked++
	var want client.ListOptions
	want.ApplyOptions(options)
	policies, ok := list.(*v1alpha1.AgentAuthPolicyList)
	if !ok || want.Namespace != o.namespace || o.namespace == "" {
		o.t.Errorf("an admission in %s listed %T in %q", o.namespace, list, want.Namespace)
		return http.ErrNotSupported
	}
	policies.Items = o.policies
	return nil
}

// noNetwork fails the test whenever somebody uses Go's default client.
type noNetwork struct{ t *testing.T }

// RoundTrip implements http.RoundTripper.
func (n noNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	n.t.Errorf("an admission asked %s", request.URL)
	return nil, http.ErrNotSupported
}

// Judging a pod takes the pod, the policies of its own namespace and nothing
// else: no Secret, no other namespace, no address that a policy or a pod names.
func TestAdmissionsLookAtNothingButPolicies(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = noNetwork{t}
	defer func() { http.DefaultTransport = before }()
	chat := v1alpha1.AgentAuthPolicy{}
	chat.Name, chat.Namespace = "chat", "agents"
	chat.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}
	chat.Spec.JWT = &policy.JWT{Providers: []policy.Provider{
		{Name: "remote", Algorithms: []policy.Algorithm{"ES256"}, RemoteJWKS: &policy.RemoteJWKS{URI: "https://169.254.169.254/keys"}},
		{Name: "secret", Algorithms: []policy.Algorithm{"HS256"}, SecretRef: &policy.SecretRef{Name: "laravel", Keys: []string{"current"}}},
		{Name: "key", Algorithms: []policy.Algorithm{"HS256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "tokens"}},
	}}
	for name, test := range map[string]struct {
		pod     string
		allowed bool
	}{
		"a pod that is guarded": {
			`{"metadata":{"labels":{"app":"chat"}},"spec":{"serviceAccountName":"other","containers":[{"name":"agent","image":"a","ports":[{"containerPort":8000}],"env":[{"name":"URL","value":"http://10.0.0.1/{{.Secret}}"}]}]}}`, true,
		},
		"a pod that is refused": {
			`{"metadata":{"labels":{"app":"chat"}},"spec":{"hostNetwork":true,"containers":[{"name":"agent","image":"a"}]}}`, false,
		},
		"a pod that mounts a Secret of ours": {
			`{"metadata":{"labels":{"app":"chat"}},"spec":{"volumes":[{"name":"v","secret":{"secretName":"chat.gatepost-bundle"}}],"containers":[{"name":"agent","image":"a","ports":[{"containerPort":8000}],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}`, false,
		},
		"a pod that nothing selects": {`{"metadata":{"labels":{"app":"other"}}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			reader := &onlyPolicies{t: t, namespace: "agents", policies: []v1alpha1.AgentAuthPolicy{chat}}
			m, err := newMetrics(prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			handler := &injector{policies: reader, config: inject.Config{Image: "localhost/gatepost-sidecar:dev"}, metrics: m, logger: logr.Discard()}
			if response := handler.Handle(t.Context(), review("agents", []byte(test.pod))); response.Allowed != test.allowed {
				t.Errorf("got %+v, want allowed %t", response, test.allowed)
			}
			if reader.asked != 1 {
				t.Errorf("policies were listed %d times", reader.asked)
			}
		})
	}
}
