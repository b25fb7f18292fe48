package corpus_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/corpus"
)

// spec reads a policy without judging it, so that an invalid one can be given to
// Compile itself.
func document(t *testing.T, a *corpus.Archive) manifest.Document {
	t.Helper()
	doc, err := manifest.Parse(a.Policy())
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return doc
}

func TestPolicyCorpusEngine(t *testing.T) {
	cases, disagreements := 0, 0
	for _, a := range corpus.Load(t) {
		t.Run(a.Name, func(t *testing.T) {
			if !a.Valid() {
				cases++
				disagreements += refusal(t, a)
				return
			}
			doc := document(t, a)
			p, err := policy.Compile(doc.Spec)
			if err != nil {
				t.Fatalf("Compile: %v", err)
			}
			for i := range a.Cases {
				cases++
				got, err := a.Cases[i].Decide(p, doc.APIKeys)
				if err != nil {
					t.Fatal(err)
				}
				if differs := a.Cases[i].Disagrees(got); differs != "" {
					disagreements++
					t.Error(differs)
				}
			}
		})
	}
	if cases < 300 {
		t.Errorf("only %d cases: the corpus is not whole", cases)
	}
	corpus.Figure("policy_corpus_cases", cases, "cases")
	corpus.Figure("policy_corpus_engine_disagreements", disagreements, "cases")
}

// refusal compares the errors of a policy that is not valid.
func refusal(t *testing.T, a *corpus.Archive) int {
	t.Helper()
	_, err := manifest.Parse(a.Policy())
	if err == nil {
		t.Errorf("Parse accepts it, want %q", a.Errors)
		return 1
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(a.Errors)), details(err)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
		return 1
	}
	return 0
}

func TestPolicyCorpusIsWhole(t *testing.T) {
	archives := corpus.Load(t)
	if len(archives) < 60 {
		t.Errorf("%d archives, want at least 60", len(archives))
	}
	reasons := map[policy.Reason]bool{}
	for _, a := range archives {
		names := map[string]bool{}
		for i := range a.Cases {
			c := &a.Cases[i]
			reasons[c.Expect.Reason] = true
			if names[c.Name] || c.Name == "" {
				t.Errorf("%s: a second case %q", a.Name, c.Name)
			}
			names[c.Name] = true
			if _, ok := a.Twin(i); !ok && !c.Expect.Reason.Allows() && a.NoTwin == "" {
				t.Errorf("%s: %q has no honest twin", a.Name, c.Name)
			}
		}
	}
	for _, reason := range []policy.Reason{
		policy.OK, policy.Exempt, policy.MissingCredential, policy.InsufficientScope, policy.RuleDenied, policy.BadRequest, policy.MethodNotAllowed,
	} {
		if !reasons[reason] {
			t.Errorf("no case ends with %s", reason)
		}
	}
}
