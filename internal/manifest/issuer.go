package manifest

import (
	"regexp"

	"gatepost.dev/gatepost/grant"
)

// IssuerDocument is one TokenIssuer.
type IssuerDocument struct {
	// Name and Namespace are the object's.
	Name, Namespace string
	// Generation is metadata.generation, 0 in a file written by hand.
	Generation int64
	// Spec is the issuer, without defaults.
	Spec grant.Spec
	// APIKeys are the OAuth clients that the file holds beside the issuer, in its
	// order.
	APIKeys []APIKey
}

// serviceForm is the name of a Service, which an issuer's is part of. Sidecars, which
// hold this package too, never make it.
func serviceForm() *regexp.Regexp { return regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`) }

// ParseIssuer reads YAML or JSON of one or several documents: exactly one
// TokenIssuer that compiles, and APIKeys that can be told apart. The error is as
// that of Parse.
func ParseIssuer(data []byte) (IssuerDocument, error) {
	f, err := open(data, issuers())
	if err != nil {
		return IssuerDocument{}, err
	}
	var doc IssuerDocument
	head := f.bind(func(b *binder, spec *node) { b.fieldsOf(spec, &doc.Spec) })
	f.name(head, serviceForm(), "lower-case letters, digits and hyphens, the first a letter")
	doc.Name, doc.Namespace, doc.Generation = head.Name, head.Namespace, head.Generation
	doc.APIKeys = f.clients(head)
	f.judge(func() error { _, err := grant.Compile(doc.Spec); return err }, doc.APIKeys)
	if err := f.err(); err != nil {
		return IssuerDocument{}, err
	}
	return doc, nil
}

// MarshalIssuer writes the canonical issuer.json, without APIKeys: the same
// document gives the same bytes, and ParseIssuer reads a valid one back.
func MarshalIssuer(doc IssuerDocument) ([]byte, error) {
	return marshal(kindIssuer, metadata{Name: doc.Name, Namespace: doc.Namespace, Generation: doc.Generation}, doc.Spec)
}
