package token

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of the JSON that is looked at (RFC 8259 section 9 lets a reader have
// them). The size of the text is bounded by the caller.
const (
	maxDepth        = 32
	maxNumberLength = 64
)

// Why a JSON text is refused. They are values of their own because a fuzz test
// compares this reader with encoding/json, which is laxer in just these ways.
var (
	errJSONSyntax    = errors.New("not JSON")
	errJSONUTF8      = errors.New("not UTF-8")
	errJSONDepth     = errors.New("nested too deeply")
	errJSONDuplicate = errors.New("a name occurs twice in one object")
	errJSONNumber    = errors.New("a number of too many digits")
	errJSONObject    = errors.New("not an object")
)

// decodeObject reads a JSON text that is one object. It is stricter than RFC
// 8259 where two readers could differ: no doubled names (after unescaping), no
// lone surrogates, no byte order mark, bounded depth and number length. Values
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
	text string
	at   int
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
	object := make(map[string]any, min(members, 64))
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

// string reads from the opening quote on. Without escapes, the usual case, the
// result is a piece of the text.
func (r *jsonReader) string() (string, error) {
	r.at++
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start : r.at-1], nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", errJSONSyntax
		}
		r.at++
	}
	return "", errJSONSyntax
}

// escaped reads the rest of a string that began at start and has an escape at
// the present place.
func (r *jsonReader) escaped(start int) (string, error) {
	out := []byte(r.text[start:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return string(out), nil
		case c < ' ':
			return "", errJSONSyntax
		case c != '\\':
			out = append(out, c)
		default:
			decoded, ok := r.escape()
			if !ok {
				return "", errJSONSyntax
			}
			out = utf8.AppendRune(out, decoded)
		}
	}
	return "", errJSONSyntax
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (rune, bool) {
	c := r.peek()
	r.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		return r.codePoint()
	default:
		return 0, false
	}
}

// codePoint reads the digits of a \u escape and, for a high surrogate, the low
// one that must follow.
func (r *jsonReader) codePoint() (rune, bool) {
	first, ok := r.hex()
	if !ok || !utf16.IsSurrogate(first) {
		return first, ok
	}
	if !strings.HasPrefix(r.text[r.at:], `\u`) {
		return 0, false
	}
	r.at += 2
	second, ok := r.hex()
	whole := utf16.DecodeRune(first, second)
	return whole, ok && whole != utf8.RuneError
}

func (r *jsonReader) hex() (rune, bool) {
	if len(r.text)-r.at < 4 {
		return 0, false
	}
	var value rune
	for range 4 {
		c := r.text[r.at]
		r.at++
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			value = value<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return value, true
}

// number reads a number by the grammar of RFC 8259 section 6.
func (r *jsonReader) number() (json.Number, error) {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else if !r.digits() {
		return "", errJSONSyntax
	}
	if r.peek() == '.' {
		r.at++
		if !r.digits() {
			return "", errJSONSyntax
		}
	}
	if r.peek()|0x20 == 'e' {
		r.at++
		if sign := r.peek(); sign == '+' || sign == '-' {
			r.at++
		}
		if !r.digits() {
			return "", errJSONSyntax
		}
	}
	if r.at-start > maxNumberLength {
		return "", errJSONNumber
	}
	return json.Number(r.text[start:r.at]), nil
}

// digits takes one or more digits.
func (r *jsonReader) digits() bool {
	start := r.at
	for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
		r.at++
	}
	return r.at > start
}
