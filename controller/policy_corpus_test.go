package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/corpus"
)

// A reconcile accepts the valid policies of the corpus and no others, names
// every error in the condition, and what it writes for sidecars decides as the
// corpus says.
func TestPolicyCorpusController(t *testing.T) {
	t.Parallel()
	disagreements := 0
	for _, a := range corpus.Load(t) {
		t.Run(a.Name, func(t *testing.T) {
			if a.Dropped != "" {
				t.Skip(a.Dropped)
			}
			for _, problem := range judgedByController(t, a) {
				disagreements++
				t.Error(problem)
			}
		})
	}
	corpus.Figure("policy_corpus_controller_disagreements", disagreements, "cases")
}

// judgedByController gives an archive to the check of a reconcile.
func judgedByController(t *testing.T, a *corpus.Archive) (problems []string) {
	t.Helper()
	var p v1alpha1.AgentAuthPolicy
	if err := yaml.UnmarshalStrict(a.Manifest, &p); err != nil {
		if a.Valid() {
			problems = append(problems, "an API server cannot decode it: "+err.Error())
		}
		return problems
	}
	world := policyWorld{policy: &p}
	view := world.view()
	got := view.acceptance()
	switch accepts := got.status == metav1.ConditionTrue; {
	case a.Valid() && !accepts:
		return append(problems, "it is not accepted: "+got.message)
	case a.Valid():
		return decidedByBundle(t, a, world.document(view))
	case len(view.unsupported) > 0 && !accepts:
		return nil // What is not built yet is said first, and alone.
	case accepts && !isFaithful(t, a, &p):
		return nil // A file can say more than the object holds; only a schema sees it before it is decoded.
	case accepts:
		return append(problems, "it is accepted, though "+strings.Join(a.Errors, "; "))
	}
	for _, text := range a.Errors {
		if !strings.Contains(got.message, text) {
			problems = append(problems, "the condition says "+got.message+", and not "+text)
		}
	}
	return problems
}

// decidedByBundle asks the policy.json that a sidecar would mount.
func decidedByBundle(t *testing.T, a *corpus.Archive, doc *manifest.Document) (problems []string) {
	t.Helper()
	text, err := manifest.Marshal(*doc)
	if err != nil {
		t.Fatal(err)
	}
	mounted, err := manifest.Parse(text)
	if err != nil {
		t.Fatalf("a sidecar cannot read what the controller writes: %v", err)
	}
	compiled, err := policy.Compile(mounted.Spec)
	if err != nil {
		t.Fatal(err)
	}
	clients := a.Clients(t)
	for i := range a.Cases {
		got, err := a.Cases[i].Decide(compiled, clients)
		if err != nil {
			t.Fatal(err)
		}
		if differs := a.Cases[i].Disagrees(got); differs != "" {
			problems = append(problems, differs)
		}
	}
	return problems
}

// isFaithful reports whether the decoded object says what the manifest does.
func isFaithful(t *testing.T, a *corpus.Archive, p *v1alpha1.AgentAuthPolicy) bool {
	t.Helper()
	encoded, err := yaml.Marshal(p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var written struct{ Spec any }
	var held any
	if err := errors.Join(yaml.Unmarshal(a.Manifest, &written), yaml.Unmarshal(encoded, &held)); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(written.Spec, held)
}
