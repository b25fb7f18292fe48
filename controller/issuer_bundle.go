package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
)

// writtenIssuer is what the bundle Secret of an issuer holds. Parts that cannot be
// read are nil.
type writtenIssuer struct {
	written // what it verifies with

	doc             *manifest.IssuerDocument
	signer          *keyring.SignerFile
	users, accounts []byte
}

// readIssuerBundle reads the bundle that is there.
func readIssuerBundle(secret *corev1.Secret) writtenIssuer {
	w := writtenIssuer{written: written{secret: secret}}
	if secret == nil {
		return w
	}
	if doc, err := manifest.ParseIssuer(secret.Data[v1alpha1.IssuerDocumentKey]); err == nil {
		w.doc = &doc
		w.written.doc = &manifest.Document{Name: doc.Name, Namespace: doc.Namespace, Generation: doc.Generation, Spec: verifying(doc.Spec)}
		w.users, w.accounts = secret.Data[v1alpha1.IssuerUsersKey], secret.Data[v1alpha1.IssuerServiceAccountsKey]
	}
	if file, err := keyring.ParseFile(secret.Data[v1alpha1.BundleKeysKey]); err == nil {
		w.file = &file
	}
	if signer, err := keyring.ParseSigner(secret.Data[v1alpha1.IssuerSignerKey]); err == nil {
		w.signer = &signer
	}
	return w
}

// signsWith reports whether the bundle has a SigningKey's key to sign with.
func (w writtenIssuer) signsWith(key string) bool {
	return w.signer != nil && w.signer.SigningKey == key
}

// keysOf are the keys of a SigningKey that the issuer's pods verify with, or show.
func (w writtenIssuer) keysOf(key string) []keyring.VerifyKey {
	var keys []keyring.VerifyKey
	if w.written.doc != nil && w.file != nil {
		keys = w.written.keysOf(key)
	}
	if w.signsWith(key) {
		keys = append(keys, w.signer.Publish...)
	}
	return keys
}

// issuerInput is everything that the bundle of an issuer is decided from.
type issuerInput struct {
	accepted *manifest.IssuerDocument // nil: this generation is not accepted
	last     writtenIssuer
	from     sources
	accounts accountsRead
	floor    int64  // no revision may be below it
	ackKey   []byte // for a bundle that has none
	now      time.Time
}

// issuerPlan is the bundle that should be there.
type issuerPlan struct {
	data   map[string][]byte // nil: leave what is there
	notes  map[string]string // the Secret's annotations
	file   *keyring.File     // the keys in force then; nil: none are
	signer *keyring.SignerFile
	spec   *grant.Spec // in force then, with defaults; nil: none is
	view   bundleView
	refs   resolution // of the spec that people see: this generation's if accepted
}

// planIssuer prefers this generation's spec. Where that is not accepted, or its
// references lead to nothing yet, the last spec stays in force with current keys:
// an invalid edit never stops a rotation or a revocation.
func planIssuer(in issuerInput) issuerPlan {
	plan := issuerPlan{file: in.last.file, signer: in.last.signer}
	plan.view.revision = in.last.revision()
	if in.last.doc != nil {
		plan.spec = withDefaults(in.last.doc.Spec)
	}
	var tried bool
	for _, doc := range []*manifest.IssuerDocument{in.accepted, in.last.doc} {
		if doc == nil {
			continue
		}
		made, err := in.make(*doc)
		if !tried {
			plan.refs, tried = made.refs, true
		}
		if err != nil {
			plan.view.invalid = firstError(plan.view.invalid, err)
			continue
		}
		if made.data == nil {
			continue
		}
		refs, invalid := plan.refs, plan.view.invalid
		plan = made
		plan.refs, plan.view.invalid = refs, invalid
		plan.notes = bundleInput{last: in.last.written, floor: in.floor}.annotations(made.file)
		plan.view.revision, plan.view.written, plan.view.current = made.file.Revision, true, doc == in.accepted
		plan.view.kept = made.refs.kept()
		break
	}
	return plan
}

// withDefaults is a spec with its defaults; nil: it does not compile.
func withDefaults(spec grant.Spec) *grant.Spec {
	plan, err := grant.Compile(spec)
	if err != nil {
		return nil
	}
	full := plan.Spec()
	return &full
}

// make makes the bundle of one document; without data while something that it
// needs leads nowhere. What an issuer would refuse is an error.
func (in issuerInput) make(doc manifest.IssuerDocument) (issuerPlan, error) {
	parts := issuerParts{in: in, refs: resolve(verifying(doc.Spec), in.from, in.last.written)}
	parts.inWordsOfAnIssuer()
	parts.sign(&doc)
	parts.admitUsers(doc.Spec)
	parts.admitAccounts(doc.Spec)
	plan := issuerPlan{refs: parts.refs, signer: parts.signer, spec: withDefaults(doc.Spec)}
	if parts.refs.keyless() || parts.signer == nil {
		return plan, nil
	}
	var err error
	plan.data, plan.file, err = parts.encode(doc)
	return plan, err
}

