package policy

import (
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy/bounds"
)

func (c *checker) authorization(field string, a *Authorization, s *Spec) {
	bounds.OneOf(&c.Checker, field+".defaultAction", "action", a.DefaultAction, ActionAllow, ActionDeny)
	c.Count(field+".rules", len(a.Rules), 0, 64)
	names := make([]string, len(a.Rules))
	for i := range a.Rules {
		r := &a.Rules[i]
		names[i] = r.Name
		c.rule(bounds.At(field+".rules", i), r, s)
	}
	c.UniqueNames(field+".rules", names)
	if len(c.Errors) == 0 {
		c.reach(field+".rules", a.Rules)
	}
	if a.DefaultAction == ActionAllow {
		c.idleRules(field+".rules", a.Rules)
	}
}

// idleRules warns of Allow rules under a default that lets everybody through
// whom they leave out, which their author cannot mean. Before a Deny rule an
// Allow rule is an exception; an anonymous one opens more than the default.
func (c *checker) idleRules(field string, rules []Rule) {
	for i := len(rules) - 1; i >= 0 && rules[i].Action != ActionDeny; i-- {
		if p := rules[i].Principal; p == nil || !p.Anonymous {
			c.Warn(bounds.At(field, i), "changes nothing: defaultAction: Allow lets through whom it leaves out; use Deny")
		}
	}
}

func (c *checker) rule(field string, r *Rule, s *Spec) {
	c.Text(field+".name", r.Name, bounds.Label)
	bounds.OneOf(&c.Checker, field+".action", "action", r.Action, ActionAllow, ActionDeny)
	var paths []PathMatch
	if r.Operation != nil {
		paths = r.Operation.Paths
		c.methods(field+".operation.methods", r.Operation.Methods, 0)
		c.Count(field+".operation.paths", len(paths), 0, 32)
		for i, m := range paths {
			field := bounds.At(field+".operation.paths", i)
			bounds.OneOf(&c.Checker, field+".type", "type", m.Type, PathExact, PathPrefix, PathTemplate)
			c.path(field+".value", m.Value, m.Type)
		}
	}
	if r.Principal != nil {
		c.principal(field+".principal", r.Principal, s)
		if r.Preset == "" {
			c.variables(field, r.Principal, paths)
		}
		c.ruleSense(field, r)
	}
	if r.MCP != nil {
		c.mcp(field+".mcp", r.MCP)
	}
	if r.Preset != "" {
		c.preset(field, r)
	}
}

// preset refuses what a preset brings itself, and what it cannot be combined with.
func (c *checker) preset(field string, r *Rule) {
	bounds.OneOf(&c.Checker, field+".preset", "preset", r.Preset, PresetAgnoV2)
	const twice = "a preset brings its own operation and scopes: remove operation, mcp and principal.scopes, or the preset"
	switch {
	case r.Operation != nil:
		c.Fail(field+".operation", twice)
	case r.MCP != nil:
		c.Fail(field+".mcp", twice)
	case r.Principal != nil && r.Principal.Scopes != nil:
		c.Fail(field+".principal.scopes", twice)
	}
	if r.Action == ActionDeny {
		c.Fail(field+".action", "a preset only allows: remove action, or write a Deny rule without preset")
	}
	if p := r.Principal; p != nil && p.Tenant != nil && p.Tenant.Match != nil && p.Tenant.Match.PathVariable != "" {
		c.Fail(field+".principal.tenant.match.pathVariable", "the paths of a preset have no variable to name: match the tenant by header or value")
	}
}

// ruleSense warns of rules that say less than they seem to.
func (c *checker) ruleSense(field string, r *Rule) {
	p := r.Principal
	open := r.Preset == "" && (r.Operation == nil || len(r.Operation.Paths) == 0)
	switch {
	case p.Anonymous && r.Action != ActionDeny && open:
		c.Warn(field+".principal.anonymous", "opens every path to everybody: name the paths")
	case r.Action == ActionDeny && (p.Scopes != nil || len(p.Claims) > 0 || p.Tenant != nil):
		c.Warn(field+".principal", "denies only tokens that have the claim, in the form the rule expects: an Allow rule is safer")
	}
}

func (c *checker) principal(field string, p *Principal, s *Spec) {
	if p.Anonymous && hasConditions(p) {
		c.Fail(field+".anonymous", "stands alone: remove providers, apiKeys, scopes, claims and tenant, or make two rules")
	}
	if len(p.Providers) > 0 && len(p.APIKeys) > 0 {
		c.Fail(field+".apiKeys", "nobody has a token of providers and one of apiKeys at once: make two rules")
	}
	c.Texts(field+".providers", p.Providers, 8, bounds.Form{Most: 63})
	for i, name := range p.Providers {
		c.knownProvider(bounds.At(field+".providers", i), name, s.JWT)
	}
	c.clients(field+".apiKeys", p.APIKeys)
	if len(p.APIKeys) > 0 && s.APIKeyAuth == nil {
		c.Fail(field+".apiKeys", "cannot match: the policy has no apiKeyAuth")
	}
	if p.Scopes != nil {
		c.scopes(field+".scopes", p.Scopes)
	}
	c.Count(field+".claims", len(p.Claims), 0, 16)
	for i := range p.Claims {
		c.claimMatch(bounds.At(field+".claims", i), &p.Claims[i])
	}
	if p.Tenant != nil {
		c.tenant(field+".tenant", p.Tenant, s)
	}
}

