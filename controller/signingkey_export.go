package controller

import (
	"context"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// export writes the Secret that external signers read, and empties those that
// the key was exported to before. It reports a Secret of that name that is not
// ours, which is never touched.
func (r *keyReconciler) export(ctx context.Context, w keyWorld, state *keyring.State) (conflict bool, err error) {
	for _, name := range w.stale {
		if err := r.empty(ctx, w.key, name); err != nil {
			return false, err
		}
	}
	to := w.key.Spec.ExportTo
	if to == nil || w.export == nil && w.key.DeletionTimestamp != nil {
		return false, nil
	}
	if foreign(w.export, w.key) {
		return true, nil
	}
	content, err := state.Export()
	if err != nil || content.Hold {
		return false, err
	}
	secret := exported(w.key, to.SecretName)
	secret.annotations, secret.data = to.Annotations, exportData(content, state.Algorithm, to.ValueKey)
	return false, secret.apply(ctx, r.client, w.export)
}

// empty takes the keys out of a Secret of ours that is no longer asked for.
// Deleting it would need a right that the controller otherwise does without;
// the garbage collector does it with the SigningKey.
func (r *keyReconciler) empty(ctx context.Context, key *v1alpha1.SigningKey, name string) error {
	secret, err := liveSecret(ctx, r.client, key.Namespace, name)
	if err != nil || secret == nil || foreign(secret, key) {
		return err
	}
	return exported(key, name).apply(ctx, r.client, secret)
}

func exported(key *v1alpha1.SigningKey, name string) owned {
	return owned{owner: key, kind: v1alpha1.KindSigningKey, name: name, component: v1alpha1.ComponentExport}
}

// exportData are the data keys of the exported Secret. What does not exist has
// no data key, so that a signer without a key fails instead of signing with
// nothing.
func exportData(content keyring.Export, algorithm, valueKey string) map[string][]byte {
	data := map[string][]byte{}
	for name, value := range map[string][]byte{
		v1alpha1.ExportCurrent: content.Current, v1alpha1.ExportCurrentKID: []byte(content.CurrentKID),
		v1alpha1.ExportPrevious: content.Previous, v1alpha1.ExportPreviousKID: []byte(content.PreviousKID),
		v1alpha1.ExportNext: content.Next, v1alpha1.ExportNextKID: []byte(content.NextKID),
	} {
		if len(value) > 0 {
			data[name] = value
		}
	}
	if len(content.Current) > 0 && valueKey != "" {
		data[valueKey] = content.Current
	}
	if !hmacBased(algorithm) {
		data[v1alpha1.ExportJWKS] = content.JWKS
	}
	return data
}

// hmacBased reports whether an algorithm signs with a shared secret.
func hmacBased(algorithm string) bool { return len(algorithm) > 1 && algorithm[:2] == "HS" }
