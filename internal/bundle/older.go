package bundle

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrOlderRevision is wrapped by errors about keys that were replaced before.
var ErrOlderRevision = errors.New("an older state of the cluster")

// FactsOf says which edition of the keys there is, with the revocations that were
// known before (Options.InForce) remembered. It refuses, wrapping
// ErrOlderRevision, keys that were replaced already.
func FactsOf(keys Keys, o Options) (Facts, error) {
	facts := keys.facts()
	if err := facts.follow(o); err != nil {
		return Facts{}, err
	}
	facts.Revoked = remember(facts, o.InForce.Revoked)
	return facts, nil
}

// follow refuses keys that were replaced already (decision 22): a restored
// Secret or etcd must not bring back what was removed. A bundle that was deleted
// and made anew counts from the start under another AckKey, and is no older for
// that; but never does a pod take less than what it was admitted with.
func (f Facts) follow(o Options) error {
	if f.Revision < o.MinRevision {
		return fmt.Errorf("keys.json has revision %d, and this pod was admitted with %d: %w: the kubelet mounts the later one within two minutes; "+
			"if not, the bundle's Secret is older than the pod: see that the controller runs, it writes a later one", f.Revision, o.MinRevision, ErrOlderRevision)
	}
	anew := len(f.AckKey) > 0 && !bytes.Equal(f.AckKey, o.InForce.AckKey)
	if f.Revision < o.InForce.Revision && !anew {
		return fmt.Errorf("keys.json has revision %d, and %d is in force: %w, such as a restored Secret or etcd: "+
			"see that the controller runs, it hears of %d from here and writes a later one", f.Revision, o.InForce.Revision, ErrOlderRevision, o.InForce.Revision)
	}
	return nil
}
