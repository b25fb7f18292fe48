package controller

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// issuedWith is an issuer that signs with the SigningKey k.
func issuedWith(generation int64) *manifest.IssuerDocument {
	return &manifest.IssuerDocument{Name: "auth", Namespace: "school", Generation: generation, Spec: grant.Spec{
		Issuer: "https://auth.example.com", SigningKeyRef: policy.SigningKeyRef{Name: "k"}, Audiences: []string{"https://chat.example.com"},
		Grants: []grant.Grant{grant.GrantSession}, Session: &grant.Session{Anonymous: &grant.Anonymous{RateLimit: "5/m"}},
	}}
}

// signedBy is signingOf for our own issuers.
func signedBy(generation int64, phases ...keyring.Phase) sources {
	from := signingOf(generation, phases...)
	from.keys["k"].key.Spec.Signer = v1alpha1.SignerIssuer
	return from
}

func issuerWrittenAs(plan issuerPlan) writtenIssuer {
	return readIssuerBundle(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "auth.gatepost-issuer", Annotations: maps.Clone(plan.notes)}, Data: plan.data,
	})
}

func reasons(plan issuerPlan) string {
	var list []string
	for _, problem := range plan.refs.problems {
		list = append(list, problem.reason)
	}
	return strings.Join(list, " ")
}

func TestTheBundleOfAnIssuerIsPlannedFromWhatIsThere(t *testing.T) {
	t.Parallel()
	in := issuerInput{
		accepted: issuedWith(1), from: signedBy(7, keyring.Active, keyring.Published), floor: 41,
		ackKey: bytes.Repeat([]byte{1}, ackKeyBytes), now: noon,
	}
	first := planIssuer(in)
	if first.view.revision != 42 || first.signer == nil || first.signer.KID != "1-a" || reasons(first) != "" {
		t.Fatalf("revision %d, signs with %v, problems %q", first.view.revision, first.signer, reasons(first))
	}
	in.last, in.ackKey = issuerWrittenAs(first), bytes.Repeat([]byte{2}, ackKeyBytes)
	external := signedBy(8, keyring.Active)
	external.keys["k"].key.Spec.Signer = v1alpha1.SignerExternal
	revoked := signedBy(9, keyring.Published)
	revoked.keys["k"].state.Keys[0].KID = "2-b"
	revoked.keys["k"].state.Revoked = []keyring.Revocation{{KID: "1-a", Generation: 9}}
	gone := sources{keys: map[string]signingSource{"k": {key: &v1alpha1.SigningKey{
		Spec:   v1alpha1.SigningKeySpec{Algorithm: "HS256", Signer: v1alpha1.SignerIssuer},
		Status: v1alpha1.SigningKeyStatus{RevokedKeyIDs: []string{"1-a"}},
	}}}}
	capped := signedBy(7, keyring.Active, keyring.Published)
	capped.keys["k"].key.Spec.MaxTokenLifetime = &policy.Duration{Duration: time.Minute}
	for sentence, test := range map[string]struct {
		edit     func(*issuerInput)
		revision int64
		signs    string
		problem  string
		current  bool
	}{
		"nothing changed":                            {func(*issuerInput) {}, 42, "1-a", "", true},
		"the next key signs":                         {func(in *issuerInput) { in.from = signedBy(8, keyring.Retiring, keyring.Active) }, 43, "2-b", "", true},
		"the key was revoked and none signs yet":     {func(in *issuerInput) { in.from = revoked }, 43, "", "", true},
		"a spec that is not accepted, and a new key": {func(in *issuerInput) { in.accepted, in.from = nil, signedBy(8, keyring.Retiring, keyring.Active) }, 43, "2-b", "", false},
		"the SigningKey is gone":                     {func(in *issuerInput) { in.from = sources{} }, 42, "1-a", v1alpha1.ReasonSigningKeyNotFound, true},
		"its state is lost, and its key was revoked": {func(in *issuerInput) { in.from = gone }, 43, "", v1alpha1.ReasonSigningKeyNotReady, true},
		"it is for signers outside now":              {func(in *issuerInput) { in.from = external }, 42, "1-a", v1alpha1.ReasonSignerIsExternal, true},
		"its cap went below what tokens live for":    {func(in *issuerInput) { in.from = capped }, 43, "1-a", v1alpha1.ReasonTokenLifetimeTooLong, true},
		"an older bundle was put back":               {func(in *issuerInput) { in.floor = 50 }, 51, "1-a", "", true},
		"another SigningKey that is not there": {func(in *issuerInput) {
			in.accepted = issuedWith(2)
			in.accepted.Spec.SigningKeyRef.Name = "other"
		}, 42, "1-a", v1alpha1.ReasonSigningKeyNotFound, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			next := in
			test.edit(&next)
			plan := planIssuer(next)
			if plan.view.revision != test.revision || plan.signer == nil || plan.signer.KID != test.signs || reasons(plan) != test.problem || plan.view.current != test.current {
				t.Fatalf("revision %d, signs with %v, problems %q, current %v: %v", plan.view.revision, plan.signer, reasons(plan), plan.view.current, plan.view.invalid)
			}
			made, err := issuing.Load(issuing.Files(plan.data), bundle.Options{Now: noon, InForce: bundle.Facts{Revision: 42, AckKey: []byte(in.last.file.AckKey)}})
			if err != nil {
				t.Fatalf("a pod that has the last one refuses it: %v", err)
			}
			if made.Signer.Key.KID != test.signs {
				t.Errorf("a pod signs with %q", made.Signer.Key.KID)
			}
			if test.signs != "1-a" && bytes.Contains(plan.data[v1alpha1.IssuerSignerKey], []byte("1-a")) {
				t.Error("the key that signs no more is still with the signer")
			}
		})
	}
}

