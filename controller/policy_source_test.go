package controller

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// Keys are kept for a source that is gone, not for another one: an edit that
// names a missing source must not leave the keys of the source before under it.
func TestOnlyTheSameSourceKeepsItsKeys(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		edit func(*policy.Provider)
		kept bool
	}{
		"the same source": {func(*policy.Provider) {}, true},
		"other data keys": {func(p *policy.Provider) { p.SecretRef.Keys = []string{"current", "previous"} }, true},
		"another Secret":  {func(p *policy.Provider) { p.SecretRef.Name = "missing" }, false},
		"another issuer":  {func(p *policy.Provider) { p.Issuers = []string{"https://other.example.com"} }, false},
		"another kind":    {func(p *policy.Provider) { p.SecretRef, p.SigningKeyRef = nil, &policy.SigningKeyRef{Name: "a"} }, false},
		"a ConfigMap's keys": {func(p *policy.Provider) {
			p.SecretRef, p.LocalJWKS = nil, &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "a", Key: "k"}}
		}, false},
		"another provider too": {func(p *policy.Provider) { p.Name = "q" }, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := bundleInput{accepted: document(1, "a"), from: secretsOf(map[string]string{"a": goodSecret}), ackKey: []byte(strings.Repeat("k", ackKeyBytes))}
			first := planBundle(in)
			in.last, in.from, in.accepted = writtenAs(first), secretsOf(nil), document(2, "a")
			test.edit(&in.accepted.Spec.JWT.Providers[0])
			plan := planBundle(in)
			if plan.view.current != test.kept {
				t.Errorf("the edit is in force: %t, want %t; problems %+v", plan.view.current, test.kept, plan.refs.problems)
			}
			if got := secretIn(t, plan, "p"); got != goodSecret {
				t.Error("the policy in force has lost its key")
			}
			if says := plan.refs.problems[0]; says.kept != test.kept || says.keyless == test.kept {
				t.Errorf("problem %+v", says)
			}
		})
	}
}

// What does not fit never falls back to the keys of another source either.
func TestATooLargeSourceDoesNotTakeOverAnothersKeys(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for serial := range int64(250) {
		many.WriteString(LargeCertificate(t, serial))
	}
	first := planBundle(remoteSources(5, Certificate(t, 1)))
	in := remoteSources(5, many.String())
	in.last, in.floor = writtenAs(first), 42
	in.accepted.Generation++
	for i := range in.accepted.Spec.JWT.Providers {
		in.accepted.Spec.JWT.Providers[i].Issuers = []string{"https://other.example.com"}
	}
	if plan := planBundle(in); plan.view.current {
		t.Errorf("certificates of other issuers are in force: %+v", plan.view)
	}
}

// A provider whose last key was revoked keeps nothing, and does not say it does.
func TestAProviderThatKeepsNothingSaysSo(t *testing.T) {
	t.Parallel()
	key := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{Algorithm: "HS256"}}
	key.Status.RevokedKeyIDs = []string{"1-only"}
	spec := policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{{
		Name: "p", Algorithms: []policy.Algorithm{"HS256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "k"},
	}}}}
	last := written{file: &keyring.File{
		Providers:   map[string]keyring.FileProvider{"p": {Keys: []keyring.VerifyKey{{KID: "1-only", Alg: "HS256", K: []byte(goodSecret)}}}},
		SigningKeys: map[string]int64{"k": 3},
	}}
	last.doc = document(1, "a")
	last.doc.Spec = spec
	got := resolve(spec, sources{keys: map[string]signingSource{"k": {key: key}}}, last)
	problem := got.problems[0]
	if len(got.providers["p"].Keys) > 0 || problem.kept || problem.keyless || strings.Contains(problem.message, "keeps its last keys") {
		t.Errorf("keys %v, problem %+v", got.providers["p"].Keys, problem)
	}
	if !strings.Contains(problem.message, "revoked") {
		t.Errorf("message %q does not say why there is none", problem.message)
	}
	if got.kept() != "" {
		t.Errorf("%q counts as kept", got.kept())
	}
	if got.signingKeys["k"] != 3 {
		t.Errorf("the generation that sidecars know is forgotten: %v", got.signingKeys)
	}
}