// encode makes the bundle's data.
func (p *issuerParts) encode(doc manifest.IssuerDocument) (map[string][]byte, *keyring.File, error) {
	document, err := manifest.MarshalIssuer(doc)
	if err != nil {
		return nil, nil, err
	}
	signer, err := p.signer.Marshal()
	if err != nil {
		return nil, nil, err
	}
	data := map[string][]byte{v1alpha1.IssuerDocumentKey: document, v1alpha1.IssuerSignerKey: signer}
	if p.users != nil {
		data[v1alpha1.IssuerUsersKey] = p.users
	}
	if p.accounts != nil {
		data[v1alpha1.IssuerServiceAccountsKey] = p.accounts
	}
	if err := p.fit(doc, data); err != nil {
		return nil, nil, err
	}
	file := keyring.File{
		Revision: p.in.last.revision(), AckKey: p.in.ackKey,
		SigningKeys: p.refs.signingKeys, Revoked: p.refs.revoked, Providers: p.refs.providers, APIKeys: p.refs.clients,
	}
	if p.in.last.file != nil && len(p.in.last.file.AckKey) > 0 {
		file.AckKey = p.in.last.file.AckKey
	}
	if data[v1alpha1.BundleKeysKey], err = p.in.number(&file, data); err != nil {
		return nil, nil, fmt.Errorf("encoding the keys: %w", err)
	}
	if err := loadsIssuer(data, p.in.now); err != nil {
		return nil, nil, err
	}
	return data, &file, nil
}

// fit makes providers and clients fit beside the other parts.
func (p *issuerParts) fit(doc manifest.IssuerDocument, data map[string][]byte) error {
	size := 0
	for _, part := range data {
		size += len(part)
	}
	same := &manifest.Document{Spec: verifying(doc.Spec)}
	in := bundleInput{last: p.in.last.written, from: p.in.from}
	err := in.fit(same, &p.refs, size, false)
	if errors.Is(err, errTooLarge) {
		err = in.fit(same, &p.refs, size, true)
	}
	return err
}

// number gives the file the last revision if nothing changed, else a new one
// above all that were ever seen.
func (in issuerInput) number(file *keyring.File, others map[string][]byte) ([]byte, error) {
	same, err := file.Marshal()
	if err != nil {
		return nil, err
	}
	if in.last.file != nil && in.last.revision() >= in.floor {
		whole := maps.Clone(others)
		whole[v1alpha1.BundleKeysKey] = same
		if maps.EqualFunc(whole, in.last.secret.Data, bytes.Equal) {
			return same, nil
		}
	}
	file.Revision = max(file.Revision, in.floor) + 1
	return file.Marshal()
}

// loadsIssuer does what a pod of an issuer does with its bundle.
func loadsIssuer(data map[string][]byte, now time.Time) error {
	_, err := issuing.Load(issuing.Files(data), bundle.Options{Now: now})
	return err
}

// bundle plans the bundle Secret and writes it.
func (r *issuerReconciler) bundle(ctx context.Context, w issuerWorld) (issuerView, error) {
	view := issuerView{accounts: w.accounts, selecting: w.selecting, rivals: w.rivals, deployment: w.deployment}
	_, view.invalid = grant.Compile(w.issuer.Spec)
	taken := foreign(w.had.secret, w.issuer)
	if taken {
		w.had, w.last = writtenIssuer{}, written{}
	}
	ackKey := make([]byte, ackKeyBytes)
	if _, err := io.ReadFull(r.random, ackKey); err != nil {
		return view, fmt.Errorf("making an acknowledgement key: %w", err)
	}
	plan := planIssuer(issuerInput{
		accepted: w.document(view), last: w.had, from: w.from, accounts: w.accounts, floor: w.highestRevision(), ackKey: ackKey, now: r.now(),
	})
	view.take(plan)
	if taken {
		view.bundle = bundleView{foreign: true}
		return view, nil
	}
	if plan.data == nil {
		return view, nil
	}
	if w.tooEarly(bundlePlan{file: plan.file}) {
		view.early, view.file = true, w.last.file
		return view, nil
	}
	secret := owned{
		owner: w.issuer, kind: v1alpha1.KindTokenIssuer, name: v1alpha1.IssuerName(w.issuer.Name),
		component: v1alpha1.ComponentIssuer, annotations: plan.notes, data: plan.data,
	}
	if err := secret.apply(ctx, r.client, w.had.secret); err != nil {
		view.file, view.signer, view.bundle = w.last.file, w.had.signer, bundleView{revision: w.last.revision(), refused: refusalOf(err)}
		return view, err
	}
	if plan.file.Revision != w.last.revision() { // keys wait for their bundles
		r.switchboard.keys.ring(0, w.issuer.Namespace, slices.Collect(maps.Keys(plan.file.SigningKeys))...)
	}
	return view, nil
}

// document is the issuer as its pods read it, if it is accepted. One that is being
// deleted, and that somebody's finalizer keeps, stays as it was last.
func (w issuerWorld) document(view issuerView) *manifest.IssuerDocument {
	if w.issuer.DeletionTimestamp != nil || view.invalid != nil {
		return nil
	}
	return &manifest.IssuerDocument{
		Name: w.issuer.Name, Namespace: w.issuer.Namespace, Generation: w.issuer.Generation, Spec: w.issuer.Spec,
	}
}
