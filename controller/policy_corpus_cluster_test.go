//go:build cluster

package controller_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/corpus"
)

// A real API server and a running controller take the valid policies of the
// corpus and no others: what the schema cannot see, the condition says.
func TestPolicyCorpusCluster(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	strict := client.WithFieldValidation(world.api, metav1.FieldValidationStrict)
	var stored []*corpus.Archive
	disagreements := 0
	for _, a := range corpus.Load(t) {
		if a.Dropped != "" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(a.Manifest, &object.Object); err != nil {
			t.Fatal(err)
		}
		object.SetNamespace(ns)
		err := strict.Create(t.Context(), object)
		if want := a.Valid() || a.SchemaAccepts; (err == nil) != want {
			disagreements++
			t.Errorf("%s: the API server accepts it: %t, want %t: %v", a.Name, err == nil, want, err)
		}
		if err == nil {
			stored = append(stored, a)
		}
	}
	for _, a := range stored {
		p := &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: a.Name}}
		var got *metav1.Condition
		eventually(t, func() string {
			if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
				return err.Error()
			}
			if got = meta.FindStatusCondition(p.Status.Conditions, accepted); got == nil {
				return a.Name + " is not judged"
			}
			return ""
		})
		if (got.Status == yes) != a.Valid() {
			disagreements++
			t.Errorf("%s: Accepted is %s: %s", a.Name, got.Status, got.Message)
		}
		for _, text := range a.Errors {
			if got.Reason != v1alpha1.ReasonNotSupportedYet && !strings.Contains(got.Message, text) {
				disagreements++
				t.Errorf("%s: the condition says %s, and not %s", a.Name, got.Message, text)
			}
		}
	}
	corpus.Figure("policy_corpus_cluster_disagreements", disagreements, "policies")
}
