package token

import (
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

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
