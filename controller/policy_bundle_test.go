package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

const (
	goodSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
)

func TestABundleIsPlannedFromWhatIsThere(t *testing.T) {
	t.Parallel()
	in := bundleInput{
		accepted: document(1, "a"), from: secretsOf(map[string]string{"a": goodSecret}),
		floor: 41, ackKey: []byte(strings.Repeat("k", ackKeyBytes)),
	}
	first := planBundle(in)
	if want := (bundleView{revision: 42, written: true, current: true}); first.view != want {
		t.Fatalf("first plan: %+v, want %+v", first.view, want)
	}

	t.Run("nothing changed, nothing is numbered anew", func(t *testing.T) {
		t.Parallel()
		next := in
		next.last, next.floor, next.ackKey = writtenAs(first), 42, []byte(strings.Repeat("x", ackKeyBytes))
		again := planBundle(next)
		if diff := cmp.Diff(first.data, again.data); diff != "" || again.view.revision != 42 {
			t.Errorf("revision %d, data (-first +again):\n%s", again.view.revision, diff)
		}
	})
	t.Run("a bundle that was restored from a backup gets a revision that sidecars take", func(t *testing.T) {
		t.Parallel()
		next := in
		next.last, next.floor = writtenAs(first), 50
		plan := planBundle(next)
		if got := plan.view.revision; got != 51 {
			t.Errorf("revision %d, want 51", got)
		}
		if got := writtenAs(plan).since(); got != 51 {
			t.Errorf("revisions follow each other from %d on, want 51: what was loaded before is of another history", got)
		}
	})
	t.Run("a key that begins to sign is no news to a sidecar", func(t *testing.T) {
		t.Parallel()
		next := in
		next.accepted, next.from = document(1, "a"), signingOf(7, keyring.Active, keyring.Published)
		next.accepted.Spec.JWT.Providers[0].SecretRef = nil
		next.accepted.Spec.JWT.Providers[0].SigningKeyRef = &policy.SigningKeyRef{Name: "k"}
		published := planBundle(next)
		next.last = writtenAs(published)
		for sentence, test := range map[string]struct {
			from     sources
			revision int64
		}{
			"the switch":                         {signingOf(8, keyring.Retiring, keyring.Active), 42},
			"later changes than the switch":      {signingOf(9, keyring.Retiring, keyring.Active), 43},
			"the removal of the key that signed": {signingOf(8, keyring.Active), 43},
		} {
			next.from = test.from
			plan := planBundle(next)
			if plan.view.revision != test.revision || test.revision == 42 && !maps.EqualFunc(plan.data, published.data, bytes.Equal) {
				t.Errorf("%s: revision %d, want %d", sentence, plan.view.revision, test.revision)
			}
		}
	})
	t.Run("a changed key gets a higher revision", func(t *testing.T) {
		t.Parallel()
		next := in
		next.last, next.from = writtenAs(first), secretsOf(map[string]string{"a": otherSecret})
		plan := planBundle(next)
		if got, since := plan.view.revision, writtenAs(plan).since(); got != 43 || since != 42 {
			t.Errorf("revision %d since %d, want 43 since 42", got, since)
		}
		delete(next.last.secret.Annotations, v1alpha1.AnnotationBundleSince)
		if got := writtenAs(planBundle(next)).since(); got != 42 {
			t.Errorf("without a note revisions follow each other from %d on, want 42, the last", got)
		}
	})
	t.Run("a policy that is not accepted leaves the last one, with current keys", func(t *testing.T) {
		t.Parallel()
		next := in
		next.last, next.accepted, next.from = writtenAs(first), nil, secretsOf(map[string]string{"a": otherSecret})
		plan := planBundle(next)
		if diff := cmp.Diff(string(first.data["policy.json"]), string(plan.data["policy.json"])); diff != "" {
			t.Errorf("policy.json (-want +got):\n%s", diff)
		}
		if got := secretIn(t, plan, "p"); got != otherSecret || plan.view.current {
			t.Errorf("the old secret is still there, or the old policy counts as current (%v)", plan.view.current)
		}
	})
	t.Run("a reference that leads nowhere leaves the last policy, with current keys", func(t *testing.T) {
		t.Parallel()
		next := in
		next.last, next.accepted, next.from = writtenAs(first), document(2, "missing"), secretsOf(map[string]string{"a": otherSecret})
		next.accepted.Spec.JWT.Providers[0].Name = "new"
		plan := planBundle(next)
		if got := secretIn(t, plan, "p"); got != otherSecret || plan.view.current {
			t.Errorf("the last policy was not kept up to date: %+v", plan.view)
		}
		if len(plan.refs.problems) != 1 || plan.refs.problems[0].reason != v1alpha1.ReasonSecretNotFound || !plan.refs.problems[0].keyless {
			t.Errorf("problems %+v", plan.refs.problems)
		}
	})
	t.Run("the mode that is told is that of the policy in force", func(t *testing.T) {
		t.Parallel()
		audited := in
		audited.accepted = document(1, "a")
		audited.accepted.Spec.Mode = policy.ModeAudit
		plan := planBundle(audited)
		if !plan.view.audit {
			t.Errorf("audited: %+v", plan.view)
		}
		next := in
		next.last, next.accepted = writtenAs(plan), nil
		if kept := planBundle(next); !kept.view.audit {
			t.Errorf("the last policy stays in force: %+v", kept.view)
		}
		next.accepted = in.accepted
		if enforced := planBundle(next); enforced.view.audit {
			t.Errorf("enforced: %+v", enforced.view)
		}
	})
	t.Run("without any key nothing is written", func(t *testing.T) {
		t.Parallel()
		next := in
		next.from = secretsOf(nil)
		if plan := planBundle(next); plan.data != nil || plan.view.revision != 0 {
			t.Errorf("planned %+v", plan.view)
		}
	})
	t.Run("a bundle does not feed on itself", func(t *testing.T) {
		t.Parallel()
		next := in
		next.accepted, next.from = document(2, "chat.gatepost-bundle"), secretsOf(map[string]string{"chat.gatepost-bundle": goodSecret})
		plan := planBundle(next)
		if plan.data != nil || len(plan.refs.problems) != 1 || !strings.Contains(plan.refs.problems[0].message, "Gatepost's own") {
			t.Errorf("planned %+v, problems %+v", plan.view, plan.refs.problems)
		}
	})
	t.Run("a policy without keys of its own needs none", func(t *testing.T) {
		t.Parallel()
		next := in
		next.accepted = document(2, "a")
		provider := &next.accepted.Spec.JWT.Providers[0]
		provider.SecretRef, provider.Algorithms = nil, []policy.Algorithm{"RS256"}
		provider.RemoteJWKS = &policy.RemoteJWKS{URI: "https://idp.example.com/jwks"}
		if plan := planBundle(next); !plan.view.current || len(plan.refs.problems) > 0 {
			t.Errorf("planned %+v, problems %+v", plan.view, plan.refs.problems)
		}
		next.accepted.Spec = policy.Spec{}
		if plan := planBundle(next); !plan.view.current {
			t.Errorf("an empty policy: planned %+v", plan.view)
		}
	})
	t.Run("what a sidecar would refuse is not written", func(t *testing.T) {
		t.Parallel()
		next := in
		next.accepted = document(2, "a")
		next.accepted.Spec.JWT.ClaimToHeaders = []policy.ClaimToHeader{{Claim: "sub", Header: "Host"}}
		if plan := planBundle(next); plan.data != nil || plan.view.invalid == nil {
			t.Errorf("planned %+v", plan.view)
		}
	})
	t.Run("a bundle that cannot be read is made anew", func(t *testing.T) {
		t.Parallel()
		next := in
		broken := writtenAs(first).secret
		broken.Data = map[string][]byte{"policy.json": []byte("{"), "keys.json": []byte("torn")}
		next.last, next.floor = readBundle(broken), 42
		if plan := planBundle(next); plan.view.revision != 43 {
			t.Errorf("planned %+v", plan.view)
		}
	})
}

