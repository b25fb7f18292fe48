package policy

import "strings"

// pathPattern matches decoded paths. Text never ends in a slash, but for the root.
type pathPattern struct {
	kind     string
	fold     bool
	text     string
	segments []segment
	// at is, for each variable that the rule uses, the segment that binds it.
	at []int
}

// segment is one segment of a template: a text, or a variable when name is set.
type segment struct {
	text, name string
}

// newPathPattern reads a path that was checked.
func newPathPattern(m PathMatch) pathPattern {
	p := pathPattern{kind: m.Type, fold: m.IgnoreCase, text: trimSlash(m.Value)}
	if m.Type != PathTemplate {
		return p
	}
	for text := range strings.SplitSeq(p.text[1:], "/") {
		if name, ok := variable(text); ok {
			p.segments = append(p.segments, segment{name: name})
		} else {
			p.segments = append(p.segments, segment{text: text})
		}
	}
	return p
}

// variable is the name in a segment such as {name}.
func variable(text string) (string, bool) {
	if len(text) > 2 && text[0] == '{' && text[len(text)-1] == '}' {
		return text[1 : len(text)-1], true
	}
	return "", false
}

// binds gives the index of the segment that binds a variable, or false.
func (p *pathPattern) binds(name string) (int, bool) {
	for i, s := range p.segments {
		if s.name == name {
			return i, true
		}
	}
	return 0, false
}

// matches compares with a decoded path that lost its trailing slash.
func (p *pathPattern) matches(path string) bool {
	switch p.kind {
	case PathExact:
		return p.same(path, p.text)
	case PathPrefix:
		if p.text == "/" {
			return true
		}
		n := len(p.text)
		return len(path) >= n && p.same(path[:n], p.text) && (len(path) == n || path[n] == '/')
	case PathTemplate:
		return p.matchesSegments(path)
	}
	return false
}

func (p *pathPattern) matchesSegments(path string) bool {
	rest, more := path[1:], true
	for i := range p.segments {
		if !more {
			return false
		}
		var got string
		got, rest, more = strings.Cut(rest, "/")
		want := &p.segments[i]
		if want.name != "" && got == "" || want.name == "" && !p.same(got, want.text) {
			return false
		}
	}
	return !more
}

func (p *pathPattern) same(a, b string) bool {
	return a == b || p.fold && EqualFoldASCII(a, b)
}

// EqualFoldASCII compares without the case of the letters A to Z, as HTTP does
// (RFC 9110 section 5.6.2): readers that ignore case do not agree on more than
// that, and Unicode would take a Kelvin sign for a k.
func EqualFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// binding is what the variables of a matched template stand for; they are cut
// out of the path only when one is asked for.
type binding struct {
	path string
	at   []int
}

// value is the segment that the rule's n-th variable stands for.
func (b binding) value(n int) string {
	rest := b.path[1:]
	for range b.at[n] {
		_, rest, _ = strings.Cut(rest, "/")
	}
	text, _, _ := strings.Cut(rest, "/")
	return text
}

// textPattern is a text with variables in it, such as agents:{agent_id}:run.
type textPattern []piece

// piece is a literal, or the n-th variable of the rule when variable is set. One
// that is whole stands for nothing that has a colon in it.
type piece struct {
	literal  string
	variable bool
	whole    bool
	n        int
}

// text is what a piece stands for.
func (p *piece) text(b binding) string {
	if p.variable {
		return b.value(p.n)
	}
	return p.literal
}

// equals compares piece by piece, so that nothing is put together per request.
func (t textPattern) equals(s string, b binding) bool {
	for i := range t {
		text := t[i].text(b)
		rest, ok := strings.CutPrefix(s, text)
		if !ok || t[i].whole && strings.Contains(text, ":") {
			return false
		}
		s = rest
	}
	return s == ""
}

// expand puts the text together.
func (t textPattern) expand(b binding) string {
	var out strings.Builder
	for i := range t {
		out.WriteString(t[i].text(b))
	}
	return out.String()
}
