//go:build cluster

package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

const (
	ready    = v1alpha1.ConditionReady
	rotating = v1alpha1.ConditionRotating
	degraded = v1alpha1.ConditionDegraded
	yes      = metav1.ConditionTrue
	no       = metav1.ConditionFalse
)

func TestAGeneratedSecretIsMadeAndExported(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	eventually(t, func() string {
		export := secretOf(t, ns, "tokens-export")
		if export == nil {
			return "no export"
		}
		switch {
		case len(export.Data["current"]) < 32:
			return "the secret is short or missing"
		case !bytes.Equal(export.Data["current"], export.Data["JWT_SECRET"]):
			return "the value under its own name differs"
		case string(export.Data[v1alpha1.ExportCurrentKID]) != key.Status.ActiveKeyID:
			return "the key id is another"
		case export.Labels[v1alpha1.LabelComponent] != v1alpha1.ComponentExport || !metav1.IsControlledBy(export, key):
			return "it is not marked as ours"
		}
		return ""
	})
	state := secretOf(t, ns, "tokens.gatepost-state")
	if state.Labels[v1alpha1.LabelComponent] != v1alpha1.ComponentState || !metav1.IsControlledBy(state, key) {
		t.Errorf("the state Secret is not marked as ours: %v", state.ObjectMeta)
	}
	hasEvent(t, key, "KeyActivated", "signs from now on")
	isNowhere(t, ns, secretOf(t, ns, "tokens-export").Data["current"])
}

// isNowhere fails if a secret is in an object that people without rights on
// Secrets may read.
func isNowhere(t *testing.T, namespace string, secret []byte) {
	t.Helper()
	for _, kind := range []string{"events", "signingkeys", "agentauthpolicies", "pods", "configmaps"} {
		out, err := world.cluster.Kubectl(t.Context(), "get", kind, "-n", namespace, "-o", "yaml")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out, string(secret)) {
			t.Errorf("the secret is in %s", kind)
		}
	}
}

func TestAnAsymmetricKeyIsExportedForItsSigner(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			ns := world.cluster.Namespace(t)
			key := signingKey(ns, "tokens")
			key.Spec.Algorithm = policy.Algorithm(algorithm)
			p := agentPolicy(ns, "chat", bySigningKey("tokens"))
			p.Spec.JWT.Providers[0].Algorithms = append(p.Spec.JWT.Providers[0].Algorithms[:0], key.Spec.Algorithm)
			create(t, key)
			create(t, p)
			keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
			policyHas(t, p, v1alpha1.ConditionResolvedRefs, yes, v1alpha1.ReasonResolvedRefs)
			eventually(t, func() string {
				export := secretOf(t, ns, "tokens-export")
				if export == nil || !bytes.HasPrefix(export.Data["current"], []byte("-----BEGIN PRIVATE KEY-----")) {
					return "the private key is not there"
				}
				if !bytes.Contains(export.Data["jwks.json"], []byte(key.Status.ActiveKeyID)) {
					return "the public key is not there"
				}
				return ""
			})
			_, file, _ := bundleOf(t, p)
			for _, k := range file.Providers["tokens"].Keys {
				if len(k.K) > 0 || bytes.Contains(k.JWK, []byte(`"d"`)) {
					t.Error("the bundle holds a private key")
				}
			}
		})
	}
}

// A key goes through its phases, and at every moment the key that signers read
// is one that the bundle holds.
func TestAScheduledRotationOverlaps(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := quickKey(ns, "tokens")
	key.Spec.Rotation.Interval = seconds(5)
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, p)
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	policyHas(t, p, v1alpha1.ConditionProgrammed, yes, v1alpha1.ReasonProgrammed)

	lives := map[string][]string{} // kid: phases in the order seen
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !lived(lives); time.Sleep(50 * time.Millisecond) {
		if signer, kids, both := together(t, key, p); both && signer != "" && !slices.Contains(kids, signer) {
			t.Fatalf("signers use %s, the bundle holds %v", signer, kids)
		}
		active := 0
		present := map[string]bool{}
		for _, k := range stateOf(t, key).Keys {
			present[k.KID] = true
			if phases := lives[k.KID]; len(phases) == 0 || phases[len(phases)-1] != string(k.Phase) {
				lives[k.KID] = append(phases, string(k.Phase))
			}
			if k.Phase == keyring.Active {
				active++
			}
		}
		if active != 1 {
			t.Fatalf("%d keys are active", active)
		}
		for kid, phases := range lives {
			if !present[kid] && phases[len(phases)-1] != "gone" {
				lives[kid] = append(phases, "gone")
			}
		}
	}
	if !lived(lives) {
		t.Errorf("no key was seen to be Published, Active, Retiring and gone in this order: %v", lives)
	}
}