func TestKeysOfASigningKey(t *testing.T) {
	t.Parallel()
	last := &keyring.File{Providers: map[string]keyring.FileProvider{"p": {Keys: []keyring.VerifyKey{
		{KID: "1-old", Alg: "HS256", K: []byte(goodSecret)}, {KID: "2-revoked", Alg: "HS256", K: []byte(otherSecret)},
	}}}}
	state := &keyring.State{Algorithm: "HS256", Generation: 7, Keys: []keyring.Key{{
		KID: "3-new", Phase: keyring.Active, Material: keyring.Material{Value: []byte(goodSecret)},
	}}}
	key := func(algorithm policy.Algorithm) *v1alpha1.SigningKey {
		k := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{Algorithm: algorithm, MaxTokenLifetime: &policy.Duration{Duration: time.Minute}}}
		k.Status.RevokedKeyIDs = []string{"2-revoked"}
		return k
	}
	for sentence, test := range map[string]struct {
		from   map[string]signingSource
		kids   []string
		reason string
	}{
		"live keys replace the last ones": {map[string]signingSource{"k": {key: key("HS256"), state: state}}, []string{"3-new"}, ""},
		"a SigningKey that is gone keeps its last keys": {
			nil, []string{"1-old", "2-revoked"}, v1alpha1.ReasonSigningKeyNotFound,
		},
		"one whose state is lost keeps them too, but for revoked ones": {
			map[string]signingSource{"k": {key: key("HS256"), state: nil}}, []string{"1-old"}, v1alpha1.ReasonSigningKeyNotReady,
		},
		"one of another algorithm is no key of this provider": {
			map[string]signingSource{"k": {key: key("ES256"), state: state}}, []string{"1-old"}, v1alpha1.ReasonAlgorithmMismatch,
		},
		"when every key was revoked none is left": {
			map[string]signingSource{"k": {key: key("HS256"), state: &keyring.State{Algorithm: "HS256", Generation: 8}}}, nil, v1alpha1.ReasonSigningKeyNotReady,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			spec := policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{{
				Name: "p", Algorithms: []policy.Algorithm{"HS256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "k"},
			}}}}
			got := resolve(spec, sources{keys: test.from}, written{file: last, doc: &manifest.Document{Spec: spec}})
			entry, found := got.providers["p"]
			if !found || got.keyless() {
				t.Errorf("the provider counts as keyless: %+v", got.problems)
			}
			var kids []string
			for _, k := range entry.Keys {
				kids = append(kids, k.KID)
			}
			if diff := cmp.Diff(test.kids, kids); diff != "" {
				t.Errorf("kids (-want +got):\n%s", diff)
			}
			if reason := reasonOf(got.problems); reason != test.reason {
				t.Errorf("reason %q, want %q", reason, test.reason)
			}
		})
	}
}

