// Package manifest reads an AgentAuthPolicy or a TokenIssuer, and the APIKeys
// beside it, where there is no API server: the file of a standalone sidecar or
// issuer, the input of `gatepost policy test`, and the policy.json or issuer.json
// that the controller mounts into a pod.
//
// An API server would refuse unknown fields and name the wrong ones; a file has
// only Parse and ParseIssuer. So each accepts one object of its kind in YAML or
// JSON, with any number of APIKeys in further documents, and refuses
// everything that two readers could take differently: unknown, repeated and
// differently cased fields, two policies, aliases that multiply, sizes beyond a
// bound. What the fields mean is judged by policy.Compile, grant.Compile and
// policy.CheckAPIKey; both ask them too, because only here a field still has a
// line number.
package manifest

import "gatepost.dev/gatepost/policy"

// MaxBytes is the largest file that Parse looks at: 1 MiB, what an API server
// stores at most.
const MaxBytes = 1 << 20

// The apiVersion and the kinds of the documents.
const (
	apiVersion = "gatepost.dev/v1alpha1"
	kindPolicy = "AgentAuthPolicy"
	kindIssuer = "TokenIssuer"
	kindAPIKey = "APIKey"
)

// Document is one AgentAuthPolicy without what only a cluster needs: selector
// and capture are accepted and left out.
type Document struct {
	// Name and Namespace are the object's.
	Name, Namespace string
	// Generation is metadata.generation, 0 in a file written by hand.
	Generation int64
	// Spec is the policy, without defaults.
	Spec policy.Spec
	// APIKeys are the clients that the file holds beside the policy, in its order.
	APIKeys []APIKey
}

// APIKey is one APIKey document of a file.
type APIKey struct {
	// Name and Namespace are the object's.
	Name, Namespace string
	// Labels are what a policy's credentialSelector selects by.
	Labels map[string]string
	// Spec is the client.
	Spec policy.APIKeySpec
}

// Parse reads YAML or JSON of one or several documents: exactly one
// AgentAuthPolicy that compiles, and APIKeys that can be told apart. How many of
// their values are live depends on the time and is not judged here. The error is
// of type Errors, or says why the file cannot be read at all.
func Parse(data []byte) (Document, error) {
	f, err := open(data, policies())
	if err != nil {
		return Document{}, err
	}
	var doc Document
	head := f.bind(func(b *binder, spec *node) { b.fieldsOf(spec, &doc.Spec, "selector", "capture") })
	f.name(head, nameForm, "lower-case letters, digits, hyphens and dots")
	doc.Name, doc.Namespace, doc.Generation = head.Name, head.Namespace, head.Generation
	doc.APIKeys = f.clients(head)
	f.judge(func() error { _, err := policy.Compile(doc.Spec); return err }, doc.APIKeys)
	if err := f.err(); err != nil {
		return Document{}, err
	}
	return doc, nil
}
