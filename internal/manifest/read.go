package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The bounds of a tree: far beyond any policy, far below what hurts.
const (
	maxDepth = 32
	maxNodes = 50_000
)

// read turns a file into trees, one for each document that is not empty.
func read(data []byte) ([]*node, error) {
	switch {
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), MaxBytes)
	case !utf8.Valid(data):
		return nil, errors.New("the file is not UTF-8 text")
	case bytes.IndexByte(data, 0) >= 0:
		return nil, errors.New("the file has NUL bytes in it")
	}
	if json.Valid(data) {
		return readJSON(data)
	}
	return readYAML(data)
}

func readYAML(data []byte) ([]*node, error) {
	var documents []*node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	b := yamlBuilder{left: maxNodes}
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		tree, err := b.build(&root, 0)
		if err != nil {
			return nil, err
		}
		if tree.kind != null {
			documents = append(documents, tree)
		}
	}
}

// yamlBuilder copies a parsed document into a tree. Aliases are followed, which
// is why the number of nodes is bounded: an alias to an alias multiplies.
type yamlBuilder struct{ left int }

func (b *yamlBuilder) build(y *yaml.Node, depth int) (*node, error) {
	b.left--
	if b.left < 0 || depth > maxDepth {
		return nil, fmt.Errorf("line %d: the file is nested deeper than %d levels or grows beyond %d values by its aliases", y.Line, maxDepth, maxNodes)
	}
	switch y.Kind {
	case yaml.DocumentNode:
		if len(y.Content) == 1 {
			return b.build(y.Content[0], depth)
		}
	case yaml.AliasNode:
		return b.build(y.Alias, depth+1)
	case yaml.ScalarNode:
		return scalar(y)
	case yaml.SequenceNode:
		return b.sequence(y, depth)
	case yaml.MappingNode:
		return b.mapping(y, depth)
	}
	return &node{kind: null, line: y.Line}, nil
}

func foreignTag(y *yaml.Node) error {
	return fmt.Errorf("line %d: the YAML tag %s is not accepted here", y.Line, shorten(y.ShortTag()))
}

func (b *yamlBuilder) sequence(y *yaml.Node, depth int) (*node, error) {
	if y.ShortTag() != "!!seq" {
		return nil, foreignTag(y)
	}
	out := &node{kind: sequence, line: y.Line}
	for _, item := range y.Content {
		built, err := b.build(item, depth+1)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, built)
	}
	return out, nil
}

func (b *yamlBuilder) mapping(y *yaml.Node, depth int) (*node, error) {
	if y.ShortTag() != "!!map" {
		return nil, foreignTag(y)
	}
	out := &node{kind: mapping, line: y.Line}
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		switch {
		case key.ShortTag() == "!!merge":
			return nil, fmt.Errorf("line %d: merge keys (<<) are not accepted: write the fields out", key.Line)
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			return nil, fmt.Errorf("line %d: the name of a field must be a text", key.Line)
		case seen[key.Value]:
			return nil, fmt.Errorf("line %d: field %s is there twice: remove one", key.Line, key.Value)
		}
		seen[key.Value] = true
		value, err := b.build(y.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		out.fields = append(out.fields, field{name: key.Value, line: key.Line, value: value})
	}
	return out, nil
}

func scalar(y *yaml.Node) (*node, error) {
	out := &node{line: y.Line, value: y.Value}
	switch y.ShortTag() {
	case "!!null":
		out.kind = null
	case "!!str", "!!timestamp":
		out.kind = scalarText
	case "!!int", "!!float":
		out.kind = scalarNumber
	case "!!bool":
		out.kind, out.value = scalarBool, strings.ToLower(y.Value)
	default:
		return nil, foreignTag(y)
	}
	return out, nil
}

// readJSON reads valid JSON; YAML's reader would refuse its tabs and take its
// escapes differently.
func readJSON(data []byte) ([]*node, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	b := jsonBuilder{data: data, decoder: decoder, line: 1, left: maxNodes}
	tree, err := b.build(0)
	if err != nil {
		return nil, err
	}
	return []*node{tree}, nil
}

// jsonBuilder reads tokens into a tree and counts lines on the way.
type jsonBuilder struct {
	data    []byte
	decoder *json.Decoder
	offset  int64
	line    int
	left    int
}

// token is the next token; line is then the line it ends on.
func (b *jsonBuilder) token() (json.Token, error) {
	token, err := b.decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", b.line, err)
	}
	end := b.decoder.InputOffset()
	b.line += bytes.Count(b.data[b.offset:end], []byte("\n"))
	b.offset = end
	return token, nil
}

func (b *jsonBuilder) build(depth int) (*node, error) {
	b.left--
	if b.left < 0 || depth > maxDepth {
		return nil, fmt.Errorf("line %d: the file is nested deeper than %d levels or has more than %d values", b.line, maxDepth, maxNodes)
	}
	token, err := b.token()
	if err != nil {
		return nil, err
	}
	out := &node{line: b.line}
	switch value := token.(type) {
	case json.Delim:
		if value == '{' {
			return b.mapping(out, depth)
		}
		return b.sequence(out, depth)
	case string:
		out.kind, out.value = scalarText, value
	case json.Number:
		out.kind, out.value = scalarNumber, value.String()
	case bool:
		out.kind, out.value = scalarBool, fmt.Sprint(value)
	}
	return out, nil
}

func (b *jsonBuilder) sequence(out *node, depth int) (*node, error) {
	out.kind = sequence
	for b.decoder.More() {
		item, err := b.build(depth + 1)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, item)
	}
	_, err := b.token()
	return out, err
}

func (b *jsonBuilder) mapping(out *node, depth int) (*node, error) {
	out.kind = mapping
	seen := map[string]bool{}
	for b.decoder.More() {
		key, err := b.token()
		if err != nil {
			return nil, err
		}
		name, line := fmt.Sprint(key), b.line
		if seen[name] {
			return nil, fmt.Errorf("line %d: field %s is there twice: remove one", line, name)
		}
		seen[name] = true
		value, err := b.build(depth + 1)
		if err != nil {
			return nil, err
		}
		out.fields = append(out.fields, field{name: name, line: line, value: value})
	}
	_, err := b.token()
	return out, err
}
