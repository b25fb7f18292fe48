package token

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Bounds of the JSON that is looked at (RFC 8259 section 9 lets a reader have
// them). The size of the text is bounded by the caller.
const (
	maxDepth        = 32
	maxNumberLength = 64
	maxValues       = 1 << 14 // a value takes many times the memory of its text
	guessedMembers  = 14      // of the outermost object at most: what a table of sixteen slots holds
)

// Why a JSON text is refused. They are values of their own because a fuzz test
// compares this reader with encoding/json, which is laxer in just these ways.
var (
	errJSONSyntax    = errors.New("not JSON")
	errJSONUTF8      = errors.New("not UTF-8")
	errJSONDepth     = errors.New("nested too deeply")
	errJSONDuplicate = errors.New("a name occurs twice in one object")
	errJSONNumber    = errors.New("a number of too many digits")
	errJSONValues    = errors.New("too many values")
	errJSONObject    = errors.New("not an object")
)

// decodeObject reads a JSON text that is one object. It is stricter than RFC
// 8259 where two readers could differ: no doubled names (after unescaping), no
// lone surrogates, no byte order mark, bounded depth, number length and number of
// values. They
// are string, json.Number, bool, nil, []any and map[string]any; strings share
// the memory of text.
func decodeObject(text string) (map[string]any, error) {
	if !utf8.ValidString(text) {
		return nil, errJSONUTF8
	}
	reader := jsonReader{text: text}
	reader.space()
	if reader.peek() != '{' {
		return nil, errJSONObject
	}
	object, err := reader.object(1, strings.Count(text, ":"))
	if err != nil {
		return nil, err
	}
	reader.space()
	if reader.at != len(text) {
		return nil, errJSONSyntax
	}
	return object, nil
}

// jsonReader reads valid UTF-8 from left to right.
type jsonReader struct {
	text   string
	at     int
	values int // read so far
}

// peek returns the next byte, or 0 at the end: no JSON token begins with NUL.
func (r *jsonReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *jsonReader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// after skips blanks and takes the byte c, if it is next.
func (r *jsonReader) after(c byte) bool {
	r.space()
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

func (r *jsonReader) value(depth int) (any, error) {
	r.space()
	c := r.peek()
	if (c == '{' || c == '[') && depth >= maxDepth {
		return nil, errJSONDepth
	}
	if r.values++; r.values > maxValues {
		return nil, errJSONValues
	}
	switch c {
	case '{':
		return r.object(depth+1, 0)
	case '[':
		return r.array(depth + 1)
	case '"':
		return r.string()
	case 't':
		return true, r.literal("true")
	case 'f':
		return false, r.literal("false")
	case 'n':
		return nil, r.literal("null")
	default:
		return r.number()
	}
}

func (r *jsonReader) literal(word string) error {
	if !strings.HasPrefix(r.text[r.at:], word) {
		return errJSONSyntax
	}
	r.at += len(word)
	return nil
}

// object reads from the opening brace on; members is a guess of how many there
// are, capped because it comes from the text.
func (r *jsonReader) object(depth, members int) (map[string]any, error) {
	r.at++
	object := make(map[string]any, min(members, guessedMembers))
	if r.after('}') {
		return object, nil
	}
	for {
		r.space()
		if r.peek() != '"' {
			return nil, errJSONSyntax
		}
		name, err := r.string()
		if err != nil {
			return nil, err
		}
		if !r.after(':') {
			return nil, errJSONSyntax
		}
		value, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		before := len(object)
		if object[name] = value; len(object) == before {
			return nil, errJSONDuplicate
		}
		if r.after(',') {
			continue
		}
		if r.after('}') {
			return object, nil
		}
		return nil, errJSONSyntax
	}
}

// array reads from the opening bracket on.
func (r *jsonReader) array(depth int) ([]any, error) {
	r.at++
	if r.after(']') {
		return []any{}, nil
	}
	array := make([]any, 0, 4)
	for {
		value, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		if r.after(',') {
			continue
		}
		if r.after(']') {
			return array, nil
		}
		return nil, errJSONSyntax
	}
}
