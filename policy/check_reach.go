package policy

import (
	"slices"

	"gatepost.dev/gatepost/policy/bounds"
)

// reach warns of rules that an earlier one leaves no request for. The rules were
// checked and nothing is wrong with them.
func (c *checker) reach(field string, rules []Rule) {
	for i := range rules {
		later := &rules[i]
		for j := range i {
			if text := leavesNothing(&rules[j], later); text != "" {
				c.Warn(bounds.At(field, i), text, rules[j].Name)
				break
			}
		}
	}
}

// leavesNothing says how a rule is out of reach because of an earlier one; empty
// when it is not, or when only its author's claims and scopes can tell.
func leavesNothing(earlier, later *Rule) string {
	if !coversRequests(earlier, later) {
		return ""
	}
	strangers, verified := takes(earlier)
	forStrangers, _ := takes(later)
	onlyStrangers := forStrangers && later.Principal != nil
	switch {
	case forStrangers && !strangers:
		if !verified || onlyStrangers {
			return ""
		}
		return "is never reached with a credential: %s before it matches all of its requests that have one"
	case !verified && (!onlyStrangers || later.Action != ActionDeny):
		return ""
	case strangers && isWhole(earlier.Operation):
		return "is never reached: %s before it matches every request"
	}
	return "is never reached: %s before it matches all of its requests"
}

// coversRequests reports whether each request that the later rule is about is one
// that the earlier is about too.
func coversRequests(earlier, later *Rule) bool {
	if earlier.MCP != nil || earlier.Preset != "" {
		return false
	}
	return isWhole(earlier.Operation) || later.Preset == "" && coversOperation(earlier.Operation, later.Operation)
}

// takes reports whether a rule, where its operation matches, takes all requests
// without a credential, and all verified ones: an anonymous Allow rule takes both.
func takes(r *Rule) (strangers, verified bool) {
	switch p := r.Principal; {
	case p == nil:
		return r.Action == ActionDeny, true
	case p.Anonymous:
		return true, r.Action != ActionDeny
	default:
		return false, !hasConditions(p)
	}
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
