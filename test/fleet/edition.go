package fleet

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/manifest"
)

// edition is one content of a bundle Secret. It is parsed once for all pods that
// mount it, and gone with the last of them.
type edition struct {
	policyJSON, keysJSON []byte
	snapshot             *bundle.Snapshot // nil: a sidecar would refuse it
	revision             int64
}

func newEdition(secret *corev1.Secret) *edition {
	e := &edition{policyJSON: secret.Data[v1alpha1.BundlePolicyKey], keysJSON: secret.Data[v1alpha1.BundleKeysKey]}
	if e.snapshot = e.load(nil); e.snapshot != nil {
		e.revision = e.snapshot.Revision
	}
	return e
}

// load does what a sidecar does with its mount; nil: it would keep the last good
// Snapshot.
func (e *edition) load(revoked map[string][]string) *bundle.Snapshot {
	doc, err := manifest.Parse(e.policyJSON)
	if err != nil {
		return nil
	}
	keys, err := bundle.File(e.keysJSON)
	if err != nil {
		return nil
	}
	snapshot, err := bundle.Load(doc, keys, bundle.Options{Revoked: revoked})
	if err != nil {
		return nil
	}
	return snapshot
}

// following is the Snapshot that comes into force in a sidecar with this one in
// force: the same while the revision would go down or the new one is bad. A
// revocation that it knows and the new edition does not is kept.
func (e *edition) following(inForce *bundle.Snapshot) *bundle.Snapshot {
	switch {
	case e == nil || e.snapshot == nil:
		return inForce
	case inForce == nil:
		return e.snapshot
	case e.snapshot.Revision < inForce.Revision:
		return inForce
	case covers(e.snapshot.Revoked, inForce.Revoked):
		return e.snapshot
	}
	if own := e.load(inForce.Revoked); own != nil {
		return own
	}
	return inForce
}

// covers reports whether all of few is in many.
func covers(many, few map[string][]string) bool {
	for name := range maps.Keys(few) {
		for _, kid := range few[name] {
			if !slices.Contains(many[name], kid) {
				return false
			}
		}
	}
	return true
}
