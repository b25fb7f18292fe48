package manifest

import (
	"encoding/json"
	"fmt"

	"gatepost.dev/gatepost/policy"
)

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
