package controller

import (
	"slices"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// lastOf is what the bundle in force has for a provider, if that took it from the
// same source for the same issuers: keys of one source are no keys of another.
func (w written) lastOf(provider *policy.Provider) (keyring.FileProvider, bool) {
	if w.file == nil || w.doc == nil || w.doc.Spec.JWT == nil {
		return keyring.FileProvider{}, false
	}
	was := slices.IndexFunc(w.doc.Spec.JWT.Providers, func(p policy.Provider) bool { return p.Name == provider.Name })
	if was < 0 || !sameSource(&w.doc.Spec.JWT.Providers[was], provider) {
		return keyring.FileProvider{}, false
	}
	entry, found := w.file.Providers[provider.Name]
	if (entry.CABundle != "") != (caBundleRef(provider) != nil) {
		return keyring.FileProvider{}, false // a file that somebody edited
	}
	return entry, found
}

// revoked are the ids of the revoked keys of a SigningKey that the bundle names.
func (w written) revoked(key string) []string {
	if w.file == nil {
		return nil
	}
	return w.file.Revoked[key]
}

// sameSource reports whether two providers take their keys from one object and
// speak for the same issuers.
func sameSource(a, b *policy.Provider) bool {
	return sourceOf(a) == sourceOf(b) && slices.Equal(slices.Sorted(slices.Values(a.Issuers)), slices.Sorted(slices.Values(b.Issuers)))
}

// source names the object that a provider takes something from.
type source struct{ field, kind, name string }

func sourceOf(p *policy.Provider) source {
	ca := caBundleRef(p)
	switch {
	case p.SigningKeyRef != nil:
		return source{"signingKeyRef", "", p.SigningKeyRef.Name}
	case p.SecretRef != nil:
		return source{"secretRef", "", p.SecretRef.Name}
	case p.LocalJWKS != nil && p.LocalJWKS.ConfigMapRef != nil:
		return source{"localJWKS", "", p.LocalJWKS.ConfigMapRef.Name}
	case ca != nil:
		return source{"caBundleRef", kindOf(ca), ca.Name}
	}
	return source{}
}
