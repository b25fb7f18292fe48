//go:build cluster && linux

package fleet_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

// fastKey is a key set that rotates as fast as the controller's bounds allow.
func fastKey(namespace, name string) *v1alpha1.SigningKey {
	return &v1alpha1.SigningKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.SigningKeySpec{
			Algorithm:        "HS256",
			ExportTo:         &v1alpha1.ExportTo{SecretName: name + "-export"},
			MaxTokenLifetime: duration(time.Second),
			Rotation: v1alpha1.Rotation{
				PrePublish: duration(20 * time.Millisecond), RetireAfter: duration(1500 * time.Millisecond),
			},
		},
	}
}

func duration(d time.Duration) *policy.Duration { return &policy.Duration{Duration: d} }

// fastPolicy guards pods app=name with the given key sets.
func fastPolicy(namespace, name string, keys ...string) *v1alpha1.AgentAuthPolicy {
	jwt := &policy.JWT{}
	for _, key := range keys {
		jwt.Providers = append(jwt.Providers, policy.Provider{
			Name: key, Algorithms: []policy.Algorithm{"HS256"}, ClockSkew: duration(0),
			SigningKeyRef: &policy.SigningKeyRef{Name: key},
		})
	}
	return &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.AgentAuthPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Spec:     policy.Spec{JWT: jwt},
		},
	}
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := world.api.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s: %v", object.GetName(), err)
		}
	}
}

func annotate(t *testing.T, object client.Object, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	if err := world.api.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}
