package controller

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// issuance is what the issuers of a namespace have to do with one SigningKey.
type issuance struct {
	bundles  []types.NamespacedName // of those that sign, show keys or verify
	carriers []carrier
	signers  []keyring.Signer // the pods that sign, with the keys that they proved
}

// readIssuers finds the issuers of the namespace that sign with the SigningKey,
// show its keys or verify with them.
func (r *keyReconciler) readIssuers(ctx context.Context, key *v1alpha1.SigningKey, issuers []v1alpha1.TokenIssuer, pods []corev1.Pod) (issuance, error) {
	var all issuance
	for i := range issuers {
		issuer := &issuers[i]
		report := r.switchboard.roll.Report(issuerKey(issuer))
		if !mayUse(issuer, key, report) {
			continue
		}
		bundle := issuerKey(issuer)
		secret, err := liveSecret(ctx, r.client, bundle.Namespace, bundle.Name)
		if err != nil {
			return all, err
		}
		if secret == nil || foreign(secret, issuer) {
			continue
		}
		had := readIssuerBundle(secret)
		r.switchboard.nudger.overlay(bundle, pods)
		all.signers = append(all.signers, signersOf(issuer, key.Name, had, report, pods)...)
		all.bundles = append(all.bundles, bundle)
		if found, carries := issuerCarrier(issuer, key, had, report); carries {
			found.name = bundle.Name
			found.attend(pods)
			all.carriers = append(all.carriers, found)
		}
	}
	slices.SortFunc(all.signers, func(a, b keyring.Signer) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// mayUse reports whether an issuer's bundle may hold keys of a SigningKey, or its
// pods sign with one.
func mayUse(issuer *v1alpha1.TokenIssuer, key *v1alpha1.SigningKey, report rollcall.Report) bool {
	if usesKey(issuer, key.Name) || issuer.Status.ObservedGeneration < issuer.Generation ||
		!meta.IsStatusConditionTrue(issuer.Status.Conditions, v1alpha1.ConditionReady) {
		return true // by its spec, or by an older one that may be in force
	}
	for _, answer := range report.Answers {
		if answer.State.Signs[key.Name] != "" || answer.State.Generations[key.Name] > 0 {
			return true
		}
	}
	return false
}

// signersOf are the pods of an issuer that sign with keys of a SigningKey, or are
// about to, each with the key that it proved.
func signersOf(issuer *v1alpha1.TokenIssuer, key string, had writtenIssuer, report rollcall.Report, pods []corev1.Pod) []keyring.Signer {
	wanted := issuer.Spec.SigningKeyRef.Name == key && had.signer == nil || had.signsWith(key)
	var signers []keyring.Signer
	for i := range pods {
		pod := &pods[i]
		if !verifies(pod, v1alpha1.IssuerName(issuer.Name)) {
			continue
		}
		kid := report.Answers[pod.UID].State.Signs[key]
		if wanted || kid != "" {
			signers = append(signers, keyring.Signer{Name: pod.Name, KID: kid})
		}
	}
	return signers
}

// issuerCarrier is what an issuer's bundle, and the pods that loaded it, hold of a
// SigningKey. Of an HMAC key that is only signed with there is nothing to hold:
// nobody verifies with it here, and nothing of it is shown.
func issuerCarrier(issuer *v1alpha1.TokenIssuer, key *v1alpha1.SigningKey, had writtenIssuer, report rollcall.Report) (carrier, bool) {
	verifier := func(p *policy.Provider) bool { return refersToKey(p, key.Name) }
	verifies := verifiesFor(issuer, verifier) || had.written.doc != nil && refersTo(&v1alpha1.AgentAuthPolicy{
		Spec: v1alpha1.AgentAuthPolicySpec{Spec: had.written.doc.Spec},
	}, verifier)
	if hmacBased(string(key.Spec.Algorithm)) && !verifies {
		return carrier{}, false
	}
	if had.file == nil || had.doc == nil {
		return carrier{report: report, seen: recall(report, 0)}, expectedOfIssuer(issuer, key.Name)
	}
	generation, holds := had.file.SigningKeys[key.Name]
	found := carrier{
		revision: had.file.Revision, since: had.since(), generation: generation, keys: had.keysOf(key.Name),
		report: report, seen: recall(report, had.file.Revision),
	}
	return found, holds || expectedOfIssuer(issuer, key.Name) || found.seen.named[key.Name] > 0
}

// expectedOfIssuer reports whether a bundle that does not hold the key yet is about
// to: its issuer refers to it, and nothing keeps the bundle from being written. That
// of one that is being deleted, and that somebody's finalizer keeps, stays as it is.
func expectedOfIssuer(issuer *v1alpha1.TokenIssuer, key string) bool {
	if issuer.DeletionTimestamp != nil {
		return false
	}
	if !usesKey(issuer, key) || issuer.Status.ObservedGeneration < issuer.Generation {
		return usesKey(issuer, key)
	}
	ready := meta.FindStatusCondition(issuer.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && !slices.Contains(unwritableIssuer(), ready.Reason)
}

// stillSign names the pods of issuers that proved to sign with a key, and nothing
// else since.
func (w keyWorld) stillSign(kid string) []string {
	var names []string
	for _, signer := range w.issuing.signers {
		if signer.KID == kid {
			names = append(names, signer.Name)
		}
	}
	return names
}
