package manifest

import (
	"encoding/json"
	"fmt"
)

// object is the form of policy.json and issuer.json.
type object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       any      `json:"spec"`
}

type metadata struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// Marshal writes the canonical policy.json: the same document gives the same
// bytes, and Parse reads a valid one back.
func Marshal(doc Document) ([]byte, error) {
	return marshal(kindPolicy, metadata{Name: doc.Name, Namespace: doc.Namespace, Generation: doc.Generation}, doc.Spec)
}

func marshal(kind string, head metadata, spec any) ([]byte, error) {
	data, err := json.Marshal(object{APIVersion: apiVersion, Kind: kind, Metadata: head, Spec: spec})
	if err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", kind, head.Name, err)
	}
	return append(data, '\n'), nil
}