// clients keeps the bounds of client ids, and keys out of policies.
func (c *checker) clients(field string, ids []string) {
	c.Count(field, len(ids), 0, 64)
	var plain []string // what may be quoted
	for i, id := range ids {
		if !c.KeyText(bounds.At(field, i), id) {
			c.Text(bounds.At(field, i), id, clientForm)
			plain = append(plain, id)
		}
	}
	if len(plain) == len(ids) {
		bounds.Unique(&c.Checker, field, ids)
	}
}

// hasConditions reports whether a principal asks for more than to be there.
func hasConditions(p *Principal) bool {
	return len(p.Providers) > 0 || len(p.APIKeys) > 0 || p.Scopes != nil || len(p.Claims) > 0 || p.Tenant != nil
}

func (c *checker) knownProvider(field, name string, jwt *JWT) {
	var names []string
	if jwt != nil {
		for i := range jwt.Providers {
			names = append(names, jwt.Providers[i].Name)
		}
	}
	switch {
	case name == "" || slices.Contains(names, name):
	case len(names) == 0:
		c.Fail(field, "unknown provider %q: the policy has no spec.jwt.providers", name)
	default:
		c.Fail(field, "unknown provider %q; spec.jwt.providers has %s", name, strings.Join(names, ", "))
	}
}

func (c *checker) scopes(field string, s *Scopes) {
	if len(s.AnyOf) == 0 && len(s.AllOf) == 0 {
		c.Fail(field, "set one of anyOf, allOf")
	}
	c.Optional(field+".claim", s.Claim, bounds.Claim)
	for _, list := range []struct {
		field  string
		scopes []string
	}{{field + ".anyOf", s.AnyOf}, {field + ".allOf", s.AllOf}} {
		c.Texts(list.field, list.scopes, 32, bounds.Form{Most: 256})
		for i, scope := range list.scopes {
			switch {
			case scope == "":
			case !isScopeToken(scope):
				c.Fail(bounds.At(list.field, i), "%q is no scope: use visible ASCII without blanks, quotes and backslashes", scope)
			case !validBraces(scope):
				c.Fail(bounds.At(list.field, i), "%q has braces that are no variable: write {name} with letters, digits and underscores", scope)
			}
		}
	}
}

func (c *checker) claimMatch(field string, m *ClaimMatch) {
	c.Text(field+".name", m.Name, bounds.Claim)
	bounds.OneOf(&c.Checker, field+".valueType", "valueType", m.ValueType, ClaimString, ClaimStringArray, ClaimSpaceDelimited, ClaimBoolean)
	c.Count(field+".values", len(m.Values), 1, 64)
	bounds.Unique(&c.Checker, field+".values", m.Values)
	for i, value := range m.Values {
		field := bounds.At(field+".values", i)
		c.Text(field, value, bounds.Form{Most: 1024})
		switch {
		case m.ValueType == ClaimBoolean && value != "true" && value != "false":
			c.Fail(field, "%q is no boolean: use \"true\" or \"false\"", value)
		case m.ValueType == ClaimSpaceDelimited && strings.Contains(value, " "):
			c.Fail(field, "%q has a blank, which separates values: it can never match", value)
		}
	}
}

func (c *checker) tenant(field string, t *Tenant, s *Spec) {
	c.Optional(field+".claim", t.Claim, bounds.Claim)
	bounds.OneOf(&c.Checker, field+".onNull", "action", t.OnNull, ActionDeny, ActionAllow)
	m := t.Match
	if m == nil {
		return
	}
	set := 0
	for _, text := range []string{m.Header, m.PathVariable, m.Value} {
		if text != "" {
			set++
		}
	}
	if set != 1 {
		c.Fail(field+".match", "set exactly one of header, pathVariable, value")
	}
	c.Optional(field+".match.header", m.Header, bounds.Header)
	c.Optional(field+".match.pathVariable", m.PathVariable, variableForm)
	c.Optional(field+".match.value", m.Value, bounds.Form{Most: 1024})
	c.tenantHeader(field+".match.header", m.Header, s)
}

func (c *checker) mcp(field string, m *MCP) {
	c.Count(field+".methods", len(m.Methods), 1, 32)
	for i, method := range m.Methods {
		c.Text(bounds.At(field+".methods", i)+".name", method.Name, bounds.Form{Most: 128})
		c.Texts(bounds.At(field+".methods", i)+".params", method.Params, 64, bounds.Form{Most: 256})
	}
}
