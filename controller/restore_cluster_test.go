//go:build cluster

package controller_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// backup is what etcd holds of a key and its policy at one moment.
type backup struct {
	key           *v1alpha1.SigningKey
	policy        *v1alpha1.AgentAuthPolicy
	state, bundle *corev1.Secret
}

func takeBackup(t *testing.T, key *v1alpha1.SigningKey, p *v1alpha1.AgentAuthPolicy) backup {
	t.Helper()
	for _, object := range []client.Object{key, p} {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
	}
	return backup{
		key.DeepCopy(), p.DeepCopy(),
		secretOf(t, key.Namespace, v1alpha1.StateName(key.Name)), secretOf(t, p.Namespace, v1alpha1.BundleName(p.Name)),
	}
}

// restore puts everything back while no controller runs.
func (b backup) restore(t *testing.T) {
	t.Helper()
	for _, secret := range []*corev1.Secret{b.state, b.bundle} {
		change(t, &corev1.Secret{ObjectMeta: secret.ObjectMeta}, func(now *corev1.Secret) { now.Data = secret.Data })
	}
	key, p := b.key.DeepCopy(), b.policy.DeepCopy()
	change(t, key, func(now *v1alpha1.SigningKey) { now.Annotations = b.key.Annotations })
	putStatus(t, key, func() { key.Status = b.key.Status })
	putStatus(t, p, func() { p.Status = b.policy.Status })
}

func putStatus(t *testing.T, object client.Object, edit func()) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		edit()
		err := world.api.Status().Update(t.Context(), object)
		if apierrors.IsConflict(err) {
			return err.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		return ""
	})
}

// After a restore of the whole cluster only the sidecars remember what happened
// since. The controller takes it from them, before they take anything from it.
func TestARestoredClusterLearnsFromItsSidecars(t *testing.T) {
	key, p, pods := guarded(t, 3)
	first := key.Status.ActiveKeyID
	before := takeBackup(t, key, p)

	rotateAndWait(t, key)
	annotate(t, key, v1alpha1.AnnotationConfirmSigner, key.Status.ActiveKeyID)
	keyHas(t, key, rotating, no, v1alpha1.ReasonIdle)
	second := key.Status.ActiveKeyID
	annotate(t, key, v1alpha1.AnnotationRevokeKey, second)
	keyShows(t, key, func() string {
		if last := key.Status.LastRevocation; last == nil || last.AcknowledgedTime == nil || key.Status.ActiveKeyID == second || key.Status.ActiveKeyID == "" {
			return "the revocation is not complete"
		}
		return ""
	})
	keyHas(t, key, rotating, no, v1alpha1.ReasonIdle)
	after := takeBackup(t, key, p)

	if err := world.stop(); err != nil {
		t.Fatal(err)
	}
	before.restore(t)
	if err := world.start(); err != nil {
		t.Fatal(err)
	}
	keyShows(t, key, func() string {
		for _, pod := range pods {
			if pod.Knows(first) || pod.Knows(second) {
				t.Fatalf("pod %s accepts %s (removed) or %s (revoked) again", pod.Name, first, second)
			}
		}
		return learned(t, key, p, after, pods)
	})
	if kids := kidsOf(t, p); slices.Contains(kids, second) || slices.Contains(kids, first) {
		t.Errorf("the bundle holds %v, of which %s was removed and %s revoked", kids, first, second)
	}
	hasEvent(t, key, v1alpha1.ReasonRegressed, "restored")
}

// learned says what the controller has not taken over yet.
func learned(t *testing.T, key *v1alpha1.SigningKey, p *v1alpha1.AgentAuthPolicy, after backup, pods []*fleet.Pod) string {
	t.Helper()
	_, file, _ := bundleOf(t, p)
	switch state := stateOf(t, key); {
	case state.Generation <= after.key.Status.KeyGeneration:
		return fmt.Sprintf("the state is of generation %d", state.Generation)
	case !slices.Contains(key.Status.RevokedKeyIDs, after.key.Status.RevokedKeyIDs[0]):
		return fmt.Sprintf("the revocation of %v is forgotten: status %v, state of generation %d %+v, bundle of revision %d, before %d, revoked %v, generations %v",
			after.key.Status.RevokedKeyIDs, key.Status.RevokedKeyIDs, state.Generation, state.Revoked, file.Revision, after.policy.Status.BundleRevision, file.Revoked, file.SigningKeys)
	case file.Revision <= after.policy.Status.BundleRevision:
		return fmt.Sprintf("the bundle has revision %d, sidecars had %d", file.Revision, after.policy.Status.BundleRevision)
	case key.Status.ActiveKeyID == "":
		return "no key signs"
	}
	for _, pod := range pods {
		if pod.Revision() < file.Revision || !pod.Knows(key.Status.ActiveKeyID) {
			return "pod " + pod.Name + " is not up to date"
		}
	}
	return ""
}
