package policy

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// checker collects what is wrong with a spec. It keeps every bound of the
// field markers, because a policy file never met an API server, and the rules
// that no schema can express.
type checker struct {
	errs     Errors
	warnings []string
}

func (c *checker) fail(field, format string, args ...any) {
	c.errs = append(c.errs, FieldError{Field: HideKeys(field), Detail: HideKeys(fmt.Sprintf(format, args...))})
}

func (c *checker) warn(field, format string, args ...any) {
	c.warnings = append(c.warnings, HideKeys(field+": "+fmt.Sprintf(format, args...)))
}

// at is the path of a list's element.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// count keeps the bounds of a list.
func (c *checker) count(field string, n, least, most int) {
	switch {
	case n < least && least == 1:
		c.fail(field, "is required: give at least one")
	case n < least:
		c.fail(field, "has %d entries: give at least %d", n, least)
	case n > most:
		c.fail(field, "has %d entries: %d are the most", n, most)
	}
}

// textForm is what a text must look like; a nil form takes everything.
type textForm struct {
	most int
	form *regexp.Regexp
	hint string
}

// text keeps the bounds of a text that must be there.
func (c *checker) text(field, s string, form textForm) {
	switch {
	case s == "":
		c.fail(field, "is required")
	case !utf8.ValidString(s):
		c.fail(field, "is not valid UTF-8")
	case utf8.RuneCountInString(s) > form.most:
		c.fail(field, "is longer than %d characters", form.most)
	case form.form != nil && !form.form.MatchString(s):
		c.fail(field, "%q %s", s, form.hint)
	}
}

// optional keeps the bounds of a text that may be absent.
func (c *checker) optional(field, s string, form textForm) {
	if s != "" {
		c.text(field, s, form)
	}
}

// texts keeps the bounds of a list of different texts.
func (c *checker) texts(field string, list []string, most int, form textForm) {
	c.count(field, len(list), 0, most)
	for i, s := range list {
		c.text(at(field, i), s, form)
	}
	unique(c, field, list)
}

// unique refuses a second entry of the same value.
func unique[T ~string](c *checker, field string, list []T) {
	seen := make(map[T]bool, len(list))
	for i, value := range list {
		if value != "" && seen[value] {
			c.fail(at(field, i), "%q is in the list twice: remove one", value)
		}
		seen[value] = true
	}
}

// oneOf refuses a value that is none of the allowed ones; absent is allowed.
func oneOf[T ~string](c *checker, field, what string, value T, allowed ...T) {
	if value != "" {
		requireOneOf(c, field, what, value, allowed...)
	}
}

func requireOneOf[T ~string](c *checker, field, what string, value T, allowed ...T) {
	names := make([]string, len(allowed))
	for i, name := range allowed {
		if value == name {
			return
		}
		names[i] = string(name)
	}
	c.fail(field, "unknown %s %q; use one of %s", what, value, strings.Join(names, ", "))
}

// methods keeps the bounds of a list of HTTP methods.
func (c *checker) methods(field string, list []Method, least int) {
	c.count(field, len(list), least, maxMethods)
	for i, m := range list {
		requireOneOf(c, at(field, i), "method", m, methods()...)
	}
	unique(c, field, list)
}

const maxMethods = 9

// duration keeps the bounds of a length of time that may be absent.
func (c *checker) duration(field string, d *Duration, least, most time.Duration) {
	if d != nil && (d.Duration < least || d.Duration > most) {
		c.fail(field, "%s is out of bounds: %s to %s", d.text(), Duration{least}.text(), Duration{most}.text())
	}
}

// number keeps the bounds of a number that may be absent.
func (c *checker) number(field string, n *int32, least, most int32) {
	if n != nil && (*n < least || *n > most) {
		c.fail(field, "%d is out of bounds: %d to %d", *n, least, most)
	}
}

var (
	labelForm     = textForm{63, regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`), "is no name: use lower-case letters, digits and inner hyphens"}
	objectForm    = textForm{253, regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`), "is no object name: use lower-case letters, digits, hyphens and dots"}
	dataKeyForm   = textForm{253, regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`), "is no data key: use letters, digits, hyphens, underscores and dots, the first no dot"}
	headerForm    = textForm{128, regexp.MustCompile(`^[A-Za-z0-9-]+$`), "is no header name: use letters, digits and hyphens"}
	anyHeaderForm = textForm{128, regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_|~-]+$"), "is no header name"}
	claimForm     = textForm{256, regexp.MustCompile(`^([^/]|/([^~]|~[01])*$)`), "is no JSON pointer: after a slash, write ~0 for ~ and ~1 for /"}
	variableForm  = textForm{64, regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), "is no variable: use letters, digits and underscores, the first no digit"}
	rateForm      = textForm{8, regexp.MustCompile(`^[1-9][0-9]{0,5}/[sm]$`), "is no rate: write 20/s or 100/m"}
)
