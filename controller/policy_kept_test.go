package controller

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// publicJWK is a public key with this id and further members.
func publicJWK(kid, more string) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"%s}`, kid, more)
}

func keySetOf(keys ...string) map[string]*corev1.ConfigMap {
	return map[string]*corev1.ConfigMap{"set": {Data: map[string]string{"jwks": `{"keys":[` + strings.Join(keys, ",") + `]}`}}}
}

// manySources is a policy with a provider of every kind and a client; revoked:
// the SigningKey's first key is revoked and the client suspended.
func manySources(revoked bool) bundleInput {
	doc := document(1, "a")
	doc.Spec.APIKeyAuth = &policy.APIKeyAuth{}
	doc.Spec.JWT.Providers = append(doc.Spec.JWT.Providers,
		policy.Provider{Name: "pub", Algorithms: []policy.Algorithm{"EdDSA"}, LocalJWKS: &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "set", Key: "jwks"}}},
		policy.Provider{Name: "own", Algorithms: []policy.Algorithm{"HS256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}})
	from := secretsOf(map[string]string{"a": goodSecret})
	from.configMaps = keySetOf(publicJWK("k1", ""))
	state := &keyring.State{Algorithm: "HS256", Generation: 7, Keys: []keyring.Key{{KID: "1-stolen", Phase: keyring.Active, Material: keyring.Material{Value: []byte(goodSecret)}}}}
	key := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{Algorithm: "HS256", MaxTokenLifetime: &policy.Duration{Duration: time.Minute}}}
	if revoked {
		state.Generation, state.Keys[0].KID = 8, "2-new"
		key.Status.RevokedKeyIDs = []string{"1-stolen"}
	}
	from.keys = map[string]signingSource{"k": {key: key, state: state}}
	from.clients = judgeClients([]v1alpha1.APIKey{edited(apiKey("c", "crm", 1, 1), func(o *v1alpha1.APIKey) { o.Spec.Suspend = revoked })}, checkClient, noon)
	return bundleInput{accepted: doc, from: from, floor: 41, ackKey: []byte(strings.Repeat("k", ackKeyBytes))}
}

func kidsIn(file keyring.File, provider string) string {
	var kids []string
	for _, key := range file.Providers[provider].Keys {
		kids = append(kids, key.KID)
	}
	return strings.Join(kids, " ")
}

