package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// owned describes a Secret that the controller keeps for one of its objects.
type owned struct {
	owner       client.Object
	kind        string // of the owner
	name        string
	component   string
	annotations map[string]string
	data        map[string][]byte
}

// foreign reports whether a Secret exists that is not the owner's, and so must
// neither be read nor written.
func foreign(secret *corev1.Secret, owner client.Object) bool {
	return secret != nil && !metav1.IsControlledBy(secret, owner)
}

// reserved reports whether a name is that of a bundle, a policy's or an issuer's,
// or a state. Nobody takes secrets from one: a bundle would feed on itself.
func reserved(name string) bool {
	return strings.HasSuffix(name, v1alpha1.BundleSuffix) || strings.HasSuffix(name, v1alpha1.StateSuffix) ||
		strings.HasSuffix(name, v1alpha1.IssuerSuffix)
}

// ownerReference makes the garbage collector delete the Secret with its owner.
// It does not block the owner's deletion: that would need rights on finalizers.
func (o owned) ownerReference() metav1.OwnerReference {
	controls := true
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: o.kind,
		Name: o.owner.GetName(), UID: o.owner.GetUID(), Controller: &controls,
	}
}

// labels are a fresh map each time: clients keep what they are given.
func (o owned) labels() map[string]string {
	return map[string]string{v1alpha1.LabelComponent: o.component}
}

// object is the whole Secret, for Create and Update.
func (o owned) object() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.name, Namespace: o.owner.GetNamespace(), Labels: o.labels(),
			OwnerReferences: []metav1.OwnerReference{o.ownerReference()},
		},
		Type: corev1.SecretTypeOpaque,
		Data: o.data,
	}
}

// current reports whether the Secret is already as described. One to which
// somebody added data is not, and applying to it changes nothing.
func (o owned) current(secret *corev1.Secret) bool {
	return secret != nil && secret.Labels[v1alpha1.LabelComponent] == o.component &&
		contains(secret.Annotations, o.annotations, func(a, b string) bool { return a == b }) &&
		maps.EqualFunc(secret.Data, o.data, slices.Equal[[]byte])
}

func contains[V any](have, want map[string]V, equal func(V, V) bool) bool {
	for name, value := range want {
		if got, found := have[name]; !found || !equal(got, value) {
			return false
		}
	}
	return true
}

// apply makes the Secret as described, by server-side apply with our field
// owner, so that a key that is no longer described goes away and what others
// own stays. existing is what a live read just found (nil: nothing). A Secret
// that does not exist is created empty first: apply alone would adopt one that
// somebody else creates in between. The write is on condition that the Secret is
// still the one that was read: a leader that was paused must not bring back what
// its successor has replaced. The caller has ruled out foreign Secrets.
func (o owned) apply(ctx context.Context, writer client.Client, existing *corev1.Secret) error {
	if o.current(existing) {
		return nil
	}
	if existing == nil {
		existing = owned{owner: o.owner, kind: o.kind, name: o.name, component: o.component}.object()
		if err := writer.Create(ctx, existing); err != nil {
			return fmt.Errorf("creating secret %s: %w", o.name, err)
		}
	}
	reference := o.ownerReference()
	patch := corev1ac.Secret(o.name, o.owner.GetNamespace()).
		WithUID(existing.UID).
		WithResourceVersion(existing.ResourceVersion).
		WithType(corev1.SecretTypeOpaque).
		WithLabels(o.labels()).
		WithAnnotations(o.annotations).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(reference.APIVersion).WithKind(reference.Kind).
			WithName(reference.Name).WithUID(reference.UID).WithController(true)).
		WithData(o.data)
	if err := writer.Apply(ctx, patch, client.ForceOwnership); err != nil {
		return fmt.Errorf("applying secret %s: %w", o.name, err)
	}
	return nil
}

// liveSecret fetches a Secret from the API server; nil when there is none.
func liveSecret(ctx context.Context, reader client.Reader, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", name, err)
	}
	return &secret, nil
}

// yields turns errors that mean "the world moved on, plan again" into none: a
// namespace that is going away takes no new objects, and a lost race is settled
// by the event of the write that won it.
func yields(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// lostRace reports a write that came second.
func lostRace(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// dissolves reports whether the garbage collector is deleting what an object owns,
// and then the object: nothing of it is to be written any more. One that somebody
// else's finalizer keeps is still looked after.
func dissolves(object client.Object) bool {
	return object.GetDeletionTimestamp() != nil && slices.Contains(object.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// refusalOf names, in a word of the API server's and without anything that was
// written, why it will not take a write however often it is tried; empty: it may.
func refusalOf(err error) string {
	if yields(err) {
		return ""
	}
	reason := apierrors.ReasonForError(err)
	final := []metav1.StatusReason{
		metav1.StatusReasonInvalid, metav1.StatusReasonForbidden, metav1.StatusReasonBadRequest, metav1.StatusReasonRequestEntityTooLarge,
	}
	if !slices.Contains(final, reason) {
		return ""
	}
	return string(reason)
}
