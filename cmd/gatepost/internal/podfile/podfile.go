// Package podfile injects the pods in files of manifests, with the webhook's own
// code: what comes out is what the webhook would make of the pods when they are
// created.
//
// A pod is found in Pods and in everything that holds a pod template: the
// workloads of Kubernetes, and kinds of others that have spec.template.spec with
// containers; lists of them too. Documents without a guarded pod come out byte
// for byte; in the others only what the injector changes is changed, so that
// order and comments stay. (A pod that uses YAML aliases is written anew, and
// JSON stays JSON.)
package podfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/controller/inject"
)

// Options say how pods are injected.
type Options struct {
	// Config is what the webhook is started with.
	Config inject.Config
	// Policies are those of all namespaces that the manifests are for.
	Policies []v1alpha1.AgentAuthPolicy
	// Namespace is that of objects which name none. Required.
	Namespace string
}

// Outcome is what became of one pod, or of the template of pods.
type Outcome struct {
	Kind, Namespace, Name string
	// Policy is the one that guards it; empty: it came out as it was.
	Policy string
	// Ports are the guarded ones.
	Ports []int32
	// Changes say what the pod's author has to know of its containers.
	Changes []string
	// Warnings are the injector's.
	Warnings []inject.Warning
}

// separator is a line that ends a document, whatever is in it.
var separator = regexp.MustCompile(`(?m)^---(?:[ \t].*)?\r?(?:\n|\z)`)

// Inject returns the manifests with guarded pods, and what became of each pod. An
// error names the object, and then nothing is to be used of what was given.
func Inject(text []byte, o Options) ([]byte, []Outcome, error) {
	var out bytes.Buffer
	var outcomes []Outcome
	for _, part := range split(text) {
		written, found, err := o.document(part.content)
		if err != nil {
			return nil, nil, err
		}
		out.Write(part.head)
		out.Write(written)
		outcomes = append(outcomes, found...)
	}
	return out.Bytes(), outcomes, nil
}

// Policies are the AgentAuthPolicies among the manifests, read strictly.
func Policies(text []byte, namespace string) ([]v1alpha1.AgentAuthPolicy, error) {
	var policies []v1alpha1.AgentAuthPolicy
	for _, part := range split(text) {
		root, err := parse(part.content)
		if err != nil {
			return nil, err
		}
		for _, object := range objects(root) {
			if kind, version := scalar(object, "kind"), scalar(object, "apiVersion"); kind != v1alpha1.KindAgentAuthPolicy || version != v1alpha1.Group+"/"+v1alpha1.Version {
				continue
			}
			policy, err := readPolicy(object)
			if err != nil {
				return nil, fmt.Errorf("AgentAuthPolicy %s: %w", scalar(field(object, "metadata"), "name"), err)
			}
			policy.Namespace = cmp.Or(policy.Namespace, namespace)
			policies = append(policies, policy)
		}
	}
	return policies, nil
}

func readPolicy(object *yaml.Node) (policy v1alpha1.AgentAuthPolicy, err error) {
	text, err := yaml.Marshal(object)
	if err != nil {
		return policy, err
	}
	if text, err = kyaml.YAMLToJSON(text); err != nil {
		return policy, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil {
		return policy, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return policy, nil
}

// part is a document and the separator before it.
type part struct{ head, content []byte }

func split(text []byte) []part {
	var parts []part
	var head []byte
	from := 0
	for _, at := range separator.FindAllIndex(text, -1) {
		parts = append(parts, part{head, text[from:at[0]]})
		head, from = text[at[0]:at[1]], at[1]
	}
	return append(parts, part{head, text[from:]})
}

// parse reads one document; nil for one that is empty.
func parse(content []byte) (*yaml.Node, error) {
	var root yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the manifests: %w", err)
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the manifests: something stands behind the end of a document: separate documents by a line ---")
	}
	return &root, nil
}

// document injects the pods of one document.
func (o Options) document(content []byte) ([]byte, []Outcome, error) {
	root, err := parse(content)
	if err != nil || root == nil {
		return content, nil, err
	}
	var outcomes []Outcome
	changed := false
	for _, object := range objects(root) {
		outcome, found, err := o.object(object)
		if err != nil {
			return nil, nil, err
		}
		if found {
			outcomes, changed = append(outcomes, outcome), changed || outcome.Policy != ""
		}
	}
	if !changed {
		return content, outcomes, nil
	}
	written, err := write(root, content)
	return written, outcomes, err
}

// write writes a document as it was written before: as JSON or as YAML.
func write(root *yaml.Node, before []byte) ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := errors.Join(encoder.Encode(root), encoder.Close()); err != nil {
		return nil, fmt.Errorf("writing the manifests: %w", err)
	}
	if first := bytes.TrimSpace(before); len(first) == 0 || first[0] != '{' {
		return text.Bytes(), nil
	}
	return output.JSONOf(text.Bytes())
}
