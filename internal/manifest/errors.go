package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	// Line is where it is, counted from 1.
	Line int
	// Field is the path of the field, empty when it is about a whole document.
	Field string
	// Detail says what is wrong and what to do.
	Detail string
}

// Error is the line, the field and the detail.
func (e Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Detail)
}

// Errors is everything Parse found wrong, in the order of the lines.
type Errors []Error

// Error joins all of them, one on a line.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

func (e *Errors) add(line int, field, format string, args ...any) {
	*e = append(*e, Error{Line: line, Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return e
}
