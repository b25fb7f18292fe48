package controller

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// importation is what an imported Secret comes to. A value that may not be used
// is left out, and the keys that were imported before stay as they are.
type importation struct {
	values  keyring.Import
	problem refusal // why the current or next value is left out
	warning string  // what works and is probably not meant
}

// importFrom reads the data keys that a SigningKey refers to.
func importFrom(key *v1alpha1.SigningKey, secret *corev1.Secret) importation {
	ref := key.Spec.Source.SecretRef
	if key.Spec.Source.Type != v1alpha1.SourceSecretRef || ref == nil {
		return importation{}
	}
	const field = "spec.source.secretRef"
	if secret == nil {
		return importation{problem: refusal{v1alpha1.ReasonSecretNotFound, fmt.Sprintf("%s: there is no Secret %s: create it with the key %s", field, ref.Name, ref.Key)}}
	}
	var got importation
	value, exists := secret.Data[ref.Key]
	if !exists {
		got.problem = refusal{v1alpha1.ReasonSecretKeyNotFound, fmt.Sprintf("%s: Secret %s has no key %s", field, ref.Name, ref.Key)}
		return got
	}
	got.values.Current = got.usable(key, field+".key", ref.Key, value)
	if next, exists := secret.Data[ref.NextKey]; exists && ref.NextKey != "" && len(next) > 0 {
		got.values.Next = got.usable(key, field+".nextKey", ref.NextKey, next)
	}
	return got
}

// usable returns the value if it may be a key, else nothing and says why.
func (i *importation) usable(key *v1alpha1.SigningKey, field, name string, value []byte) keyring.Octets {
	algorithms := []policy.Algorithm{key.Spec.Algorithm}
	if err := usableFor(algorithms, value, key.Spec.Source.AllowShortSecret); err != nil {
		if i.problem.reason == "" {
			i.problem = refusal{secretReason(err), fmt.Sprintf("%s: key %s of Secret %s: %v", field, name, key.Spec.Source.SecretRef.Name, err)}
		}
		return nil
	}
	if strings.HasSuffix(string(value), "\n") {
		i.warning = fmt.Sprintf("%s: key %s of Secret %s ends in a line break, which is part of the secret: write it without unless the signer has it too",
			field, name, key.Spec.Source.SecretRef.Name)
	}
	return value
}
