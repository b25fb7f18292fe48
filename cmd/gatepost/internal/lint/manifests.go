package lint

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Report is what there is to say about files of manifests.
type Report struct {
	Findings []Finding
	// Checked is how many objects were looked at, Skipped how many documents hold
	// something else than a policy, an issuer or an API key.
	Checked, Skipped int
}

// ours finds what may concern Gatepost in text that nobody has read yet.
var ours = regexp.MustCompile(`gatepost\.dev/|\b(?:AgentAuthPolicy|TokenIssuer)\b`)

// Add looks at a file. One that was named holds manifests, so that nothing else
// is right in it; found is one that was come across in a directory, where
// anything may lie.
func (r *Report) Add(file string, content []byte, found bool, now time.Time) {
	if found && !ours.Match(content) {
		r.Skipped++
		return
	}
	parts := split(content, found)
	of := map[kind][]part{}
	for _, p := range parts {
		of[p.kind] = append(of[p.kind], p)
	}
	r.Skipped += len(of[other])
	r.Checked += len(parts) - len(of[other])
	for _, text := range texts(content, parts, of) {
		r.Findings = append(r.Findings, Check(file, text, now)...)
	}
	if len(parts) == 0 && !found {
		r.Findings = append(r.Findings, Check(file, content, now)...)
	}
}

// texts are what to check one by one: each policy and each issuer, the API keys
// beside the only one of them or by themselves, and what could not be read.
func texts(content []byte, parts []part, of map[kind][]part) [][]byte {
	roots, keys := of[root], of[key]
	var found [][]byte
	switch {
	case len(of[other])+len(of[unreadable]) == 0 && len(roots) == 1:
		return [][]byte{content}
	case len(roots) == 1:
		found, roots = append(found, only(content, parts, append(keys, roots[0])...)), nil
	case len(keys) > 0:
		found = append(found, append(only(content, parts, keys...), anybody...))
	}
	for _, p := range append(roots, of[unreadable]...) {
		found = append(found, only(content, parts, p))
	}
	return found
}

// anybody is a policy that has nothing to be said about and goes behind API keys
// that come without one.
const anybody = "\n---\napiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: keys}\n" +
	"spec: {apiKeyAuth: {credentialSelector: {}}, authorization: {rules: [{name: all, operation: {paths: [{type: Prefix, value: /}]}}]}}\n"

// kind is what a document holds.
type kind int

const (
	blank      kind = iota
	root            // a policy or an issuer, or what was meant as one
	key             // an APIKey
	other           // an object that Gatepost leaves to others
	unreadable      // neither, so that it cannot be passed over
)

// part is a document with the separator before it, from one byte to another.
type part struct {
	from, to int
	kind     kind
}

// separator begins a document, whatever is in it.
var separator = regexp.MustCompile(`(?m)^---(?:[ \t\r]|$)`)

// split is the documents of a file that hold anything.
func split(content []byte, found bool) []part {
	var parts []part
	add := func(from, to int) {
		if k := kindOf(content[from:to], found); k != blank {
			parts = append(parts, part{from, to, k})
		}
	}
	from := 0
	for i, at := range separator.FindAllIndex(content, -1) {
		if i == 0 && bytes.HasPrefix(bytes.TrimSpace(content[:at[0]]), []byte("%")) {
			continue // a directive belongs to the document behind it
		}
		add(from, at[0])
		from = at[0]
	}
	add(from, len(content))
	return parts
}

// only is a file with just these documents. Lines keep their numbers.
func only(content []byte, parts []part, kept ...part) []byte {
	var out bytes.Buffer
	at := 0
	hide := func(to int) {
		out.Write(bytes.Repeat([]byte("\n"), bytes.Count(content[at:to], []byte("\n"))))
		at = to
	}
	for _, p := range parts {
		for _, k := range kept {
			if k == p {
				hide(p.from)
				out.Write(content[p.from:p.to])
				at = p.to
			}
		}
	}
	hide(len(content))
	return out.Bytes()
}

// kindOf says what a document holds. When in doubt it is one of ours, so that
// what is wrong with it is said.
func kindOf(document []byte, found bool) kind {
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	var tree, more yaml.Node
	switch err := decoder.Decode(&tree); {
	case errors.Is(err, io.EOF):
		return blank
	case err != nil:
		return unreadable
	case !errors.Is(decoder.Decode(&more), io.EOF):
		return unreadable
	}
	if strings.HasSuffix(field(&tree, "kind"), "List") && ours.Match(document) {
		return unreadable
	}
	return kindNamed(field(&tree, "kind"), field(&tree, "apiVersion"), found)
}

func kindNamed(name, version string, found bool) kind {
	isOurs := strings.HasPrefix(version, "gatepost.dev/")
	switch {
	case name == v1alpha1.KindAgentAuthPolicy, name == v1alpha1.KindTokenIssuer:
		return root
	case name == v1alpha1.KindAPIKey && (isOurs || version == ""):
		return key
	case name == v1alpha1.KindSigningKey:
		return other
	case isOurs, name == "" && !found:
		return root
	}
	return other
}

// field is a text of the object that a document holds; empty without it.
func field(document *yaml.Node, name string) string {
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return ""
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == name && fields[i+1].Kind == yaml.ScalarNode {
			return fields[i+1].Value
		}
	}
	return ""
}
