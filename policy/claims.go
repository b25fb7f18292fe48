package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Lookup finds a claim: a top-level name compared byte for byte, or a JSON
// pointer (RFC 6901) when name begins with a slash. A claim that is null is
// found, with a nil value. A pointer that is malformed finds nothing.
func Lookup(claims map[string]any, name string) (any, bool) {
	ref, ok := newClaimRef(name)
	if !ok {
		return nil, false
	}
	return ref.in(claims)
}

// claimRef says where a claim is: the way down from the top.
type claimRef struct {
	name  string
	below []string
}

// newClaimRef reads a name or a pointer; false for an escape other than ~0 and ~1.
func newClaimRef(name string) (claimRef, bool) {
	if !strings.HasPrefix(name, "/") {
		return claimRef{name: name}, true
	}
	steps := strings.Split(name[1:], "/")
	for i, step := range steps {
		plain := strings.NewReplacer("~0", "", "~1", "").Replace(step)
		if strings.Contains(plain, "~") {
			return claimRef{}, false
		}
		steps[i] = strings.NewReplacer("~0", "~", "~1", "/").Replace(step)
	}
	return claimRef{name: steps[0], below: steps[1:]}, true
}

// in finds the claim among claims.
func (r claimRef) in(claims map[string]any) (any, bool) {
	value, ok := claims[r.name]
	for _, step := range r.below {
		if !ok {
			break
		}
		value, ok = child(value, step)
	}
	return value, ok
}

// child is the member of an object or the element of an array that step names.
func child(value any, step string) (any, bool) {
	switch parent := value.(type) {
	case map[string]any:
		value, ok := parent[step]
		return value, ok
	case []any:
		i, err := strconv.Atoi(step)
		if err != nil || i < 0 || i >= len(parent) || strconv.Itoa(i) != step {
			return nil, false
		}
		return parent[i], true
	}
	return nil, false
}

// claimTest asks that a claim of one form has one of the values.
type claimTest struct {
	ref    claimRef
	form   string
	values []string
}

// holds reports whether the claim is there, has the form and one of the values.
func (t *claimTest) holds(claims map[string]any) bool {
	value, ok := t.ref.in(claims)
	if !ok {
		return false
	}
	switch t.form {
	case ClaimString:
		text, ok := value.(string)
		return ok && slices.Contains(t.values, text)
	case ClaimBoolean:
		truth, ok := value.(bool)
		return ok && slices.Contains(t.values, strconv.FormatBool(truth))
	case ClaimStringArray:
		list, ok := value.([]any)
		return ok && anyText(list, func(s string) bool { return slices.Contains(t.values, s) })
	case ClaimSpaceDelimited:
		text, ok := value.(string)
		return ok && anyWord(text, func(s string) bool { return slices.Contains(t.values, s) })
	}
	return false
}

// anyText reports whether accept takes an element of a list of nothing but
// strings; a list with anything else in it is of another form and has none.
func anyText(list []any, accept func(string) bool) bool {
	found := false
	for _, element := range list {
		text, ok := element.(string)
		if !ok {
			return false
		}
		found = found || accept(text)
	}
	return found
}

// anyWord reports whether accept takes a word of a text separated by blanks.
func anyWord(text string, accept func(string) bool) bool {
	for word := range strings.SplitSeq(text, " ") {
		if word != "" && accept(word) {
			return true
		}
	}
	return false
}
