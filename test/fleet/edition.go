package fleet

import (
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
	if e.snapshot = e.load(bundle.Options{}); e.snapshot != nil {
		e.revision = e.snapshot.Revision
	}
	return e
}

// load does what a sidecar does with its mount; nil: it would keep what it has.
func (e *edition) load(options bundle.Options) *bundle.Snapshot {
	doc, err := manifest.Parse(e.policyJSON)
	if err != nil {
		return nil
	}
	keys, err := bundle.File(e.keysJSON)
	if err != nil {
		return nil
	}
	snapshot, err := bundle.Load(doc, keys, options)
	if err != nil {
		return nil
	}
	return snapshot
}

// following is the Snapshot that comes into force in a sidecar with this one in
// force. Where nothing is to be remembered or refused, that is the one which all
// share; else the sidecar's own, or the one in force.
func (e *edition) following(inForce *bundle.Snapshot, minimum int64) *bundle.Snapshot {
	if e == nil || e.snapshot == nil {
		return inForce
	}
	var before bundle.Facts
	if inForce != nil {
		before = inForce.Facts
	}
	if e.revision >= max(minimum, before.Revision) && covers(e.snapshot.Revoked, before.Revoked) {
		return e.snapshot
	}
	if own := e.load(bundle.Options{InForce: before, MinRevision: minimum}); own != nil {
		return own
	}
	return inForce
}

// covers reports whether all of few is in many.
func covers(many, few map[string][]string) bool {
	for name, kids := range few {
		for _, kid := range kids {
			if !slices.Contains(many[name], kid) {
				return false
			}
		}
	}
	return true
}