// The capped tokens live as long as verifiers accept them, and no longer.
func TestTokensLiveNoLongerThanTheirKeyAllows(t *testing.T) {
	t.Parallel()
	for lifetime, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, time.Second: grant.MinTokenLifetime, time.Hour: 2 * time.Minute} {
		from := signedBy(7, keyring.Active)
		from.keys["k"].key.Spec.MaxTokenLifetime = &policy.Duration{Duration: lifetime}
		plan := planIssuer(issuerInput{accepted: issuedWith(1), from: from, ackKey: bytes.Repeat([]byte{1}, ackKeyBytes), now: noon})
		made, err := issuing.Load(issuing.Files(plan.data), bundle.Options{Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		if got := made.Plan.Spec().TokenLifetime.Duration; got != want {
			t.Errorf("under a cap of %s tokens live for %s, want %s", lifetime, got, want)
		}
	}
}

// A key waits for the bundle of an issuer only while somebody will write it.
func TestAKeyWaitsForBundlesThatWillBeWritten(t *testing.T) {
	t.Parallel()
	issuer := func(edit func(*v1alpha1.TokenIssuer)) *v1alpha1.TokenIssuer {
		one := &v1alpha1.TokenIssuer{ObjectMeta: metav1.ObjectMeta{Name: "auth", Generation: 2}, Spec: issuedWith(2).Spec}
		edit(one)
		return one
	}
	failing := func(reason string) func(*v1alpha1.TokenIssuer) {
		return func(i *v1alpha1.TokenIssuer) {
			i.Status.ObservedGeneration = 2
			i.Status.Conditions = setConditions(nil, 2, fails(v1alpha1.ConditionReady, reason, "why"))
		}
	}
	for sentence, test := range map[string]struct {
		issuer *v1alpha1.TokenIssuer
		want   bool
	}{
		"one that was not looked at yet":        {issuer(func(*v1alpha1.TokenIssuer) {}), true},
		"one of another key":                    {issuer(func(i *v1alpha1.TokenIssuer) { i.Spec.SigningKeyRef.Name = "other" }), false},
		"one whose pods are not ready":          {issuer(failing(v1alpha1.ReasonReplicasNotReady)), true},
		"one whose key is not there yet":        {issuer(failing(v1alpha1.ReasonSigningKeyNotReady)), true},
		"one whose users are missing":           {issuer(failing(v1alpha1.ReasonSecretNotFound)), false},
		"one whose bundle is somebody else's":   {issuer(failing(v1alpha1.ReasonBundleConflict)), false},
		"one that is deleted and kept by a tie": {issuer(func(i *v1alpha1.TokenIssuer) { i.DeletionTimestamp = &metav1.Time{Time: noon} }), false},
	} {
		if got := expectedOfIssuer(test.issuer, "k"); got != test.want {
			t.Errorf("%s: %v", sentence, got)
		}
	}
}