// Where nothing but clients can make room, the youngest go, it is said, and an
// edit of the policy does not wait for it.
func TestClientsThatAreLeftOutAreToldOf(t *testing.T) {
	t.Parallel()
	crowded := func(generation int64) bundleInput {
		in := crowdedSources(t)
		in.accepted.Generation = generation
		return in
	}
	first := planBundle(crowded(1))
	if reason := reasonOf(first.refs.problems); reason != v1alpha1.ReasonTooManyAPIKeys || !first.view.current {
		t.Fatalf("first: %+v, problems %+v, %v", first.view, first.refs.problems, first.view.invalid)
	}
	for sentence, generation := range map[string]int64{"nothing changed": 1, "the policy was edited": 2} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := crowded(generation)
			in.last, in.floor = writtenAs(first), first.view.revision
			plan := planBundle(in)
			if reason := reasonOf(plan.refs.problems); reason != v1alpha1.ReasonTooManyAPIKeys {
				t.Errorf("problems %+v", plan.refs.problems)
			}
			if !plan.view.current || plan.view.invalid != nil {
				t.Errorf("%+v", plan.view)
			}
		})
	}
}

// crowdedSources are certificates and clients that do not fit into one Secret
// together.
func crowdedSources(t *testing.T) bundleInput {
	t.Helper()
	var many strings.Builder
	for serial := range int64(200) {
		many.WriteString(LargeCertificate(t, serial))
	}
	in := remoteSources(4, many.String())
	var objects []v1alpha1.APIKey
	for i := range 200 {
		objects = append(objects, edited(apiKey(fmt.Sprintf("k%04d", i), fmt.Sprintf("c%04d", i), 5000-i, i+1), func(o *v1alpha1.APIKey) {
			o.Spec.Claims = map[string]policy.ClaimText{"a": policy.ClaimText(strings.Repeat("x", 1024)), "b": policy.ClaimText(strings.Repeat("y", 1024))}
		}))
	}
	in.from.clients = judgeClients(objects, checkClient, noon)
	return in
}

// What a SigningKey exports is what is accepted: keys that went from there, as
// revoked ones do, do not live on in a policy that takes them by secretRef.
func TestAnExportWithoutKeysKeepsNone(t *testing.T) {
	t.Parallel()
	controls := true
	for sentence, test := range map[string]struct {
		label string
		owner string
		kept  bool
	}{
		"an export":                         {v1alpha1.ComponentExport, v1alpha1.KindSigningKey, false},
		"a Secret of somebody else":         {"", "", true},
		"one that only bears our label":     {v1alpha1.ComponentExport, "", true},
		"another object's, under our label": {v1alpha1.ComponentExport, "Deployment", true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := bundleInput{accepted: document(1, "a"), from: secretsOf(map[string]string{"a": goodSecret}), ackKey: []byte(strings.Repeat("k", ackKeyBytes))}
			first := planBundle(in)
			emptied := in.from.secrets["a"].DeepCopy()
			emptied.Data, emptied.Labels = nil, map[string]string{v1alpha1.LabelComponent: test.label}
			if test.owner != "" {
				emptied.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: test.owner, Name: "k", Controller: &controls}}
			}
			in.from.secrets["a"] = emptied
			if plan := planBundle(in); len(plan.refs.problems) != 1 || !plan.refs.problems[0].keyless {
				t.Errorf("with nothing before, pods wait for a key: %+v", plan.refs.problems)
			}
			in.last = writtenAs(first)
			plan := planBundle(in)
			if got := len(plan.file.Providers["p"].Keys) > 0; got != test.kept {
				t.Errorf("kept %t, want %t", got, test.kept)
			}
			if says := plan.refs.problems[0]; says.kept != test.kept || says.keyless || says.reason != v1alpha1.ReasonSecretKeyNotFound {
				t.Errorf("problem %+v", says)
			}
		})
	}
}
