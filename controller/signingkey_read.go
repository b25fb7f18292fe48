package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// stateKey is the state Secret's one data key.
const stateKey = "state.json"

// keyWorld is everything read for one SigningKey.
type keyWorld struct {
	key      *v1alpha1.SigningKey
	secret   *corev1.Secret // the state's; nil: there is none
	state    *keyring.State // nil: there is none, or it cannot be read
	stateErr error
	export   *corev1.Secret // nil: there is none, or none is asked for
	stale    []string       // names of Secrets that were exported to and no longer are
	imported *corev1.Secret // nil: there is none, or none is asked for
	carriers []carrier
	orphans  orphans
	issuing  issuance
	skew     time.Duration
	margin   time.Duration // how long nobody may have watched without a doubt
	strict   bool          // keys come and go by proof (waitForVerifiers)
	peopled  time.Time     // since when there have been verifiers; zero: there are none
	now      time.Time
	memo     *keyMemo
}

// readState reads a state Secret.
func readState(secret *corev1.Secret) (*keyring.State, error) {
	return keyring.ParseState(secret.Data[stateKey])
}

// read gathers everything one SigningKey depends on: other objects from the
// cache, Secrets live.
func (r *keyReconciler) read(ctx context.Context, key *v1alpha1.SigningKey) (keyWorld, error) {
	world := keyWorld{
		key: key, margin: r.bounds.RetireMargin, strict: keySpec(key).WaitForVerifiers, now: r.now(),
		memo: r.memos.of(client.ObjectKeyFromObject(key), key.UID),
	}
	if err := r.readSecrets(ctx, &world); err != nil {
		return world, err
	}
	var policies v1alpha1.AgentAuthPolicyList
	if err := r.client.List(ctx, &policies, client.InNamespace(key.Namespace)); err != nil {
		return world, fmt.Errorf("listing policies: %w", err)
	}
	var issuers v1alpha1.TokenIssuerList
	if err := r.client.List(ctx, &issuers, client.InNamespace(key.Namespace)); err != nil {
		return world, fmt.Errorf("listing issuers: %w", err)
	}
	verifying := slices.Clone(policies.Items)
	for i := range issuers.Items {
		verifying = append(verifying, *standIn(&issuers.Items[i]))
	}
	world.skew = largestSkew(verifying, key.Name)
	var err error
	if world.stale, err = r.staleExports(ctx, key); err != nil {
		return world, err
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return world, fmt.Errorf("listing pods: %w", err)
	}
	if world.carriers, world.orphans, err = r.readCarriers(ctx, key, policies.Items, pods.Items); err != nil {
		return world, err
	}
	world.issuing, err = r.readIssuers(ctx, key, issuers.Items, pods.Items)
	if err == nil {
		world.memo.heardOf(world.issuing.signers, world.now)
	}
	world.carriers = append(world.carriers, world.issuing.carriers...)
	world.peopled = world.memo.peopledSince(world.tallied() > 0, world.now)
	return world, err
}

func (r *keyReconciler) readSecrets(ctx context.Context, world *keyWorld) error {
	key := world.key
	var err error
	if world.secret, err = liveSecret(ctx, r.client, key.Namespace, v1alpha1.StateName(key.Name)); err != nil {
		return err
	}
	if world.secret != nil && !foreign(world.secret, key) {
		world.state, world.stateErr = readState(world.secret)
	}
	if to := key.Spec.ExportTo; to != nil {
		if world.export, err = liveSecret(ctx, r.client, key.Namespace, to.SecretName); err != nil {
			return err
		}
	}
	if from := key.Spec.Source.SecretRef; from != nil {
		world.imported, err = liveSecret(ctx, r.client, key.Namespace, from.Name)
	}
	return err
}

// staleExports names the Secrets that this key was exported to before its spec
// changed.
func (r *keyReconciler) staleExports(ctx context.Context, key *v1alpha1.SigningKey) ([]string, error) {
	secrets := metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := r.cache.List(ctx, &secrets, client.InNamespace(key.Namespace),
		client.MatchingLabels{v1alpha1.LabelComponent: v1alpha1.ComponentExport})
	if err != nil {
		return nil, fmt.Errorf("listing exported secrets: %w", err)
	}
	var names []string
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		current := key.Spec.ExportTo != nil && key.Spec.ExportTo.SecretName == secret.Name
		if !current && metav1.IsControlledBy(secret, key) {
			names = append(names, secret.Name)
		}
	}
	return names, nil
}