func lived(lives map[string][]string) bool {
	for _, phases := range lives {
		if slices.Equal(phases, []string{"Published", "Active", "Retiring", "gone"}) {
			return true
		}
	}
	return false
}

func TestRotateNowIsCarriedOutOnceForEachValue(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := quickKey(ns, "tokens")
	create(t, key)
	create(t, agentPolicy(ns, "chat", bySigningKey("tokens")))
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	first := key.Status.ActiveKeyID

	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	var second string
	eventually(t, func() string {
		keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
		if second = key.Status.ActiveKeyID; second == first {
			return "the first key still signs"
		}
		return ""
	})
	keyHas(t, key, rotating, no, v1alpha1.ReasonIdle)
	if key.Status.ActiveKeyID != second || len(key.Status.Keys) != 1 {
		t.Errorf("after one request there are keys %v, want only %s", key.Status.Keys, second)
	}
}

func TestASuspendedKeyDoesNotRotateAndCanBeRevoked(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.Suspend = true
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	keyHas(t, key, rotating, no, v1alpha1.ReasonSuspended)
	policyHas(t, p, v1alpha1.ConditionProgrammed, yes, v1alpha1.ReasonProgrammed)
	first := key.Status.ActiveKeyID
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	annotate(t, key, v1alpha1.AnnotationRevokeKey, "no such key")
	keyHas(t, key, degraded, yes, v1alpha1.ReasonUnknownKeyToRevoke) // so the annotations have been looked at
	if key.Status.ActiveKeyID != first || len(key.Status.Keys) != 1 {
		t.Errorf("a suspended key rotated: %v", key.Status.Keys)
	}

	annotate(t, key, v1alpha1.AnnotationRevokeKey, first)
	eventually(t, func() string {
		if slices.Contains(kidsOf(t, p), first) {
			return "the bundle still holds the revoked key"
		}
		if export := secretOf(t, ns, "tokens-export"); string(export.Data[v1alpha1.ExportCurrentKID]) == first {
			return "the export still holds the revoked key"
		}
		return ""
	})
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	if !slices.Contains(key.Status.RevokedKeyIDs, first) || key.Status.ActiveKeyID == first {
		t.Errorf("status %+v", key.Status)
	}
	hasEvent(t, key, "KeyRevoked", first)
}

func TestADeletedExportComesBack(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	var before *corev1.Secret
	eventually(t, func() string {
		if before = secretOf(t, ns, "tokens-export"); before == nil || len(before.Data) == 0 {
			return "no export"
		}
		return ""
	})
	remove(t, before.DeepCopy())
	eventually(t, func() string {
		after := secretOf(t, ns, "tokens-export")
		if after == nil || after.UID == before.UID || !bytes.Equal(after.Data["current"], before.Data["current"]) {
			return "it is not back"
		}
		return ""
	})
}

func TestAnExportThatIsNoLongerAskedForIsEmptied(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	eventually(t, func() string {
		if export := secretOf(t, ns, "tokens-export"); export == nil || len(export.Data) == 0 {
			return "no export"
		}
		return ""
	})
	change(t, key, func(key *v1alpha1.SigningKey) { key.Spec.ExportTo.SecretName = "elsewhere" })
	eventually(t, func() string {
		if export := secretOf(t, ns, "elsewhere"); export == nil || len(export.Data["current"]) == 0 {
			return "the new export is not there"
		}
		if old := secretOf(t, ns, "tokens-export"); len(old.Data) > 0 {
			return "the old export still holds a key"
		}
		return ""
	})
}

func TestASecretThatIsNotOursIsNeverAdopted(t *testing.T) {
	t.Parallel()
	t.Run("as export", func(t *testing.T) {
		t.Parallel()
		ns := world.cluster.Namespace(t)
		create(t, secretWith(ns, "tokens-export", map[string]string{"current": "somebody else's"}))
		key := signingKey(ns, "tokens")
		create(t, key)
		keyHas(t, key, degraded, yes, v1alpha1.ReasonExportConflict)
		hasEvent(t, key, v1alpha1.ReasonExportConflict, "delete it or change spec.exportTo.secretName")
		if got := secretOf(t, ns, "tokens-export"); string(got.Data["current"]) != "somebody else's" || len(got.Data) != 1 || len(got.OwnerReferences) > 0 {
			t.Errorf("the Secret was touched: %v", got.ObjectMeta)
		}
		remove(t, secretOf(t, ns, "tokens-export"))
		keyHas(t, key, degraded, no, v1alpha1.ReasonHealthy)
	})
	t.Run("as state", func(t *testing.T) {
		t.Parallel()
		ns := world.cluster.Namespace(t)
		create(t, secretWith(ns, "tokens.gatepost-state", map[string]string{"state.json": "{}"}))
		key := signingKey(ns, "tokens")
		create(t, key)
		keyHas(t, key, ready, no, v1alpha1.ReasonStateConflict)
		if got := secretOf(t, ns, "tokens.gatepost-state"); string(got.Data["state.json"]) != "{}" || len(got.OwnerReferences) > 0 {
			t.Errorf("the Secret was touched: %v", got.ObjectMeta)
		}
		remove(t, secretOf(t, ns, "tokens.gatepost-state"))
		keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	})
}

