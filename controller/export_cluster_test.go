//go:build cluster

package controller_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// exportShows waits until the probe finds nothing wrong with an exported Secret.
func exportShows(t *testing.T, key *v1alpha1.SigningKey, probe func(*corev1.Secret) string) {
	t.Helper()
	eventually(t, func() string {
		secret := secretOf(t, key.Namespace, key.Spec.ExportTo.SecretName)
		if secret == nil {
			return "there is no export"
		}
		return probe(secret)
	})
}

// dataKeys compares the names of a Secret's data keys.
func dataKeys(secret *corev1.Secret, want ...string) string {
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(got, want) {
		return fmt.Sprintf("data keys %v, want %v", got, want)
	}
	return ""
}

// A signer finds what it signs with, what comes next and what was before, each
// with its id, through a whole rotation, and a reloader its annotations.
func TestAnExportFollowsARotation(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.PrePublish, key.Spec.Rotation.RetireAfter = seconds(3600), seconds(3600) // until the test has seen it
	key.Spec.ExportTo.Annotations = map[string]string{"reloader.stakater.com/match": "true"}
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	always := []string{"current", "current.kid", "JWT_SECRET"}
	exportShows(t, key, func(s *corev1.Secret) string {
		if s.Annotations["reloader.stakater.com/match"] != "true" {
			return "the annotation is missing"
		}
		return dataKeys(s, always...)
	})
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	first := secretOf(t, ns, "tokens-export")
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	var next *corev1.Secret
	exportShows(t, key, func(s *corev1.Secret) string {
		next = s
		return dataKeys(s, append([]string{"next", "next.kid"}, always...)...)
	})
	if !bytes.Equal(next.Data["current"], first.Data["current"]) {
		t.Error("the signer got a key that is only published")
	}
	change(t, key, func(key *v1alpha1.SigningKey) { key.Spec.Rotation.PrePublish = seconds(1) })
	exportShows(t, key, func(s *corev1.Secret) string {
		if bad := dataKeys(s, append([]string{"previous", "previous.kid"}, always...)...); bad != "" {
			return bad
		}
		for now, was := range map[string]*corev1.Secret{"current": next, "previous": first} {
			from := map[string]string{"current": "next", "previous": "current"}[now]
			if !bytes.Equal(s.Data[now], was.Data[from]) || !bytes.Equal(s.Data[now+".kid"], was.Data[from+".kid"]) {
				return now + " is not what " + from + " was"
			}
		}
		return ""
	})
	if s := secretOf(t, ns, "tokens-export"); !bytes.Equal(s.Data["JWT_SECRET"], s.Data["current"]) {
		t.Error("the value under its own name is not the current one")
	}
	change(t, key, func(key *v1alpha1.SigningKey) {
		key.Spec.ExportTo.ValueKey = "SECRET"
		key.Spec.ExportTo.Annotations = map[string]string{"other.example.com/reload": "yes"}
	})
	exportShows(t, key, func(s *corev1.Secret) string {
		if s.Annotations["other.example.com/reload"] != "yes" || s.Annotations["reloader.stakater.com/match"] != "" {
			return fmt.Sprintf("annotations %v", s.Annotations)
		}
		if _, old := s.Data["JWT_SECRET"]; old || !bytes.Equal(s.Data["SECRET"], s.Data["current"]) {
			return "the value is not under its new name alone"
		}
		return ""
	})
}

// Somebody's edit of the exported Secret does not last: signers would sign with
// what no verifier accepts.
func TestAnEditedExportIsMended(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	var before *corev1.Secret
	exportShows(t, key, func(s *corev1.Secret) string { before = s; return dataKeys(s, "current", "current.kid", "JWT_SECRET") })
	change(t, before.DeepCopy(), func(s *corev1.Secret) {
		s.Data["current"], s.Data["JWT_SECRET"] = []byte("somebody else's idea of a secret"), nil
	})
	exportShows(t, key, func(s *corev1.Secret) string {
		if !maps.EqualFunc(s.Data, before.Data, bytes.Equal) {
			return "it is not mended"
		}
		return ""
	})
}

// Of asymmetric keys the signer gets the private half of the active one alone,
// and everybody the public halves of all live ones.
func TestAnExportOfAsymmetricKeys(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	key.Spec.Algorithm, key.Spec.ExportTo.ValueKey = "ES256", ""
	create(t, key)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	rotateAndWait(t, key)
	exportShows(t, key, func(s *corev1.Secret) string {
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal(s.Data["jwks.json"], &set); err != nil {
			return err.Error()
		}
		if string(s.Data[v1alpha1.ExportCurrentKID]) != key.Status.ActiveKeyID || len(set.Keys) != 2 || set.Keys[0]["kid"] != key.Status.ActiveKeyID || set.Keys[0]["use"] != "sig" {
			return fmt.Sprintf("the set holds %v", set.Keys)
		}
		if strings.Contains(string(s.Data["jwks.json"]), `"d"`) || !strings.HasPrefix(string(s.Data["current"]), "-----BEGIN PRIVATE KEY-----") {
			return "a private key is where none belongs, or none where it does"
		}
		return dataKeys(s, "current", "current.kid", "jwks.json")
	})
}

// A changed imported value has arrived when the last pod accepts it, and what it
// replaced goes on being accepted.
func TestAnImportedValueHasArrivedWhenTheLastPodHasIt(t *testing.T) {
	t.Parallel()
	const old, fresh = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	ns := world.cluster.Namespace(t)
	secret := secretWith(ns, "laravel", map[string]string{"JWT_SECRET": old})
	create(t, secret)
	key := loopKey(ns)
	key.Spec.ExportTo = nil
	key.Spec.Source = v1alpha1.KeySource{Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "laravel", Key: "JWT_SECRET"}}
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	first := key.Status.ActiveKeyID
	pods := podsOf(t, ns, 3)
	pods[0].Hold(true)
	began := time.Now()
	change(t, secret, func(secret *corev1.Secret) { secret.StringData = map[string]string{"JWT_SECRET": fresh} })
	keyShows(t, key, func() string {
		if got := verifiersOf(key, key.Status.ActiveKeyID); key.Status.ActiveKeyID == first || got != "2/3 "+pods[0].Name {
			return got
		}
		return ""
	})
	second := key.Status.ActiveKeyID
	acknowledged := func() bool {
		return slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool { return k.KID == second && k.AcknowledgedTime != nil })
	}
	time.Sleep(2 * time.Second)
	keyShows(t, key, func() string { return "" })
	if acknowledged() {
		t.Fatal("it counts as arrived although a pod lacks it")
	}
	pods[0].Hold(false)
	keyShows(t, key, func() string {
		if !acknowledged() || key.Status.LastImportPropagation == nil {
			return "it has not arrived"
		}
		return ""
	})
	if took := key.Status.LastImportPropagation.Duration; took < 2*time.Second || took > time.Since(began) {
		t.Errorf("it took %s, of which a pod was held back for at least 2s, and the test %s", took, time.Since(began))
	}
	for _, pod := range pods {
		if !pod.Knows(first) || !pod.Knows(second) {
			t.Errorf("pod %s does not accept both the value before (%t) and the new one (%t)", pod.Name, pod.Knows(first), pod.Knows(second))
		}
	}
}
