package manifest

import (
	"strconv"
	"strings"
)

// form is what a node is.
type form int

const (
	null form = iota
	scalarText
	scalarNumber
	scalarBool
	sequence
	mapping
)

// String names a form in messages.
func (f form) String() string {
	return [...]string{"empty", "a text", "a number", "true or false", "a list", "a set of fields"}[f]
}

// node is a value of a document, the same for YAML and JSON: what Parse
// understands does not depend on how it is written.
type node struct {
	kind   form
	line   int
	value  string
	items  []*node
	fields []field
}

// field is one field of a mapping.
type field struct {
	name  string
	line  int
	value *node
}

// find is the value of a field; nil when there is none.
func (n *node) find(name string) *node {
	for _, f := range n.fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// at is the value of a field, or the node itself when there is none.
func (n *node) at(name string) *node {
	if found := n.find(name); found != nil {
		return found
	}
	return n
}

// text is the value of a text field; empty when there is none.
func (n *node) text(name string) string {
	if found := n.find(name); found != nil && found.kind == scalarText {
		return found.value
	}
	return ""
}

// lineOf is the line of the field that a path such as spec.jwt.providers[0]
// names, or of the closest field around it.
func (n *node) lineOf(path string) int {
	line := n.line
	for step := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		if index, ok := strings.CutPrefix(step, "["); ok {
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil || i < 0 || i >= len(n.items) {
				return line
			}
			n = n.items[i]
			line = n.line
			continue
		}
		found := false
		for _, f := range n.fields {
			if f.name == step {
				n, line, found = f.value, f.line, true
				break
			}
		}
		if !found {
			return line
		}
	}
	return line
}
