// Package manifest reads an AgentAuthPolicy where there is no API server: the
// policy file of a standalone sidecar, the input of `gatepost policy test`, and
// the policy.json that the controller mounts into a pod.
//
// An API server would refuse unknown fields and name the wrong ones; a file has
// only Parse. So Parse accepts one AgentAuthPolicy in YAML or JSON, and refuses
// everything that two readers could take differently: unknown, repeated and
// differently cased fields, two policies, aliases that multiply, sizes beyond a
// bound. What the fields mean is judged by policy.Compile; Parse asks it too,
// because only here a field still has a line number.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

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
}

// Parse reads YAML or JSON of one or several documents, exactly one of which is
// an AgentAuthPolicy that compiles. The error is of type Errors, or says why
// the file cannot be read at all.
func Parse(data []byte) (Document, error) {
	documents, err := read(data)
	if err != nil {
		return Document{}, err
	}
	var errs Errors
	root := theOnlyPolicy(documents, &errs)
	if root == nil || len(errs) > 0 {
		return Document{}, errs.sorted()
	}
	doc := bindDocument(root, &errs)
	if len(errs) == 0 {
		judge(root, doc, &errs)
	}
	if len(errs) > 0 {
		return Document{}, errs.sorted()
	}
	return doc, nil
}

// theOnlyPolicy picks the AgentAuthPolicy and refuses everything else.
func theOnlyPolicy(documents []*node, errs *Errors) *node {
	var root *node
	for _, d := range documents {
		kind, version := d.text("kind"), d.text("apiVersion")
		switch {
		case d.kind != mapping:
			errs.add(d.line, "", "this document is %s, not an %s", d.kind, kindPolicy)
		case kind == kindAPIKey && version == apiVersion:
			errs.add(d.line, "kind", "%s: NotSupportedYet: API keys are not built yet; remove the document", kind)
		case kind != kindPolicy:
			errs.add(d.at("kind").line, "kind", "%q is not expected here: a policy file holds one %s; move other objects to another file", kind, kindPolicy)
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
	return root
}

// judge adds what Compile says, with the line of the field or of its parent.
func judge(root *node, doc Document, errs *Errors) {
	_, err := policy.Compile(doc.Spec)
	var found policy.Errors
	if err != nil && !errors.As(err, &found) {
		errs.add(root.line, "spec", "%v", err)
	}
	for _, e := range found {
		errs.add(root.lineOf(e.Field), e.Field, "%s", e.Detail)
	}
}

// object is the form of policy.json.
type object struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Metadata   metadata    `json:"metadata"`
	Spec       policy.Spec `json:"spec"`
}

type metadata struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// Marshal writes the canonical policy.json: the same document gives the same
// bytes, and Parse reads a valid one back.
func Marshal(doc Document) ([]byte, error) {
	data, err := json.Marshal(object{
		APIVersion: apiVersion,
		Kind:       kindPolicy,
		Metadata:   metadata{Name: doc.Name, Namespace: doc.Namespace, Generation: doc.Generation},
		Spec:       doc.Spec,
	})
	if err != nil {
		return nil, fmt.Errorf("writing policy %s: %w", doc.Name, err)
	}
	return append(data, '\n'), nil
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// bindDocument reads the envelope and the spec.
func bindDocument(root *node, errs *Errors) Document {
	var doc Document
	b := binder{errs: errs}
	for _, f := range root.fields {
		switch f.name {
		case "apiVersion", "kind", "status":
		case "metadata":
			b.metadata(f.value, &doc)
		case "spec":
			b.spec(f.value, &doc.Spec)
		default:
			b.unknown(f, "", []string{"apiVersion", "kind", "metadata", "spec", "status"})
		}
	}
	if root.find("spec") == nil {
		errs.add(root.line, "spec", "is required")
	}
	switch line := root.lineOf("metadata.name"); {
	case doc.Name == "":
		errs.add(line, "metadata.name", "is required: it names the policy in metrics and logs")
	case len(doc.Name) > 52 || !nameForm.MatchString(doc.Name):
		errs.add(line, "metadata.name", "%q is no name: use at most 52 lower-case letters, digits, hyphens and dots", doc.Name)
	}
	return doc
}

// clusterMetadata are the fields that an API server adds and a file may carry.
func clusterMetadata() []string {
	return []string{
		"annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
		"labels", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
	}
}
