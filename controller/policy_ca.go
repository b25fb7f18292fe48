package controller

import (
	"bytes"
	"encoding/pem"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// caBundleRef is where the certificates of a provider's key server are named, or
// nil.
func caBundleRef(provider *policy.Provider) *policy.CABundleRef {
	if provider.RemoteJWKS == nil {
		return nil
	}
	return provider.RemoteJWKS.CABundleRef
}

func isSecretRef(ref *policy.CABundleRef) bool { return ref != nil && ref.Kind == policy.KindSecret }

// caBundle takes the certificates that a key server must chain to.
func (r *resolver) caBundle(field string, provider *policy.Provider) {
	ref := caBundleRef(provider)
	if isSecretRef(ref) && reserved(ref.Name) {
		r.fail(provider, v1alpha1.ReasonSecretNotFound, "%s: Secret %s is Gatepost's own: name one that holds certificates", field, ref.Name)
		return
	}
	text, reason := r.caText(ref)
	switch reason {
	case "":
	case v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonConfigMapNotFound:
		r.fail(provider, reason, "%s: there is no %s %s: create it with the certificates in %s", field, kindOf(ref), ref.Name, ref.Key)
		return
	default:
		r.fail(provider, reason, "%s: %s %s has no key %s", field, kindOf(ref), ref.Name, ref.Key)
		return
	}
	if _, err := token.ParseCABundle([]byte(text)); err != nil {
		r.fail(provider, v1alpha1.ReasonInvalidCABundle, "%s: key %s of %s %s %v", field, ref.Key, kindOf(ref), ref.Name, err)
		return
	}
	entry := keyring.FileProvider{CABundle: certificatesOf(text)}
	if err := entry.Check(); err != nil { // written anew, they may have grown
		r.fail(provider, v1alpha1.ReasonInvalidCABundle, "%s: key %s of %s %s: %v: use fewer certificates", field, ref.Key, kindOf(ref), ref.Name, err)
		return
	}
	r.done.providers[provider.Name] = entry
}

// certificatesOf writes the certificates of a sound PEM text once each, and
// nothing that stands around them.
func certificatesOf(text string) string {
	var out bytes.Buffer
	seen := map[string]bool{}
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if !seen[string(block.Bytes)] {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
		seen[string(block.Bytes)] = true
	}
	return out.String()
}

// caText is the text that the reference leads to, or the reason why there is none.
func (r *resolver) caText(ref *policy.CABundleRef) (text, reason string) {
	var found bool
	if isSecretRef(ref) {
		secret := r.from.secrets[ref.Name]
		if secret == nil {
			return "", v1alpha1.ReasonSecretNotFound
		}
		data, found := secret.Data[ref.Key]
		if !found {
			return "", v1alpha1.ReasonSecretKeyNotFound
		}
		return string(data), ""
	}
	configMap := r.from.configMaps[ref.Name]
	if configMap == nil {
		return "", v1alpha1.ReasonConfigMapNotFound
	}
	if text, found = configMap.Data[ref.Key]; !found {
		return "", v1alpha1.ReasonConfigMapKeyNotFound
	}
	return text, ""
}

func kindOf(ref *policy.CABundleRef) string {
	if isSecretRef(ref) {
		return policy.KindSecret
	}
	return policy.KindConfigMap
}
