package controller

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/token"
)

// call says which pods have to answer for the issuer's bundle, and how often.
func (r *issuerReconciler) call(w issuerWorld, view issuerView) {
	bundle := issuerKey(w.issuer)
	if view.bundle.foreign || view.file == nil {
		r.switchboard.forget(bundle)
		return
	}
	if last := w.last.revision(); last > 0 && view.file.Revision > last+1 {
		r.switchboard.climbed(bundle, r.now())
	}
	every, moving := askIdle, false
	for _, source := range w.from.keys {
		pause, moves := source.pace()
		every, moving = min(every, pause), moving || moves
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(w.from.keys)), maps.Keys(view.file.SigningKeys))
	heard := w.heardOn(view.file)
	for _, name := range w.secretive() {
		delete(heard, name)
	}
	r.switchboard.expect(bundle, rollcall.Call{
		Pods:   askedPods(w.pods, bundle.Name, view.file.Revision),
		AckKey: token.Secret(view.file.AckKey), Revision: view.file.Revision, Every: every, Keys: heard, Signs: w.signing(view),
	}, names, moving)
}

// signing are the SigningKeys that pods may sign with: the one of now, and the one
// of the bundle before.
func (w issuerWorld) signing(view issuerView) []string {
	names := []string{w.issuer.Spec.SigningKeyRef.Name}
	if view.signer != nil {
		names = append(names, view.signer.SigningKey)
	}
	if w.had.signer != nil {
		names = append(names, w.had.signer.SigningKey)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// secretive are the SigningKeys with which the issuer only signs, and of which its
// pods show no key: what they know of those is the one that they sign with.
func (w issuerWorld) secretive() []string {
	var names []string
	for name, source := range w.from.keys {
		if hmacBased(string(source.key.Spec.Algorithm)) && !w.verifiesWith(name) {
			names = append(names, name)
		}
	}
	return names
}

// verifiesWith reports whether session tokens are verified with a SigningKey, by
// the spec or by the bundle.
func (w issuerWorld) verifiesWith(key string) bool {
	refs := references(w.policy.Spec.Spec)
	if w.last.doc != nil {
		refs.add(w.last.doc.Spec)
	}
	return refs.keys[key]
}

// provedKeys are, by pod, the keys that an issuer's pods proved to sign with.
func provedKeys(report rollcall.Report, key string) map[types.UID]string {
	proved := map[types.UID]string{}
	for uid, answer := range report.Answers {
		proved[uid] = answer.State.Signs[key]
	}
	return proved
}

// unwritableIssuer are the reasons of Ready under which the bundle of an issuer stays
// as it is, or is never written.
func unwritableIssuer() []string {
	return []string{
		v1alpha1.ReasonBundleConflict, v1alpha1.ReasonNotProgrammed, v1alpha1.ReasonInvalid, v1alpha1.ReasonBundleInvalid,
		v1alpha1.ReasonSignerIsExternal, v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretKeyNotFound, v1alpha1.ReasonUsersInvalid,
		v1alpha1.ReasonServiceAccountKeysUnavailable, v1alpha1.ReasonConfigMapNotFound, v1alpha1.ReasonConfigMapKeyNotFound,
		v1alpha1.ReasonInvalidKeySet, v1alpha1.ReasonInvalidCABundle, v1alpha1.ReasonSecretTooShort, v1alpha1.ReasonSecretLooksLikeKey,
		v1alpha1.ReasonAlgorithmMismatch,
	}
}