func TestABadSourceStopsNoRevocation(t *testing.T) {
	t.Parallel()
	first := planBundle(manySources(false))
	var hundred []string
	for i := range 101 {
		hundred = append(hundred, publicJWK(fmt.Sprint("k", i), ""))
	}
	secret := func(data map[string][]byte) func(*bundleInput) {
		return func(in *bundleInput) { in.from.secrets["a"] = &corev1.Secret{Data: data} }
	}
	set := func(keys ...string) func(*bundleInput) {
		return func(in *bundleInput) { in.from.configMaps = keySetOf(keys...) }
	}
	long := strings.Repeat("x", 300)
	for sentence, test := range map[string]struct {
		change func(*bundleInput)
		p, pub string // the key ids that are in force
		reason string
		says   string
	}{
		"nothing is wrong":                    {func(*bundleInput) {}, "current", "k1", "", ""},
		"a set of 101 keys":                   {set(hundred...), "current", "k1", v1alpha1.ReasonInvalidKeySet, "provider pub keeps its last keys"},
		"a key with an id of 300 bytes":       {set(publicJWK(long, "")), "current", "k1", v1alpha1.ReasonInvalidKeySet, "provider pub keeps its last keys"},
		"one such key beside a good one":      {set(publicJWK("k2", ""), publicJWK(long, "")), "current", "k2", "", ""},
		"a member nested 20 deep is left out": {set(publicJWK("k2", `,"note":`+strings.Repeat("[", 20)+strings.Repeat("]", 20))), "current", "k2", "", ""},
		"a comment of a megabyte is left out": {set(publicJWK("k2", `,"note":"`+strings.Repeat("x", 1000<<10)+`"`)), "current", "k2", "", ""},
		"a secret with an id of 300 bytes":    {secret(map[string][]byte{"current": []byte(otherSecret), "current.kid": []byte(long)}), "current", "k1", v1alpha1.ReasonInvalidKeySet, "provider p keeps its last keys"},
		"a short secret under a new id":       {secret(map[string][]byte{"current": []byte("short"), "current.kid": []byte("new")}), "current", "k1", v1alpha1.ReasonSecretTooShort, "provider p keeps its last keys"},
		"a Secret that is gone":               {func(in *bundleInput) { in.from.secrets = nil }, "current", "k1", v1alpha1.ReasonSecretNotFound, "provider p keeps its last keys"},
		"two data keys under one id": {func(in *bundleInput) {
			in.accepted.Spec.JWT.Providers[0].SecretRef.Keys = []string{"current", "previous"}
			in.from.secrets["a"] = &corev1.Secret{Data: map[string][]byte{"current": []byte(goodSecret), "previous": []byte(otherSecret), "current.kid": []byte("previous")}}
		}, "current", "k1", v1alpha1.ReasonInvalidKeySet, "provider p keeps its last keys"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			in := manySources(true)
			in.last, in.floor = writtenAs(first), 42
			test.change(&in)
			accepted := in.accepted
			for _, doc := range []bool{true, false} { // under an invalid edit of the policy too
				if in.accepted = nil; doc {
					in.accepted = accepted
				}
				plan := planBundle(in)
				file, err := keyring.ParseFile(plan.data["keys.json"])
				if err != nil {
					t.Fatalf("%v, %v", err, plan.view.invalid)
				}
				if len(file.APIKeys) > 0 || kidsIn(file, "own") != "2-new" {
					t.Errorf("still in force: %d clients, keys %s", len(file.APIKeys), kidsIn(file, "own"))
				}
				if doc && (kidsIn(file, "p") != test.p || kidsIn(file, "pub") != test.pub) {
					t.Errorf("keys %s and %s, want %s and %s", kidsIn(file, "p"), kidsIn(file, "pub"), test.p, test.pub)
				}
				view := policyView{bundle: plan.view, refs: plan.refs.problems}
				if !doc {
					continue
				}
				got := view.resolution()
				if test.reason == "" != (got.status == metav1.ConditionTrue) || test.reason != "" && got.reason != test.reason || !strings.Contains(got.message, test.says) {
					t.Errorf("ResolvedRefs %+v", got)
				}
				if said := view.programming(); strings.Contains(said.message, "503") || test.reason != "" && !strings.Contains(said.message, "last keys stay") {
					t.Errorf("Programmed %+v", said)
				}
			}
		})
	}
}

// remoteSources is a policy with so many key servers that share one ConfigMap.
func remoteSources(servers int, certificates string) bundleInput {
	in := manySources(false)
	for i := range servers {
		in.accepted.Spec.JWT.Providers = append(in.accepted.Spec.JWT.Providers, policy.Provider{
			Name: fmt.Sprint("r", i), Algorithms: []policy.Algorithm{"ES256"},
			RemoteJWKS: &policy.RemoteJWKS{URI: "https://a.example/j", CABundleRef: &policy.CABundleRef{Name: "ca", Key: "ca.crt"}},
		})
	}
	in.from.configMaps["ca"] = &corev1.ConfigMap{Data: map[string]string{"ca.crt": certificates}}
	return in
}

func TestOnlyCertificatesAreStored(t *testing.T) {
	t.Parallel()
	one := Certificate(t, 1)
	plan := planBundle(remoteSources(5, strings.Repeat("# "+strings.Repeat("x", 70)+"\n", 3400)+one+one))
	file, err := keyring.ParseFile(plan.data["keys.json"])
	if err != nil {
		t.Fatalf("%v, %v", err, plan.view.invalid)
	}
	if got := file.Providers["r4"].CABundle; got != one {
		t.Errorf("%d bytes are stored, the certificate has %d", len(got), len(one))
	}
}

// Where the sources together do not fit, the largest new ones wait.
func TestWhatDoesNotFitStopsNoRevocation(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for serial := range int64(250) {
		many.WriteString(LargeCertificate(t, serial))
	}
	for sentence, test := range map[string]struct {
		refused bool // the policy was edited, and the edit is invalid
	}{"under the policy": {}, "under an invalid edit": {true}} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			first := planBundle(remoteSources(5, Certificate(t, 1)))
			in := remoteSources(5, many.String())
			revoked := manySources(true)
			in.from.keys, in.from.clients = revoked.from.keys, revoked.from.clients
			in.last, in.floor = writtenAs(first), 42
			if test.refused {
				in.accepted = nil
			}
			plan := planBundle(in)
			file, err := keyring.ParseFile(plan.data["keys.json"])
			if err != nil {
				t.Fatalf("%v, %v", err, plan.view.invalid)
			}
			if len(file.APIKeys) > 0 || kidsIn(file, "own") != "2-new" {
				t.Errorf("still in force: %d clients, keys %s", len(file.APIKeys), kidsIn(file, "own"))
			}
			if total := len(plan.data["keys.json"]) + len(plan.data["policy.json"]); total > 1<<20 {
				t.Errorf("%d bytes are more than a Secret holds", total)
			}
			if !slices.ContainsFunc(plan.refs.problems, func(p refProblem) bool {
				return p.reason == v1alpha1.ReasonBundleTooLarge && p.kept && strings.Contains(p.message, p.provider)
			}) {
				t.Errorf("problems %+v", plan.refs.problems)
			}
		})
	}
}

