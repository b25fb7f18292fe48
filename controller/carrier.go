package controller

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// carrier is a bundle that holds keys of one SigningKey, or is about to, or of
// which sidecars still do, and the pods under it.
type carrier struct {
	name       string // the bundle's
	revision   int64
	since      int64 // the revision from which on each followed from the one before
	generation int64
	keys       []keyring.VerifyKey
	mounted    bool     // some living pod mounts it
	untold     []string // pods that were not told of the bundle's revision
	verifiers  []verifier
	report     rollcall.Report
	seen       recollection
}

// verifier is a pod whose sidecar has started at least once, and what it proved.
type verifier struct {
	name   string
	answer rollcall.Answer // zero: none yet
}

// readCarriers finds the bundles of the namespace that hold keys of the
// SigningKey, and the pods whose bundle is nobody's any more. Bundles that cannot
// hold any are not fetched.
func (r *keyReconciler) readCarriers(ctx context.Context, key *v1alpha1.SigningKey, policies []v1alpha1.AgentAuthPolicy, pods []corev1.Pod) ([]carrier, orphans, error) {
	var carriers []carrier
	kept := map[string]rollcall.Report{}
	for i := range policies {
		p := &policies[i]
		report := r.switchboard.roll.Report(bundleKey(p))
		if !mayCarry(p, key, report) {
			kept[v1alpha1.BundleName(p.Name)] = report
			continue
		}
		secret, err := liveSecret(ctx, r.client, key.Namespace, v1alpha1.BundleName(p.Name))
		if err != nil {
			return nil, nil, err
		}
		if secret == nil || foreign(secret, p) {
			continue
		}
		kept[v1alpha1.BundleName(p.Name)] = report
		found, holds := carrierOf(readBundle(secret), key.Name, report)
		if holds || expected(p, key) || found.seen.named[key.Name] > 0 {
			found.name = v1alpha1.BundleName(p.Name)
			r.switchboard.nudger.overlay(bundleKey(p), pods)
			found.attend(pods)
			carriers = append(carriers, found)
		}
	}
	return carriers, r.readOrphans(key, pods, carriers, kept), nil
}

// mayCarry reports whether a policy's bundle may hold keys of a SigningKey: it
// refers to it, its sidecars know it, or an older edition of it may be in force.
func mayCarry(p *v1alpha1.AgentAuthPolicy, key *v1alpha1.SigningKey, report rollcall.Report) bool {
	if refersTo(p, func(provider *policy.Provider) bool { return refersToKey(provider, key.Name) }) {
		return true
	}
	inForce := p.Status.ObservedGeneration >= p.Generation &&
		meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionAccepted) &&
		meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionProgrammed)
	return !inForce || recall(report, 0).named[key.Name] > 0
}

func refersToKey(provider *policy.Provider, key string) bool {
	return provider.SigningKeyRef != nil && provider.SigningKeyRef.Name == key
}

// expected reports whether a bundle that does not hold the key yet is about to:
// its policy refers to it with the key's algorithm, and nothing else keeps the
// policy out of force. That of one that is being deleted, and that somebody's
// finalizer keeps, stays as it is.
func expected(p *v1alpha1.AgentAuthPolicy, key *v1alpha1.SigningKey) bool {
	refers := refersTo(p, func(provider *policy.Provider) bool {
		return refersToKey(provider, key.Name) && slices.Contains(provider.Algorithms, key.Spec.Algorithm)
	})
	if !refers || p.DeletionTimestamp != nil {
		return false
	}
	if p.Status.ObservedGeneration < p.Generation {
		return true
	}
	programmed := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionProgrammed)
	return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionAccepted) &&
		programmed != nil && !slices.Contains(unwritable, programmed.Reason)
}

// unwritable are the reasons of Programmed for which a bundle stays as it is.
var unwritable = []string{v1alpha1.ReasonRefsUnresolved, v1alpha1.ReasonBundleInvalid, v1alpha1.ReasonBundleConflict}

// carrierOf reports what a bundle, and those who loaded it, hold of a SigningKey.
func carrierOf(bundle written, key string, report rollcall.Report) (carrier, bool) {
	if bundle.file == nil || bundle.doc == nil {
		return carrier{report: report, seen: recall(report, 0)}, false
	}
	generation, holds := bundle.file.SigningKeys[key]
	return carrier{
		revision: bundle.file.Revision, since: bundle.since(), generation: generation, keys: bundle.keysOf(key),
		report: report, seen: recall(report, bundle.file.Revision),
	}, holds
}

// attend takes the pods that mount the bundle into account.
func (c *carrier) attend(pods []corev1.Pod) {
	for i := range pods {
		pod := &pods[i]
		if !mounts(pod, c.name) {
			continue
		}
		c.mounted = true
		if !toldOf(pod, c.revision) {
			c.untold = append(c.untold, pod.Name)
		}
		if verifies(pod, c.name) {
			c.verifiers = append(c.verifiers, verifier{pod.Name, c.report.Answers[pod.UID]})
		}
	}
	slices.Sort(c.untold)
	slices.SortFunc(c.verifiers, func(a, b verifier) int { return cmp.Compare(a.name, b.name) })
}

// keysOf are the keys that the bundle's providers have of a SigningKey.
func (w written) keysOf(key string) []keyring.VerifyKey {
	if w.doc.Spec.JWT == nil {
		return nil
	}
	var keys []keyring.VerifyKey
	for i := range w.doc.Spec.JWT.Providers {
		if provider := &w.doc.Spec.JWT.Providers[i]; refersToKey(provider, key) {
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
