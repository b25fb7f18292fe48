package bounds

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Checker collects what is wrong with a document. The zero Checker is ready.
type Checker struct {
	// Errors are what is wrong, Warnings what is probably not meant, each of these as
	// "field: remark".
	Errors   Errors
	Warnings []string
}

// Err is Errors, or nil when there are none.
func (c *Checker) Err() error {
	if len(c.Errors) == 0 {
		return nil
	}
	return c.Errors
}

// Fail notes what is wrong with a field.
func (c *Checker) Fail(field, format string, args ...any) {
	c.Errors = append(c.Errors, FieldError{Field: HideKeys(field), Detail: HideKeys(fmt.Sprintf(format, args...))})
}

// Warn notes what is probably not meant.
func (c *Checker) Warn(field, format string, args ...any) {
	c.Warnings = append(c.Warnings, HideKeys(field+": "+fmt.Sprintf(format, args...)))
}

// At is the path of a list's element.
func At(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// Count keeps the bounds of a list.
func (c *Checker) Count(field string, n, least, most int) {
	switch {
	case n < least && least == 1:
		c.Fail(field, "is required: give at least one")
	case n < least:
		c.Fail(field, "has %d entries: give at least %d", n, least)
	case n > most:
		c.Fail(field, "has %d entries: %d are the most", n, most)
	}
}

// Text keeps the bounds of a text that must be there.
func (c *Checker) Text(field, s string, form Form) {
	switch {
	case s == "":
		c.Fail(field, "is required")
	case !utf8.ValidString(s):
		c.Fail(field, "is not valid UTF-8")
	case utf8.RuneCountInString(s) > form.Most:
		c.Fail(field, "is longer than %d characters", form.Most)
	case form.Pattern != nil && !form.Pattern.MatchString(s):
		c.Fail(field, "%q %s", s, form.Hint)
	}
}

// Optional keeps the bounds of a text that may be absent.
func (c *Checker) Optional(field, s string, form Form) {
	if s != "" {
		c.Text(field, s, form)
	}
}

// Texts keeps the bounds of a list of different texts.
func (c *Checker) Texts(field string, list []string, most int, form Form) {
	c.Count(field, len(list), 0, most)
	for i, s := range list {
		c.Text(At(field, i), s, form)
	}
	Unique(c, field, list)
}

// Unique refuses a second entry of the same value.
func Unique[T ~string](c *Checker, field string, list []T) {
	seen := make(map[T]bool, len(list))
	for i, value := range list {
		if value != "" && seen[value] {
			c.Fail(At(field, i), "%q is in the list twice: remove one", value)
		}
		seen[value] = true
	}
}

// UniqueNames refuses a second entry of a list-map with the same name.
func (c *Checker) UniqueNames(field string, names []string) {
	for i, name := range names {
		if name != "" && slices.Contains(names[:i], name) {
			c.Fail(At(field, i)+".name", "%q is taken by another entry: give it a name of its own", name)
		}
	}
}

// OneOf refuses a value that is none of the allowed ones; absent is allowed.
func OneOf[T ~string](c *Checker, field, what string, value T, allowed ...T) {
	if value != "" {
		RequireOneOf(c, field, what, value, allowed...)
	}
}

// RequireOneOf refuses a value that is none of the allowed ones.
func RequireOneOf[T ~string](c *Checker, field, what string, value T, allowed ...T) {
	names := make([]string, len(allowed))
	for i, name := range allowed {
		if value == name {
			return
		}
		names[i] = string(name)
	}
	c.Fail(field, "unknown %s %q; use one of %s", what, value, strings.Join(names, ", "))
}

// Duration keeps the bounds of a length of time.
func (c *Checker) Duration(field string, d, least, most time.Duration) {
	if d < least || d > most {
		c.Fail(field, "%s is out of bounds: %s to %s", Short(d), Short(least), Short(most))
	}
}

// Number keeps the bounds of a number that may be absent.
func (c *Checker) Number(field string, n *int32, least, most int32) {
	if n != nil && (*n < least || *n > most) {
		c.Fail(field, "%d is out of bounds: %d to %d", *n, least, most)
	}
}
