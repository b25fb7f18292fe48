package podfile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	kyaml "sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// field is the value of a mapping's field; nil without it.
func field(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalar(n *yaml.Node, name string) string {
	if value := field(n, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// objects are the objects of a document: itself, or the items of a list.
func objects(root *yaml.Node) []*yaml.Node {
	if root == nil || len(root.Content) == 0 {
		return nil
	}
	top := root.Content[0]
	items := field(top, "items")
	if items == nil || items.Kind != yaml.SequenceNode || !strings.HasSuffix(scalar(top, "kind"), "List") {
		return []*yaml.Node{top}
	}
	return items.Content
}

// place is where an object holds its pod.
type place struct {
	parent *yaml.Node // the mapping whose field it is; nil: the object is the pod
	name   string
	path   string // in front of the fields of the pod, in errors
}

// find finds the pod of an object; false: it has none.
func find(object *yaml.Node) (place, bool) {
	spec := field(object, "spec")
	switch scalar(object, "kind") {
	case "Pod":
		return place{}, true
	case "PodTemplate":
		return place{parent: object, name: "template", path: "template."}, field(object, "template") != nil
	case "CronJob":
		inner := field(field(spec, "jobTemplate"), "spec")
		return place{parent: inner, name: "template", path: "spec.jobTemplate.spec.template."}, field(inner, "template") != nil
	}
	isTemplate := field(field(field(spec, "template"), "spec"), "containers") != nil
	return place{parent: spec, name: "template", path: "spec.template."}, isTemplate
}

// object injects the pod of one object; false: it has none.
func (o Options) object(object *yaml.Node) (Outcome, bool, error) {
	at, ok := find(object)
	if !ok {
		return Outcome{}, false, nil
	}
	metadata := field(object, "metadata")
	outcome := Outcome{
		Kind: scalar(object, "kind"), Name: cmp.Or(scalar(metadata, "name"), scalar(metadata, "generateName")),
		Namespace: cmp.Or(scalar(metadata, "namespace"), o.Namespace),
	}
	node := object
	if at.parent != nil {
		node = field(at.parent, at.name)
	}
	err := o.pod(node, &outcome)
	if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
		err = errors.New(at.path + refusal.Error())
	}
	if err != nil {
		return outcome, true, fmt.Errorf("%s %s/%s: %w", outcome.Kind, outcome.Namespace, outcome.Name, err)
	}
	return outcome, true, nil
}

// pod injects a pod, or a template of pods, in place.
func (o Options) pod(node *yaml.Node, outcome *Outcome) error {
	content, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Errorf("reading the pod: %w", err)
	}
	var pod corev1.Pod
	if err := kyaml.Unmarshal(content, &pod); err != nil {
		return fmt.Errorf("reading the pod: %w", err)
	}
	policy, err := inject.Decide(o.of(outcome.Namespace), &pod)
	if err != nil || policy == nil {
		return err
	}
	guarded, warnings, err := inject.Pod(&pod, policy, o.Config)
	if err != nil {
		return err
	}
	var status inject.Status
	if err := json.Unmarshal([]byte(guarded.Annotations[v1alpha1.AnnotationStatus]), &status); err != nil {
		return fmt.Errorf("reading what was injected: %w", err)
	}
	outcome.Policy, outcome.Ports, outcome.Warnings = policy.Name, status.Ports, warnings
	outcome.Changes = changes(&pod, guarded)
	return overlay(node, &pod, guarded)
}

// of are the policies of a namespace. The revision of a bundle is left out: a
// file is applied at another time.
func (o Options) of(namespace string) []v1alpha1.AgentAuthPolicy {
	var policies []v1alpha1.AgentAuthPolicy
	for i := range o.Policies {
		if o.Policies[i].Namespace != namespace {
			continue
		}
		policy := o.Policies[i].DeepCopy()
		policy.Status = v1alpha1.AgentAuthPolicyStatus{}
		policies = append(policies, *policy)
	}
	return policies
}