func TestProgrammedSaysWhatIsInForce(t *testing.T) {
	t.Parallel()
	keyless := []refProblem{{provider: "laravel", keyless: true}}
	for sentence, test := range map[string]struct {
		view policyView
		says string
	}{
		"an invalid edit, and the last policy's keys are current": {
			policyView{invalid: errors.New("bad"), bundle: bundleView{revision: 7, written: true}}, "stays in force, with current keys",
		},
		"an invalid edit, and one provider keeps its keys": {
			policyView{invalid: errors.New("bad"), bundle: bundleView{revision: 7, written: true, kept: "pub"}}, "the last keys stay in force of providers: pub",
		},
		"an invalid edit, and nothing could be written": {
			policyView{invalid: errors.New("bad"), bundle: bundleView{revision: 7}}, "key updates and revocations wait",
		},
		"a provider without a key before there is a bundle": {
			policyView{refs: keyless}, "pods that mount the bundle wait",
		},
		"a provider without a key while the last policy goes on": {
			policyView{refs: keyless, bundle: bundleView{revision: 7, written: true}}, "the last policy stays in force, with current keys",
		},
		"a bundle that a sidecar would refuse": {
			policyView{bundle: bundleView{revision: 7, invalid: errors.New("bad")}}, "key updates and revocations wait",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := test.view.programming()
			if got.status != metav1.ConditionFalse || !strings.Contains(got.message, test.says) || strings.Contains(got.message, "503") {
				t.Errorf("%+v, want %q", got, test.says)
			}
		})
	}
}

func TestSigningKeysHaveRoomOfTheirOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		provider policy.Provider
		fits     bool
	}{
		"keys of a SigningKey": {policy.Provider{Name: "own", SigningKeyRef: &policy.SigningKeyRef{Name: "k"}}, true},
		"keys of a Secret":     {policy.Provider{Name: "own", SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			doc := &manifest.Document{Spec: policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{tc.provider}}}}
			refs := resolution{providers: map[string]keyring.FileProvider{"own": {Keys: []keyring.VerifyKey{
				{KID: "1-new", Alg: "HS256", K: []byte(strings.Repeat(goodSecret, 8))},
			}}}}
			if err := (bundleInput{}).fit(doc, &refs, maxBundleBytes-64, false); (err == nil) != tc.fits {
				t.Errorf("in a bundle that is full otherwise: %v, want that they fit: %t", err, tc.fits)
			}
		})
	}
}

// Certificates are written anew, and lines of 64 letters take more room than one.
func TestCertificatesThatGrowStopNoRevocation(t *testing.T) {
	first := planBundle(remoteSources(1, certificate(t, &x509.Certificate{SerialNumber: big.NewInt(1)})))
	var text strings.Builder
	for serial := int64(2); ; serial++ {
		one := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{strings.Repeat("x", 526)}})
		head, rest, _ := strings.Cut(one, "-----\n")
		body, foot, _ := strings.Cut(rest, "-----END")
		one = head + "-----\n" + strings.ReplaceAll(body, "\n", "") + "\n-----END" + foot
		if text.Len()+len(one) > 256<<10 {
			break
		}
		text.WriteString(one)
	}
	in := remoteSources(1, text.String())
	in.last, in.floor = writtenAs(first), 42
	plan := planBundle(in)
	if plan.data == nil || plan.view.invalid != nil {
		t.Fatalf("nothing is written: %v", plan.view.invalid)
	}
	if len(plan.refs.problems) != 1 || plan.refs.problems[0].reason != v1alpha1.ReasonInvalidCABundle {
		t.Errorf("problems = %+v, want one, InvalidCABundle", plan.refs.problems)
	}
}