func TestWhatIsNotSafeMakesNoKey(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.MaxTokenLifetime = seconds(2) // with the margins, more than the overlap
	create(t, key)
	keyHas(t, key, ready, no, v1alpha1.ReasonUnsafeRotation)
	hasEvent(t, key, v1alpha1.ReasonUnsafeRotation, "spec.rotation.retireAfter")
	if state := secretOf(t, ns, "tokens.gatepost-state"); state != nil {
		t.Error("a key was made")
	}
}

func TestImportedSecretsAreCheckedAndFollowed(t *testing.T) {
	t.Parallel()
	const good, better = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	ns := world.cluster.Namespace(t)
	key := quickKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	key.Spec.ExportTo = nil
	key.Spec.Source = v1alpha1.KeySource{Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "laravel", Key: "JWT_SECRET"}}
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	keyHas(t, key, ready, no, v1alpha1.ReasonSecretNotFound)
	policyHas(t, p, v1alpha1.ConditionResolvedRefs, no, v1alpha1.ReasonSigningKeyNotReady)

	secret := secretWith(ns, "laravel", map[string]string{"OTHER": good})
	create(t, secret)
	keyHas(t, key, ready, no, v1alpha1.ReasonSecretKeyNotFound)
	set := func(value string) {
		change(t, secret, func(secret *corev1.Secret) { secret.StringData = map[string]string{"JWT_SECRET": value} })
	}
	set("short")
	keyHas(t, key, ready, no, v1alpha1.ReasonSecretTooShort)
	set("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n")
	keyHas(t, key, ready, no, v1alpha1.ReasonSecretLooksLikeKey)
	if state := stateOf(t, key); state != nil {
		t.Errorf("a bad value was imported: %d keys", len(state.Keys))
	}

	set(good)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	policyHas(t, p, v1alpha1.ConditionResolvedRefs, yes, v1alpha1.ReasonResolvedRefs)
	first := key.Status.ActiveKeyID
	set("short again")
	keyHas(t, key, ready, no, v1alpha1.ReasonSecretTooShort)
	if kids := kidsOf(t, p); !slices.Equal(kids, []string{first}) {
		t.Errorf("a bad value took keys away: the bundle holds %v, want %s", kids, first)
	}
	set(better + "\n")
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	hasEvent(t, key, "KeyImported", "line break")
	eventually(t, func() string {
		keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
		if kids := kidsOf(t, p); !slices.Equal(kids, []string{key.Status.ActiveKeyID, first}) {
			return "the bundle does not hold the new and the old key"
		}
		return ""
	})
	change(t, key, func(key *v1alpha1.SigningKey) { key.Spec.Rotation.RetireAfter = seconds(3) })
	eventually(t, func() string {
		if kids := kidsOf(t, p); len(kids) != 1 || kids[0] == first {
			return "the old key is still there"
		}
		return ""
	})
	isNowhere(t, ns, []byte(better))
}

// A state that was lost is no reason to refuse anybody: what bundles hold stays
// accepted, and a fresh key takes over.
func TestALostStateIsRebuilt(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	policyHas(t, p, v1alpha1.ConditionProgrammed, yes, v1alpha1.ReasonProgrammed)
	first := key.Status.ActiveKeyID
	remove(t, secretOf(t, ns, "tokens.gatepost-state"))
	keyHas(t, key, ready, no, v1alpha1.ReasonStateLost)
	eventually(t, func() string {
		kids := kidsOf(t, p)
		if !slices.Contains(kids, first) {
			t.Fatalf("the bundle lost key %s: %v", first, kids)
		}
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		if active := key.Status.ActiveKeyID; active == "" || active == first || len(kids) != 2 {
			return "no fresh key signs"
		}
		return ""
	})
}

