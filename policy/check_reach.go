package policy

import "slices"

// reach warns of rules that an earlier one leaves no request for. The rules were
// checked and nothing is wrong with them.
func (c *checker) reach(field string, rules []Rule) {
	for i := range rules {
		later := &rules[i]
		for j := range i {
			if text := leavesNothing(&rules[j], later); text != "" {
				c.warn(at(field, i), text, rules[j].Name)
				break
			}
		}
	}
}

// leavesNothing says how a rule is out of reach because of an earlier one; empty
// when it is not, or when only its author's claims and scopes can tell.
func leavesNothing(earlier, later *Rule) string {
	if earlier.MCP != nil || earlier.Preset != "" {
		return ""
	}
	whole := isWhole(earlier.Operation)
	if !whole && (later.Preset != "" || !coversOperation(earlier.Operation, later.Operation)) {
		return ""
	}
	p := later.Principal
	switch {
	case takesEverybody(earlier) && whole:
		return "is never reached: %s before it matches every request"
	case takesEverybody(earlier):
		return "is never reached: %s before it matches all of its requests"
	case earlier.Principal != nil && hasConditions(earlier.Principal), p != nil && p.Anonymous:
		return ""
	case takesEverybody(later):
		return "is never reached with a credential: %s before it matches all of its requests that have one"
	}
	return "is never reached: %s before it matches all of its requests"
}

// takesEverybody reports whether whoever asks matches the rule: a Deny rule
// without a principal takes anonymous requests too, an anonymous Allow rule
// verified ones.
func takesEverybody(r *Rule) bool {
	if r.Action == ActionDeny {
		return r.Principal == nil
	}
	return r.Principal != nil && r.Principal.Anonymous
}

// isWhole reports whether every request is of the operation.
func isWhole(o *Operation) bool { return o == nil || len(o.Methods) == 0 && len(o.Paths) == 0 }

// coversOperation reports whether each request of the second operation is one of
// the first.
func coversOperation(first, second *Operation) bool {
	if second == nil {
		return false // the first is not whole
	}
	for _, method := range second.Methods {
		if len(first.Methods) > 0 && !slices.Contains(first.Methods, method) {
			return false
		}
	}
	for _, m := range second.Paths {
		if len(first.Paths) > 0 && !slices.ContainsFunc(first.Paths, func(f PathMatch) bool { return coversPath(f, m) }) {
			return false
		}
	}
	return (len(first.Methods) == 0 || len(second.Methods) > 0) && (len(first.Paths) == 0 || len(second.Paths) > 0)
}

// coversPath reports whether each path of the second match is one of the first.
func coversPath(first, second PathMatch) bool {
	orElse(&first.Type, PathExact)
	orElse(&second.Type, PathExact)
	pattern, text := newPathPattern(first), trimSlash(second.Value)
	switch {
	case first.Type == PathPrefix && pattern.text == "/":
		return true
	case second.IgnoreCase && !first.IgnoreCase:
		return false
	case first.Type == PathExact:
		return second.Type == PathExact && pattern.matches(text)
	case first.Type == PathTemplate && second.Type == PathPrefix:
		return false
	case first.Type == PathTemplate && second.Type == PathTemplate:
		return coversTemplate(pattern.segments, newPathPattern(second).segments, pattern.same)
	}
	return pattern.matches(text)
}

func coversTemplate(first, second []segment, same func(a, b string) bool) bool {
	return slices.EqualFunc(first, second, func(f, s segment) bool {
		return f.name != "" || s.name == "" && same(f.text, s.text)
	})
}
