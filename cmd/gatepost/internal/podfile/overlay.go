package podfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// overlay puts what changed between before and after, which are the pod in our
// types, into the node that it was read from. What our types do not know, the
// order of fields and comments stay.
func overlay(node *yaml.Node, before, after any) error {
	was, err := tree(before)
	if err != nil {
		return err
	}
	is, err := tree(after)
	if err != nil {
		return err
	}
	fresh, err := freshNode(after)
	if err != nil {
		return err
	}
	if aliased(node) {
		*node = yaml.Node{Kind: yaml.MappingNode, Content: mergeUnknown(node, fresh)}
		return nil
	}
	overlayNode(node, fresh, was, is)
	return nil
}

// tree is a value as JSON has it.
func tree(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out any
	return out, decoder.Decode(&out)
}

// freshNode is a value as YAML, with its fields in the order of its type.
func freshNode(value any) (*yaml.Node, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("encoding the pod: %w", err)
	}
	plain(root.Content[0])
	return root.Content[0], nil
}

// plain takes the look of JSON off, and nulls out.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.MappingNode {
		var kept []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i+1].Tag != "!!null" {
				kept = append(kept, n.Content[i], n.Content[i+1])
			}
		}
		n.Content = kept
	}
	for _, child := range n.Content {
		plain(child)
	}
}

func aliased(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, aliased)
}

// mergeUnknown is the pod written anew for an object that is itself the pod:
// apiVersion and kind come first.
func mergeUnknown(node, fresh *yaml.Node) []*yaml.Node {
	var content []*yaml.Node
	for _, name := range []string{"apiVersion", "kind"} {
		if value := field(node, name); value != nil && field(fresh, name) == nil {
			content = append(content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
		}
	}
	for i := 0; i+1 < len(fresh.Content); i += 2 {
		if fresh.Content[i].Value != "status" {
			content = append(content, fresh.Content[i], fresh.Content[i+1])
		}
	}
	return content
}

// overlayNode returns node with what differs between before and after; fresh is
// after as YAML.
func overlayNode(node, fresh *yaml.Node, before, after any) *yaml.Node {
	if reflect.DeepEqual(before, after) {
		return node
	}
	switch after := after.(type) {
	case map[string]any:
		if was, ok := before.(map[string]any); ok && node.Kind == yaml.MappingNode {
			overlayMap(node, fresh, was, after)
			return node
		}
	case []any:
		if was, ok := before.([]any); ok && node.Kind == yaml.SequenceNode {
			overlayList(node, fresh, was, after)
			return node
		}
	}
	return fresh
}

func overlayMap(node, fresh *yaml.Node, before, after map[string]any) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i].Value
		_, known := before[name]
		if _, stays := after[name]; stays || !known {
			kept = append(kept, node.Content[i], node.Content[i+1])
		}
	}
	node.Content = kept
	for i := 0; i+1 < len(fresh.Content); i += 2 {
		name := fresh.Content[i].Value
		old, known := before[name]
		if known && reflect.DeepEqual(old, after[name]) {
			continue
		}
		setField(node, fresh.Content[i], func(given *yaml.Node) *yaml.Node {
			if given == nil || !known {
				return fresh.Content[i+1]
			}
			return overlayNode(given, fresh.Content[i+1], old, after[name])
		})
	}
}

// setField sets a field of a mapping to what value makes of the one it has, or of
// nil.
func setField(node, name *yaml.Node, value func(given *yaml.Node) *yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name.Value {
			node.Content[i+1] = value(node.Content[i+1])
			return
		}
	}
	node.Content = append(node.Content, name, value(nil))
	node.Style &^= yaml.FlowStyle
}

// overlayList overlays the elements of a list that have the same name; all the
// lists that inject changes are lists of named things.
func overlayList(node, fresh *yaml.Node, before, after []any) {
	merged := make([]*yaml.Node, 0, len(after))
	for i, element := range after {
		next := fresh.Content[i]
		if old, ok := named(before, element); ok {
			if given := namedNode(node, element); given != nil {
				next = overlayNode(given, next, old, element)
			}
		}
		merged = append(merged, next)
	}
	node.Content = merged
	node.Style &^= yaml.FlowStyle
}

func nameOf(element any) string {
	object, _ := element.(map[string]any)
	name, _ := object["name"].(string)
	return name
}

func named(list []any, like any) (any, bool) {
	name := nameOf(like)
	for _, element := range list {
		if name != "" && nameOf(element) == name {
			return element, true
		}
	}
	return nil, false
}

func namedNode(list *yaml.Node, like any) *yaml.Node {
	for _, element := range list.Content {
		if name := nameOf(like); name != "" && scalar(element, "name") == name {
			return element
		}
	}
	return nil
}
