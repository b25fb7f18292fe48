package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"unicode/utf8"
)

// maxDocument bounds what is parsed: a Secret holds at most 1 MiB.
const maxDocument = 1 << 20

// maxDepth bounds how deep a document may nest.
const maxDepth = 16

// Octets are bytes that are not for print: base64url without padding (RFC 7515
// section 2) in JSON, "redacted" everywhere else.
type Octets []byte

// MarshalJSON writes base64url without padding.
func (o Octets) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(o))
}

// UnmarshalJSON reads base64url without padding, and nothing else.
func (o *Octets) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil || bytes.Equal(data, []byte("null")) {
		return errors.New("want base64url text")
	}
	value, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return errors.New("want base64url without padding or line breaks")
	}
	if len(value) == 0 {
		value = nil
	}
	*o = value
	return nil
}

// Format writes "redacted" for every verb.
func (o Octets) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "redacted") }

// LogValue is "redacted".
func (o Octets) LogValue() slog.Value { return slog.StringValue("redacted") }

// decodeStrict decodes one JSON document into a struct. Unlike encoding/json it
// refuses names that occur twice, that are spelled in another case, or that the
// struct does not know, and anything after the document.
func decodeStrict(data []byte, into any) error {
	if len(data) > maxDocument {
		return fmt.Errorf("%d bytes are more than the %d that are read", len(data), maxDocument)
	}
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	w := &walker{decoder: json.NewDecoder(bytes.NewReader(data))}
	w.decoder.UseNumber()
	if err := w.value(reflect.TypeOf(into).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := w.decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return json.Unmarshal(data, into)
}

// walker reads a document token by token beside the type it is meant for.
type walker struct{ decoder *json.Decoder }

func (w *walker) value(t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d", path, maxDepth)
	}
	token, err := w.decoder.Token()
	if err != nil {
		return fmt.Errorf("reading JSON%s: %w", after(path), err)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch token {
	case json.Delim('{'):
		return w.object(t, path, depth)
	case json.Delim('['):
		return w.array(t, path, depth)
	}
	return nil
}

func (w *walker) object(t reflect.Type, path string, depth int) error {
	seen := map[string]bool{}
	for w.decoder.More() {
		token, err := w.decoder.Token()
		if err != nil {
			return fmt.Errorf("reading JSON%s: %w", after(path), err)
		}
		name, _ := token.(string)
		at := strings.TrimPrefix(fmt.Sprintf("%s.%.64s", path, name), ".")
		if seen[name] {
			return fmt.Errorf("%q: the name occurs twice", at)
		}
		seen[name] = true
		member, known := memberType(t, name)
		if !known {
			return fmt.Errorf("%q: unknown field (names are compared letter by letter)", at)
		}
		if err := w.value(member, at, depth+1); err != nil {
			return err
		}
	}
	_, err := w.decoder.Token()
	return err
}

func (w *walker) array(t reflect.Type, path string, depth int) error {
	var element reflect.Type
	if t != nil && t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() {
		element = t.Elem()
	}
	for i := 0; w.decoder.More(); i++ {
		if err := w.value(element, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := w.decoder.Token()
	return err
}

// memberType is the type of an object's member; nil where anything may stand.
func memberType(t reflect.Type, name string) (reflect.Type, bool) {
	if t == nil || t.Kind() == reflect.Slice { // json.RawMessage: somebody else's object
		return nil, true
	}
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	if t.Kind() != reflect.Struct {
		return nil, true // json.Unmarshal says what it should have been
	}
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name && tag != "-" {
			return field.Type, true
		}
		if field.Anonymous {
			if member, known := memberType(field.Type, name); known {
				return member, true
			}
		}
	}
	return nil, false
}

func after(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" after %q", path)
}
