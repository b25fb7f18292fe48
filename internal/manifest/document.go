package manifest

import (
	"reflect"
	"slices"
)

// envelope is what every document has around its spec.
type envelope struct {
	Name, Namespace string
	Generation      int64
	Labels          map[string]string
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

// fieldsOf binds a spec to the struct that out points to; what only a cluster
// needs is passed over.
func (b *binder) fieldsOf(n *node, out any, passed ...string) {
	if b.isMapping(n, "spec") {
		b.fields(n, reflect.ValueOf(out).Elem(), "spec", passed...)
	}
}

// clusterMetadata are the fields that an API server adds and a file may carry.
func clusterMetadata() []string {
	return []string{
		"annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
		"managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
	}
}