func TestAKeySetIsSplitIntoGoodAndBadKeys(t *testing.T) {
	t.Parallel()
	const good = `{"kty":"OKP","crv":"Ed25519","kid":%q,"alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	named := func(kid string) string { return strings.Replace(good, "%q", `"`+kid+`"`, 1) }
	for sentence, test := range map[string]struct {
		text     string
		kids     []string
		warnings int
		err      string
	}{
		"good keys are kept":                {`{"keys":[` + named("a") + `,` + named("b") + `]}`, []string{"a", "b"}, 0, ""},
		"a bad key is left out":             {`{"keys":[` + named("a") + `,{"kty":"oct","k":"AAAA"}]}`, []string{"a"}, 1, ""},
		"a key that occurs twice is out":    {`{"keys":[` + named("a") + `,` + named("b") + `,` + named("a") + `]}`, []string{"b"}, 2, ""},
		"no good key at all is an error":    {`{"keys":[{"kty":"oct","k":"AAAA"}]}`, nil, 0, "no usable public key"},
		"text that is no set is an error":   {`keys`, nil, 0, "no JSON Web Key Set"},
		"a key that is a number is refused": {`{"keys":[1]}`, nil, 0, "no usable public key"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			keys, warnings, err := publicKeys(test.text)
			var kids []string
			for _, k := range keys {
				kids = append(kids, k.KID)
			}
			if !slices.Equal(kids, test.kids) || len(warnings) != test.warnings {
				t.Errorf("kids %v, warnings %v", kids, warnings)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}

func document(generation int64, secret string) *manifest.Document {
	return &manifest.Document{Name: "chat", Namespace: "agents", Generation: generation, Spec: policy.Spec{
		JWT: &policy.JWT{Providers: []policy.Provider{{
			Name: "p", Algorithms: []policy.Algorithm{"HS256"}, SecretRef: &policy.SecretRef{Name: secret, Keys: []string{"current"}},
		}}},
	}}
}

func secretsOf(values map[string]string) sources {
	from := sources{secrets: map[string]*corev1.Secret{}}
	for name, value := range values {
		from.secrets[name] = &corev1.Secret{Data: map[string][]byte{"current": []byte(value)}}
	}
	return from
}

// signingOf is the SigningKey k with keys 1-a, 2-b and so on in these phases.
func signingOf(generation int64, phases ...keyring.Phase) sources {
	state := &keyring.State{Algorithm: "HS256", Generation: generation}
	for i, phase := range phases {
		state.Keys = append(state.Keys, keyring.Key{
			KID: fmt.Sprintf("%d-%c", i+1, 'a'+i), Phase: phase, Generation: int64(i + 1),
			Material: keyring.Material{Value: []byte(fmt.Sprintf("%s%d", goodSecret, i))},
		})
	}
	key := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{Algorithm: "HS256"}}
	return sources{keys: map[string]signingSource{"k": {key: key, state: state}}}
}

func writtenAs(plan bundlePlan) written {
	return readBundle(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "chat.gatepost-bundle", Annotations: maps.Clone(plan.notes)}, Data: plan.data})
}

func secretIn(t *testing.T, plan bundlePlan, provider string) string {
	t.Helper()
	file, err := keyring.ParseFile(plan.data["keys.json"])
	if err != nil {
		t.Fatalf("%v in %s", err, json.RawMessage(plan.data["keys.json"]))
	}
	keys := file.Providers[provider].Keys
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	return string(keys[0].K)
}

func reasonOf(problems []refProblem) string {
	if len(problems) == 0 {
		return ""
	}
	return problems[0].reason
}