// Putting an old state Secret back resurrects neither a revoked nor a removed
// key.
func TestARestoredStateIsRebuilt(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := quickKey(ns, "tokens")
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, p)
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	first := key.Status.ActiveKeyID
	old := secretOf(t, ns, "tokens.gatepost-state")
	rotateAndWait(t, key)
	second := key.Status.ActiveKeyID
	annotate(t, key, v1alpha1.AnnotationRevokeKey, second)
	eventually(t, func() string {
		if kids := kidsOf(t, p); slices.Contains(kids, first) || slices.Contains(kids, second) {
			return fmt.Sprintf("the bundle holds %v", kids)
		}
		keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
		return ""
	})
	generation := key.Status.KeyGeneration
	backup := old.DeepCopy()
	change(t, backup, func(secret *corev1.Secret) { secret.Data = old.Data })
	eventually(t, func() string {
		if kids := kidsOf(t, p); slices.Contains(kids, first) || slices.Contains(kids, second) {
			t.Fatalf("the bundle holds %v, which has %s (removed) or %s (revoked)", kids, first, second)
		}
		if state := stateOf(t, key); state.Generation <= generation {
			return fmt.Sprintf("the state is of generation %d", state.Generation)
		}
		return ""
	})
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	if kids := kidsOf(t, p); slices.Contains(kids, first) || slices.Contains(kids, second) {
		t.Errorf("the bundle holds %v, which has %s (removed) or %s (revoked)", kids, first, second)
	}
	hasEvent(t, key, v1alpha1.ReasonRegressed, "restored")
}

// With nextKey, a change of the imported value finds its successor accepted
// already.
func TestTheNextImportedValueIsAcceptedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	const now, next = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	ns := world.cluster.Namespace(t)
	secret := secretWith(ns, "laravel", map[string]string{"NOW": now, "NEXT": next})
	create(t, secret)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	key.Spec.ExportTo = nil
	key.Spec.Source = v1alpha1.KeySource{
		Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "laravel", Key: "NOW", NextKey: "NEXT"},
	}
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	keyHas(t, key, rotating, yes, v1alpha1.ReasonPrePublishing)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	before := kidsOf(t, p)
	if len(before) != 2 {
		t.Fatalf("the bundle holds %v, want the value of now and the next", before)
	}
	change(t, secret, func(secret *corev1.Secret) { secret.StringData = map[string]string{"NOW": next} })
	eventually(t, func() string {
		keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
		if key.Status.ActiveKeyID != before[1] {
			return "the next value does not count as active"
		}
		return ""
	})
	if kids := kidsOf(t, p); !slices.Contains(kids, before[0]) {
		t.Errorf("the value before is gone at once: %v", kids)
	}
}

func TestAStateThatCannotBeReadIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	policyHas(t, p, v1alpha1.ConditionProgrammed, yes, v1alpha1.ReasonProgrammed)
	good := secretOf(t, ns, "tokens.gatepost-state")
	kids := kidsOf(t, p)
	broken := good.DeepCopy()
	change(t, broken, func(secret *corev1.Secret) { secret.Data["state.json"] = []byte("torn") })
	keyHas(t, key, ready, no, v1alpha1.ReasonStateInvalid)
	if got := secretOf(t, ns, "tokens.gatepost-state"); string(got.Data["state.json"]) != "torn" {
		t.Error("the state was overwritten")
	}
	if got := kidsOf(t, p); !slices.Equal(got, kids) {
		t.Errorf("the bundle holds %v, want %v", got, kids)
	}
	change(t, broken, func(secret *corev1.Secret) { secret.Data = good.Data })
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
}

// Two controllers that both think they lead make one key, because the state is
// one Secret with a precondition.
func TestTwoLeadersMakeOneKey(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	wait, err := startController(ctx, world.cluster, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		if err := wait(); err != nil {
			t.Error(err)
		}
	}()
	ns := world.cluster.Namespace(t)
	names := []string{"a", "b", "c", "d", "e", "f"}
	p := agentPolicy(ns, "chat", bySigningKey("a"))
	p.Spec.JWT.Providers = nil
	keys := map[string]*v1alpha1.SigningKey{}
	for _, name := range names {
		p.Spec.JWT.Providers = append(p.Spec.JWT.Providers, policy.Provider{
			Name: name, Algorithms: []policy.Algorithm{"HS256"}, ClockSkew: seconds(0), SigningKeyRef: &policy.SigningKeyRef{Name: name},
		})
		keys[name] = quickKey(ns, name)
		create(t, keys[name])
	}
	create(t, p)
	for round := range 2 {
		for _, name := range names {
			keyHas(t, keys[name], ready, yes, v1alpha1.ReasonReady)
			keyHas(t, keys[name], rotating, no, v1alpha1.ReasonIdle)
			state := stateOf(t, keys[name])
			if len(state.Keys) != 1 || state.Keys[0].Phase != keyring.Active {
				data, _ := json.Marshal(keys[name].Status)
				t.Errorf("round %d: key %s: want one active key: %s", round, name, data)
			}
			rotateAndWait(t, keys[name])
		}
	}
}

func rotateAndWait(t *testing.T, key *v1alpha1.SigningKey) {
	t.Helper()
	before := key.Status.ActiveKeyID
	annotate(t, key, v1alpha1.AnnotationRotateNow, before)
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		if key.Status.ActiveKeyID == before {
			return "the old key still signs"
		}
		return ""
	})
}
