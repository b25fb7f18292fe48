package policy

import (
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

// checker collects what is wrong with a spec. It keeps every bound of the
// field markers, because a policy file never met an API server, and the rules
// that no schema can express.
type checker struct{ bounds.Checker }

// methods keeps the bounds of a list of HTTP methods.
func (c *checker) methods(field string, list []Method, least int) {
	c.Count(field, len(list), least, maxMethods)
	for i, m := range list {
		bounds.RequireOneOf(&c.Checker, bounds.At(field, i), "method", m, methods()...)
	}
	bounds.Unique(&c.Checker, field, list)
}

const maxMethods = 9

// duration keeps the bounds of a length of time that may be absent.
func (c *checker) duration(field string, d *Duration, least, most time.Duration) {
	if d != nil {
		c.Duration(field, d.Duration, least, most)
	}
}
