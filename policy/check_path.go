package policy

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gatepost.dev/gatepost/policy/bounds"
)

// path checks a path of the policy: it must be able to match, and it must mean
// what its author thinks.
func (c *checker) path(field, value, kind string) {
	switch {
	case value == "":
		c.Fail(field, "is required")
	case utf8.RuneCountInString(value) > 1024:
		c.Fail(field, "is longer than 1024 characters")
	case kind == PathTemplate:
		c.template(field, value)
	default:
		if problem := pathProblem(value); problem != "" {
			c.Fail(field, "%q %s", value, problem)
		} else if strings.ContainsAny(value, "{}") {
			c.Fail(field, "%q has braces, which only a path of a rule with type: Template may have", value)
		}
	}
}

// exactPath checks a path that is compared whole, where a rule's types of paths
// are not to be had.
func (c *checker) exactPath(field, value string) {
	if strings.HasPrefix(value, "/") && strings.Contains(value, "*") {
		c.Fail(field, "%q has a wildcard: one exact path stands here; list each path", value)
		return
	}
	c.path(field, value, PathExact)
}

// pathProblem says why no accepted request can have this path.
func pathProblem(value string) string {
	switch {
	case value[0] != '/':
		return "must begin with a slash"
	case strings.ContainsAny(value, "?#"):
		return "has a query or a fragment: paths are compared alone"
	case decodesAgain(value):
		return "has an escape: paths are compared decoded, so write the character itself"
	case strings.ContainsAny(value, `\;`) || !plainText(value) || !wholeSegments(value):
		return `never matches: requests with \, ;, control characters, empty segments, . or .. are always refused`
	case slices.ContainsFunc(strings.Split(value, "/"), isWildcard):
		return "has a wildcard: use type: Prefix for all below a path, type: Template with {name} for one segment"
	}
	return ""
}

func isWildcard(segment string) bool { return segment == "*" || segment == "**" }

// template checks a path with variables.
func (c *checker) template(field, value string) {
	if problem := pathProblem(value); problem != "" {
		c.Fail(field, "%q %s", value, problem)
		return
	}
	seen := map[string]bool{}
	for text := range strings.SplitSeq(trimSlash(value)[1:], "/") {
		name, ok := variable(text)
		switch {
		case !ok && !strings.ContainsAny(text, "{}"):
		case !ok || !variableForm.Pattern.MatchString(name) || len(name) > variableForm.Most:
			c.Fail(field, "segment %q is no variable: write {name} for a whole segment, with letters, digits and underscores", text)
		case seen[name]:
			c.Fail(field, "{%s} is there twice: give each variable its own name", name)
		default:
			seen[name] = true
		}
	}
}

// splitVariables cuts agents:{agent_id}:run into its pieces, every second of
// which is a variable's name; false when the braces do not pair up.
func splitVariables(text string) ([]string, bool) {
	var pieces []string
	for {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, false
		}
		pieces = append(pieces, literal)
		if !found {
			return pieces, true
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || len(name) > variableForm.Most || !variableForm.Pattern.MatchString(name) {
			return nil, false
		}
		pieces, text = append(pieces, name), after
	}
}

func validBraces(text string) bool {
	_, ok := splitVariables(text)
	return ok
}

// usedVariable is a variable and the field that uses it.
type usedVariable struct{ field, name string }

// usedVariables are those of a principal, in the order of its fields; field is
// the rule's.
func usedVariables(field string, p *Principal) []usedVariable {
	var used []usedVariable
	if s := p.Scopes; s != nil {
		for i, scope := range s.AnyOf {
			used = appendVariables(used, bounds.At(field+".principal.scopes.anyOf", i), scope)
		}
		for i, scope := range s.AllOf {
			used = appendVariables(used, bounds.At(field+".principal.scopes.allOf", i), scope)
		}
	}
	if t := p.Tenant; t != nil && t.Match != nil && t.Match.PathVariable != "" {
		used = append(used, usedVariable{field + ".principal.tenant.match.pathVariable", t.Match.PathVariable})
	}
	return used
}

func appendVariables(used []usedVariable, field, text string) []usedVariable {
	pieces, _ := splitVariables(text)
	for i := 1; i < len(pieces); i += 2 {
		used = append(used, usedVariable{field, pieces[i]})
	}
	return used
}

// variables makes sure that whatever path of a rule matches, each variable of
// its principal stands for something.
func (c *checker) variables(field string, p *Principal, paths []PathMatch) {
	for _, used := range usedVariables(field, p) {
		if len(paths) == 0 {
			c.Fail(used.field, "{%s} stands for nothing: the rule has no operation.paths; add one of type: Template with it", used.name)
		}
		for i, m := range paths {
			pattern := pathPattern{}
			if m.Type == PathTemplate && m.Value != "" {
				pattern = newPathPattern(m)
			}
			if _, ok := pattern.binds(used.name); !ok {
				c.Fail(used.field, "{%s} is no variable of %s, %q: every path of the rule must have it", used.name, bounds.At("operation.paths", i), m.Value)
			}
		}
	}
}

var variableForm = bounds.Form{Most: 64, Pattern: regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), Hint: "is no variable: use letters, digits and underscores, the first no digit"}
