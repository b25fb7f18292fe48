package manifest

import (
	"reflect"
	"regexp"
	"slices"

	"gatepost.dev/gatepost/policy"
)

// envelope is what every document has around its spec.
type envelope struct {
	Name, Namespace string
	Generation      int64
	Labels          map[string]string
}

// bindDocument reads the policy.
func bindDocument(root *node, errs *Errors) Document {
	var doc Document
	b := binder{errs: errs}
	head := b.envelope(root, func(spec *node) { b.spec(spec, &doc.Spec) })
	doc.Name, doc.Namespace, doc.Generation = head.Name, head.Namespace, head.Generation
	switch line := root.lineOf("metadata.name"); {
	case doc.Name == "":
		errs.add(line, "metadata.name", "is required: it names the policy in metrics and logs")
	case len(doc.Name) > 52 || !nameForm.MatchString(doc.Name):
		errs.add(line, "metadata.name", "%q is no name: use at most 52 lower-case letters, digits, hyphens and dots", doc.Name)
	}
	return doc
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// bindAPIKey reads one client of the policy's file.
func bindAPIKey(root *node, doc *Document, errs *Errors) APIKey {
	var key APIKey
	b := binder{errs: errs}
	head := b.envelope(root, func(spec *node) { b.value(spec, reflect.ValueOf(&key.Spec).Elem(), "spec") })
	key.Name, key.Namespace, key.Labels = head.Name, head.Namespace, head.Labels
	isNamesake := func(other APIKey) bool { return other.Name == key.Name && other.Namespace == key.Namespace }
	switch line := root.lineOf("metadata.name"); {
	case key.Name == "":
		errs.add(line, "metadata.name", "is required: it tells the APIKeys of the file apart")
	case len(key.Name) > 253 || !nameForm.MatchString(key.Name):
		errs.add(line, "metadata.name", "is no name: use at most 253 lower-case letters, digits, hyphens and dots")
	case slices.ContainsFunc(doc.APIKeys, isNamesake):
		errs.add(line, "metadata.name", "a second %s %s: a file holds one of a name", kindAPIKey, key.Name)
	case key.Namespace != "" && doc.Namespace != "" && key.Namespace != doc.Namespace:
		errs.add(root.lineOf("metadata.namespace"), "metadata.namespace", "is not the policy's: a policy selects APIKeys of its own namespace only")
	}
	return key
}

// envelope reads what is around a spec, and leaves the spec to the caller.
func (b *binder) envelope(root *node, spec func(*node)) envelope {
	var head envelope
	for _, f := range root.fields {
		switch f.name {
		case "apiVersion", "kind", "status":
		case "metadata":
			b.metadata(f.value, &head)
		case "spec":
			spec(f.value)
		default:
			b.unknown(f, "", []string{"apiVersion", "kind", "metadata", "spec", "status"})
		}
	}
	if root.find("spec") == nil {
		b.errs.add(root.line, "spec", "is required")
	}
	return head
}

func (b *binder) metadata(n *node, head *envelope) {
	if !b.isMapping(n, "metadata") {
		return
	}
	own := map[string]any{
		"name": &head.Name, "namespace": &head.Namespace, "generation": &head.Generation, "labels": &head.Labels,
	}
	for _, f := range n.fields {
		if out, ok := own[f.name]; ok {
			b.value(f.value, reflect.ValueOf(out).Elem(), "metadata."+f.name)
			continue
		}
		if known := clusterMetadata(); !slices.Contains(known, f.name) {
			b.unknown(f, "metadata", append(known, "name", "namespace", "generation", "labels"))
		}
	}
}

// spec binds the policy; what only a cluster needs stands beside it.
func (b *binder) spec(n *node, spec *policy.Spec) {
	if b.isMapping(n, "spec") {
		b.fields(n, reflect.ValueOf(spec).Elem(), "spec", "selector", "capture")
	}
}

// clusterMetadata are the fields that an API server adds and a file may carry.
func clusterMetadata() []string {
	return []string{
		"annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
		"managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
	}
}
