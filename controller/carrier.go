package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// carrier is a bundle that holds keys of one SigningKey, or is about to, and the
// pods under it.
type carrier struct {
	generation int64
	keys       []keyring.VerifyKey
	untold     int      // pods that were not told of the bundle's revision
	verifiers  []string // pods whose sidecar has started at least once
}

// readCarriers finds the bundles of the namespace that hold keys of the
// SigningKey.
func (r *keyReconciler) readCarriers(ctx context.Context, key *v1alpha1.SigningKey, policies []v1alpha1.AgentAuthPolicy) ([]carrier, error) {
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(key.Namespace)); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	var carriers []carrier
	for i := range policies {
		secret, err := liveSecret(ctx, r.client, key.Namespace, v1alpha1.BundleName(policies[i].Name))
		if err != nil {
			return nil, err
		}
		if foreign(secret, &policies[i]) {
			continue
		}
		found, holds := carrierOf(readBundle(secret), key.Name, pods.Items)
		if holds || secret != nil && expected(&policies[i], key.Name) {
			carriers = append(carriers, found)
		}
	}
	return carriers, nil
}

// expected reports whether a bundle that does not hold the key yet is about to:
// its policy refers to it, and nothing else keeps the policy out of force.
func expected(p *v1alpha1.AgentAuthPolicy, key string) bool {
	refers := refersTo(p, func(provider *policy.Provider) bool {
		return provider.SigningKeyRef != nil && provider.SigningKeyRef.Name == key
	})
	if !refers || p.Status.ObservedGeneration < p.Generation {
		return refers
	}
	programmed := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionProgrammed)
	return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionAccepted) &&
		programmed != nil && programmed.Reason != v1alpha1.ReasonRefsUnresolved
}

// carrierOf reports what a bundle holds of a SigningKey.
func carrierOf(bundle written, key string, pods []corev1.Pod) (carrier, bool) {
	if bundle.file == nil || bundle.doc == nil {
		return carrier{}, false
	}
	generation, holds := bundle.file.SigningKeys[key]
	found := carrier{generation: generation, keys: bundle.keysOf(key)}
	for i := range pods {
		pod := &pods[i]
		if !living(pod) || bundleOf(pod) != bundle.secret.Name {
			continue
		}
		if !toldOf(pod, bundle.file.Revision) {
			found.untold++
		}
		if started(statusOf(pod.Status.InitContainerStatuses, v1alpha1.ContainerName)) {
			found.verifiers = append(found.verifiers, pod.Name)
		}
	}
	return found, holds
}

// keysOf are the keys that the bundle's providers have of a SigningKey.
func (w written) keysOf(key string) []keyring.VerifyKey {
	if w.doc.Spec.JWT == nil {
		return nil
	}
	var keys []keyring.VerifyKey
	for _, provider := range w.doc.Spec.JWT.Providers {
		if provider.SigningKeyRef != nil && provider.SigningKeyRef.Name == key {
			keys = append(keys, w.file.Providers[provider.Name].Keys...)
		}
	}
	return keys
}

// started reports whether a container ran at least once; a verifier is one that
// did, ready or not (decision 18).
func started(status *corev1.ContainerStatus) bool {
	return status != nil && (status.State.Running != nil || status.State.Terminated != nil ||
		status.LastTerminationState.Terminated != nil || status.RestartCount > 0)
}

// distributed is the lowest generation that every carrier holds and told its
// pods of. A bundle that lacks a key of the state does not count as holding it,
// whatever generation it names: it may stem from an earlier SigningKey.
func distributed(carriers []carrier, state *keyring.State) int64 {
	lowest := int64(keyring.Everywhere)
	for _, c := range carriers {
		lowest = min(lowest, c.holds(state))
	}
	return lowest
}

func (c carrier) holds(state *keyring.State) int64 {
	if c.untold > 0 {
		return 0
	}
	if state == nil {
		return c.generation
	}
	held := c.generation
	for _, key := range state.Keys {
		if !slices.ContainsFunc(c.keys, func(in keyring.VerifyKey) bool { return in.KID == key.KID }) {
			held = min(held, key.Generation-1)
		}
	}
	return held
}

// memory is what the status and the bundles remember of a set. An object
// without a status remembers nothing: what bundles hold is then an earlier
// object's.
func (w keyWorld) memory() keyring.Memory {
	status := w.key.Status
	if status.KeyGeneration == 0 {
		return keyring.Memory{}
	}
	witnesses := []keyring.Witness{{Generation: status.KeyGeneration, ActiveKID: status.ActiveKeyID, Revoked: status.RevokedKeyIDs}}
	for _, key := range status.Keys {
		witnesses[0].Live = append(witnesses[0].Live, key.KID)
	}
	for _, c := range w.carriers {
		bundle := keyring.Witness{Generation: c.generation, Keys: c.keys}
		for _, key := range c.keys {
			bundle.Live = append(bundle.Live, key.KID)
		}
		witnesses = append(witnesses, bundle)
	}
	return keyring.Recall(witnesses...)
}

// verifiers are the pods that verify with the set. None acknowledges yet.
func (w keyWorld) verifiers() []keyring.Verifier {
	var verifiers []keyring.Verifier
	for _, c := range w.carriers {
		for _, name := range c.verifiers {
			verifiers = append(verifiers, keyring.Verifier{Name: name})
		}
	}
	return verifiers
}
