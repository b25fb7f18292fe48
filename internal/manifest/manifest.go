// Package manifest reads an AgentAuthPolicy, and the APIKeys beside it, where
// there is no API server: the policy file of a standalone sidecar, the input of
// `gatepost policy test`, and the policy.json that the controller mounts into a
// pod.
//
// An API server would refuse unknown fields and name the wrong ones; a file has
// only Parse. So Parse accepts one AgentAuthPolicy in YAML or JSON, with any
// number of APIKeys in further documents, and refuses
// everything that two readers could take differently: unknown, repeated and
// differently cased fields, two policies, aliases that multiply, sizes beyond a
// bound. What the fields mean is judged by policy.Compile and
// policy.CheckAPIKey; Parse asks them too, because only here a field still has a
// line number.
package manifest

import (
	"errors"

	"gatepost.dev/gatepost/policy"
)

// MaxBytes is the largest file that Parse looks at: 1 MiB, what an API server
// stores at most.
const MaxBytes = 1 << 20

// The apiVersion and the kinds of the documents.
const (
	apiVersion = "gatepost.dev/v1alpha1"
	kindPolicy = "AgentAuthPolicy"
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
	documents, err := read(data)
	if err != nil {
		return Document{}, err
	}
	var errs Errors
	root, keys := sorted(documents, &errs)
	if root == nil || len(errs) > 0 {
		return Document{}, errs.sorted()
	}
	doc := bindDocument(root, &errs)
	for _, key := range keys {
		doc.APIKeys = append(doc.APIKeys, bindAPIKey(key, &doc, &errs))
	}
	if len(errs) == 0 {
		judge(root, doc, &errs)
		for i := range keys {
			add(keys[i], policy.CheckAPIKey(doc.APIKeys[i].Spec), &errs)
		}
	}
	if len(errs) > 0 {
		return Document{}, errs.sorted()
	}
	return doc, nil
}

// sorted picks the AgentAuthPolicy and the APIKeys and refuses everything else.
func sorted(documents []*node, errs *Errors) (root *node, keys []*node) {
	for _, d := range documents {
		kind, version := d.text("kind"), d.text("apiVersion")
		switch {
		case d.kind != mapping:
			errs.add(d.line, "", "this document is %s, not an %s", d.kind, kindPolicy)
		case kind == kindAPIKey && version == apiVersion:
			keys = append(keys, d)
		case kind != kindPolicy && kind != kindAPIKey:
			errs.add(d.at("kind").line, "kind", "%q is not expected here: a policy file holds one %s, and %ss; move other objects to another file", kind, kindPolicy, kindAPIKey)
		case version != apiVersion:
			errs.add(d.at("apiVersion").line, "apiVersion", "%q is not known: write %s", version, apiVersion)
		case root != nil:
			errs.add(d.line, "kind", "a second %s: a file holds one; the first begins at line %d", kindPolicy, root.line)
		default:
			root = d
		}
	}
	if root == nil && len(*errs) == 0 {
		errs.add(1, "", "no %s in the file: it begins with apiVersion: %s and kind: %s", kindPolicy, apiVersion, kindPolicy)
	}
	return root, keys
}

// judge adds what Compile says.
func judge(root *node, doc Document, errs *Errors) {
	_, err := policy.Compile(doc.Spec)
	add(root, err, errs)
}

// add adds what is wrong with a document, with the line of the field or of its
// parent.
func add(root *node, err error, errs *Errors) {
	var found policy.Errors
	if err != nil && !errors.As(err, &found) {
		errs.add(root.line, "spec", "%v", err)
	}
	for _, e := range found {
		errs.add(root.lineOf(e.Field), e.Field, "%s", e.Detail)
	}
}
