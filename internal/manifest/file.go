package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"gatepost.dev/gatepost/policy"
)

// wording is how messages speak of a kind.
type wording struct {
	kind, aKind string // TokenIssuer, a TokenIssuer
	noun, aNoun string // issuer, an issuer
}

func policies() wording { return wording{kindPolicy, "an " + kindPolicy, "policy", "a policy"} }
func issuers() wording  { return wording{kindIssuer, "a " + kindIssuer, "issuer", "an issuer"} }

// file is a file that holds one object of a kind, the root, and APIKeys. What is
// wrong with it gathers in errs.
type file struct {
	of   wording
	root *node
	keys []*node
	errs Errors
}

// open finds the root and the APIKeys of a file and refuses everything else.
func open(data []byte, of wording) (*file, error) {
	documents, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", of.aNoun, err)
	}
	f := &file{of: of}
	for _, d := range documents {
		f.take(d)
	}
	if f.root == nil && len(f.errs) == 0 {
		f.errs.add(1, "", "no %s in the file: it begins with apiVersion: %s and kind: %s", of.kind, apiVersion, of.kind)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// take finds the place of one document.
func (f *file) take(d *node) {
	kind, version := d.text("kind"), d.text("apiVersion")
	switch {
	case d.kind != mapping:
		f.errs.add(d.line, "", "this document is %s, not %s", d.kind, f.of.aKind)
	case kind == kindAPIKey && version == apiVersion:
		f.keys = append(f.keys, d)
	case kind != f.of.kind && kind != kindAPIKey:
		f.errs.add(d.at("kind").line, "kind", "%q is not expected here: %s file holds one %s, and %ss; move other objects to another file", kind, f.of.aNoun, f.of.kind, kindAPIKey)
	case version != apiVersion:
		f.errs.add(d.at("apiVersion").line, "apiVersion", "%q is not known: write %s", version, apiVersion)
	case f.root != nil:
		f.errs.add(d.line, "kind", "a second %s: a file holds one; the first begins at line %d", f.of.kind, f.root.line)
	default:
		f.root = d
	}
}

// bind reads the root and leaves its spec to the caller.
func (f *file) bind(spec func(*binder, *node)) envelope {
	b := binder{errs: &f.errs}
	return b.envelope(f.root, func(n *node) { spec(&b, n) })
}

// maxName is the longest name of a root: names of Secrets are made from it.
const maxName = 52

// name keeps the bounds of the root's name.
func (f *file) name(head envelope, form *regexp.Regexp, letters string) {
	switch line := f.root.lineOf("metadata.name"); {
	case head.Name == "":
		f.errs.add(line, "metadata.name", "is required: it names the %s in metrics and logs", f.of.noun)
	case len(head.Name) > maxName || !form.MatchString(head.Name):
		f.errs.add(line, "metadata.name", "%q is no name: use at most %d %s", head.Name, maxName, letters)
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// clients reads the APIKeys beside the root.
func (f *file) clients(head envelope) []APIKey {
	var found []APIKey
	for _, key := range f.keys {
		found = append(found, f.client(key, head, found))
	}
	return found
}

func (f *file) client(root *node, beside envelope, earlier []APIKey) APIKey {
	var key APIKey
	b := binder{errs: &f.errs}
	head := b.envelope(root, func(spec *node) { b.value(spec, reflect.ValueOf(&key.Spec).Elem(), "spec") })
	key.Name, key.Namespace, key.Labels = head.Name, head.Namespace, head.Labels
	isNamesake := func(other APIKey) bool { return other.Name == key.Name && other.Namespace == key.Namespace }
	switch line := root.lineOf("metadata.name"); {
	case key.Name == "":
		f.errs.add(line, "metadata.name", "is required: it tells the APIKeys of the file apart")
	case len(key.Name) > 253 || !nameForm.MatchString(key.Name):
		f.errs.add(line, "metadata.name", "is no name: use at most 253 lower-case letters, digits, hyphens and dots")
	case slices.ContainsFunc(earlier, isNamesake):
		f.errs.add(line, "metadata.name", "a second %s %s: a file holds one of a name", kindAPIKey, key.Name)
	case key.Namespace != "" && beside.Namespace != "" && key.Namespace != beside.Namespace:
		f.errs.add(root.lineOf("metadata.namespace"), "metadata.namespace", "is not the %s's: %s selects APIKeys of its own namespace only", f.of.noun, f.of.aNoun)
	}
	return key
}

// judge adds what compile says of the root and what policy.CheckAPIKey says of
// the clients, once everything could be read.
func (f *file) judge(compile func() error, clients []APIKey) {
	if len(f.errs) > 0 {
		return
	}
	f.add(f.root, compile())
	for i := range clients {
		f.add(f.keys[i], policy.CheckAPIKey(clients[i].Spec))
	}
}

// add adds what is wrong with a document, with the line of the field or of its
// parent.
func (f *file) add(root *node, err error) {
	var found policy.Errors
	if err != nil && !errors.As(err, &found) {
		f.errs.add(root.line, "spec", "%v", err)
	}
	for _, e := range found {
		f.errs.add(root.lineOf(e.Field), e.Field, "%s", e.Detail)
	}
}

// err is what is wrong, in the order of the lines.
func (f *file) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return f.errs.sorted()
}
