package controller

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// written is what a bundle Secret holds. Parts that cannot be read are nil: a
// hand-edited bundle is made anew from what the cluster says.
type written struct {
	secret     *corev1.Secret // nil: there is none
	doc        *manifest.Document
	policyJSON []byte
	file       *keyring.File
}

// readBundle reads the bundle that is there.
func readBundle(secret *corev1.Secret) written {
	w := written{secret: secret}
	if secret == nil {
		return w
	}
	if doc, err := manifest.Parse(secret.Data[v1alpha1.BundlePolicyKey]); err == nil {
		w.doc, w.policyJSON = &doc, secret.Data[v1alpha1.BundlePolicyKey]
	}
	if file, err := keyring.ParseFile(secret.Data[v1alpha1.BundleKeysKey]); err == nil {
		w.file = &file
	}
	return w
}

func (w written) revision() int64 {
	if w.file == nil {
		return 0
	}
	return w.file.Revision
}

// since is the revision from which on each followed from the one before. Without
// a note of it, nothing is known of any before this one.
func (w written) since() int64 {
	if w.secret == nil {
		return w.revision()
	}
	since, err := strconv.ParseInt(w.secret.Annotations[v1alpha1.AnnotationBundleSince], 10, 64)
	if err != nil || since < 1 {
		return w.revision()
	}
	return since
}

// generation is that of a SigningKey in the bundle.
func (w written) generation(key string) int64 {
	if w.file == nil {
		return 0
	}
	return w.file.SigningKeys[key]
}

// changed are the SigningKeys of which a new file holds another generation; all
// of them if it is numbered above what others remember.
func (w written) changed(file *keyring.File) []string {
	var names []string
	for name, generation := range file.SigningKeys {
		if generation != w.generation(name) || file.Revision > w.revision()+1 {
			names = append(names, name)
		}
	}
	return names
}

// bundleInput is everything that a bundle is decided from.
type bundleInput struct {
	accepted *manifest.Document // nil: this generation is not accepted
	last     written
	from     sources
	floor    int64  // no revision may be below it
	ackKey   []byte // for a bundle that has none
}

// bundlePlan is the bundle that should be there.
type bundlePlan struct {
	data  map[string][]byte // nil: leave what is there
	notes map[string]string // the Secret's annotations
	file  *keyring.File     // the keys in force then; nil: none are
	view  bundleView

	crowded bool       // something did not fit with all clients
	refs    resolution // of the policy that people see: this generation's if accepted
}

// planBundle prefers this generation's policy. Where that is not accepted, or
// its references lead to no key yet, the last policy stays in force with current
// keys: an invalid edit never stops a rotation or a revocation, and neither does
// an invalid source, whose provider alone keeps its last keys.
//
// Where neither fits into a Secret with all clients, the youngest of them have to
// go, under this generation's policy if it is accepted.
func planBundle(in bundleInput) bundlePlan {
	plan := in.plan(false)
	if plan.view.written || !plan.crowded {
		return plan
	}
	if pressed := in.plan(true); pressed.view.written {
		return pressed
	}
	return plan
}

// plan is planBundle without leaving out clients, or, pressed, with.
func (in bundleInput) plan(pressed bool) bundlePlan {
	var plan bundlePlan
	plan.file, plan.view.revision, plan.view.audit = in.last.file, in.last.revision(), audits(in.last.doc)
	var tried bool
	for _, doc := range []*manifest.Document{in.accepted, in.last.doc} {
		if doc == nil {
			continue
		}
		refs := resolve(doc.Spec, in.from, in.last)
		data, file, err := in.encode(doc, &refs, pressed)
		if !tried {
			plan.refs, tried = refs, true
		}
		if err != nil {
			plan.view.invalid = firstError(plan.view.invalid, err)
			plan.crowded = plan.crowded || errors.Is(err, errTooLarge)
			continue
		}
		if data == nil {
			continue
		}
		plan.data, plan.file, plan.view.revision = data, file, file.Revision
		plan.notes = in.annotations(file)
		plan.view.current, plan.view.audit = doc == in.accepted, audits(doc)
		plan.view.written, plan.view.kept = true, refs.kept()
		break
	}
	return plan
}

// annotations are those of the bundle Secret.
func (in bundleInput) annotations(file *keyring.File) map[string]string {
	since := in.last.since()
	if in.last.file == nil || in.restored() {
		since = file.Revision
	}
	return map[string]string{v1alpha1.AnnotationBundleSince: strconv.FormatInt(since, 10)}
}

// restored reports whether an older bundle was put back by hand.
func (in bundleInput) restored() bool { return in.last.revision() < in.floor }

// audits reports whether a policy only counts what it would refuse.
func audits(doc *manifest.Document) bool {
	return doc != nil && doc.Spec.Mode == policy.ModeAudit
}

func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// encode makes the bundle's data; nil while a provider has no key. What a
// sidecar would refuse is an error. What does not fit is taken out of refs.
func (in bundleInput) encode(doc *manifest.Document, refs *resolution, pressed bool) (map[string][]byte, *keyring.File, error) {
	if refs.keyless() {
		return nil, nil, nil
	}
	policyJSON, err := manifest.Marshal(*doc)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the policy: %w", err)
	}
	if err := in.fit(doc, refs, len(policyJSON), pressed); err != nil {
		return nil, nil, err
	}
	file := keyring.File{
		Revision: in.last.revision(), AckKey: in.ackKey,
		SigningKeys: refs.signingKeys, Revoked: refs.revoked, Providers: refs.providers, APIKeys: refs.clients,
	}
	if in.last.file != nil && len(in.last.file.AckKey) > 0 {
		file.AckKey = in.last.file.AckKey
	}
	keysJSON, err := in.number(&file, policyJSON)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the keys: %w", err)
	}
	if err := loads(*doc, keysJSON); err != nil {
		return nil, nil, err
	}
	return map[string][]byte{v1alpha1.BundlePolicyKey: policyJSON, v1alpha1.BundleKeysKey: keysJSON}, &file, nil
}

// loads does what a sidecar does with a bundle.
func loads(doc manifest.Document, keysJSON []byte) error {
	keys, err := bundle.File(keysJSON)
	if err != nil {
		return err
	}
	_, err = bundle.Load(doc, keys, bundle.Options{})
	return err
}

// number gives the file the last revision if nothing changed, else a new one
// above all that were ever seen.
func (in bundleInput) number(file *keyring.File, policyJSON []byte) ([]byte, error) {
	same, err := file.Marshal()
	if err != nil {
		return nil, err
	}
	if in.last.file != nil && !in.restored() && bytes.Equal(policyJSON, in.last.policyJSON) && bytes.Equal(same, in.last.secret.Data[v1alpha1.BundleKeysKey]) {
		return same, nil
	}
	file.Revision = max(file.Revision, in.floor) + 1
	return file.Marshal()
}

// kept names the providers that go on with their last keys.
func (r resolution) kept() string {
	var names []string
	for _, problem := range r.problems {
		if problem.kept && !slices.Contains(names, problem.provider) {
			names = append(names, problem.provider)
		}
	}
	return someOf(names)
}

func (r resolution) keyless() bool {
	for _, problem := range r.problems {
		if problem.keyless {
			return true
		}
	}
	return false
}
