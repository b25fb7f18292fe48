package bounds

import "strings"

// FieldError is one thing that is wrong with a document, and what to do about it.
type FieldError struct {
	// Field is the path of the field, for example spec.jwt.providers[0].algorithms[1], or probes[0].path.
	Field string
	// Detail says what is wrong and how to put it right.
	Detail string
}

// Error is the field and the detail.
func (e FieldError) Error() string { return e.Field + ": " + e.Detail }

// Errors is everything that was found wrong, in the order of the fields.
type Errors []FieldError

// Error joins all of them, one after another.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}
