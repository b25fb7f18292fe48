package policy_test

import (
	"strings"
	"testing"
)

// TestUnreachedRules: a rule that an earlier one leaves no request for.
func TestUnreachedRules(t *testing.T) {
	const (
		all    = "spec.authorization.rules[1]: is never reached: a before it matches all of its requests"
		tokens = "spec.authorization.rules[1]: is never reached with a credential: a before it matches all of its requests that have one"
	)
	admins := `principal: {claims: [{name: role, values: [admin]}]}`
	for _, test := range []struct{ sentence, first, second, want string }{
		{"everything, then a part", ``, `operation: {paths: [{value: /x}]}, ` + admins, all},
		{"a prefix, then a path below", `operation: {paths: [{type: Prefix, value: /agents}]}`, `operation: {methods: [DELETE], paths: [{value: /agents/a}]}, ` + admins, all},
		{"a prefix, then a template below", `operation: {paths: [{type: Prefix, value: /agents}]}`, `operation: {paths: [{type: Template, value: "/agents/{id}"}]}, ` + admins, all},
		{"a template, then one of its paths", `operation: {paths: [{type: Template, value: "/agents/{id}"}]}`, `operation: {paths: [{value: /agents/a/}]}, ` + admins, all},
		{"a template, then one with its variable bound", `operation: {paths: [{type: Template, value: "/{x}/{y}"}]}`, `operation: {paths: [{type: Template, value: "/agents/{id}"}]}, ` + admins, all},
		{"several paths, each covered", `operation: {methods: [GET, POST], paths: [{value: /a}, {type: Prefix, value: /b}]}`, `operation: {methods: [GET], paths: [{value: /b/c}, {value: /a}]}, ` + admins, all},
		{"without case, then with it", `operation: {paths: [{value: /A, ignoreCase: true}]}`, `operation: {paths: [{value: /a}]}, ` + admins, all},
		{"a Deny rule for all, then a part", `action: Deny, operation: {paths: [{type: Prefix, value: /admin}]}`, `operation: {paths: [{value: /admin/x}]}, principal: {anonymous: true}`, all},
		{"an Allow rule, then a Deny rule", `operation: {paths: [{type: Prefix, value: /}]}`, `action: Deny, operation: {paths: [{type: Prefix, value: /admin}]}`, tokens},
		{"everything, then a preset", ``, `preset: agno-v2`, all},
		{"another method", `operation: {methods: [GET]}`, `operation: {paths: [{value: /x}]}, ` + admins, ""},
		{"another path", `operation: {paths: [{type: Prefix, value: /agents}]}`, `operation: {paths: [{value: /agentsx}]}, ` + admins, ""},
		{"one path of two", `operation: {paths: [{value: /a}]}`, `operation: {paths: [{value: /a}, {value: /b}]}, ` + admins, ""},
		{"with case, then without", `operation: {paths: [{value: /a}]}`, `operation: {paths: [{value: /a, ignoreCase: true}]}, ` + admins, ""},
		{"a path, then all below", `operation: {paths: [{value: /a}]}`, `operation: {paths: [{type: Prefix, value: /a}]}, ` + admins, ""},
		{"a template, then all below it", `operation: {paths: [{type: Template, value: "/{x}"}]}`, `operation: {paths: [{type: Prefix, value: /a}]}, ` + admins, ""},
		{"a path, then a template", `operation: {paths: [{value: /a/b}]}`, `operation: {paths: [{type: Template, value: "/a/{x}"}]}, ` + admins, ""},
		{"some, then all", `operation: {paths: [{value: /a}]}, ` + admins, `operation: {paths: [{value: /a}]}`, ""},
		{"everybody with a credential, then those without", `operation: {paths: [{value: /a}]}`, `operation: {paths: [{value: /a}]}, principal: {anonymous: true}`, ""},
		{"those without a credential, then those with one", `action: Deny, operation: {paths: [{value: /a}]}, principal: {anonymous: true}`, `operation: {paths: [{value: /a}]}`, ""},
		{"everybody with a credential, then a Deny rule for those without", `operation: {paths: [{value: /a}]}`, `action: Deny, operation: {paths: [{value: /a}]}, principal: {anonymous: true}`, ""},
		{"open to everybody, then to some", `operation: {paths: [{value: /a}]}, principal: {anonymous: true}`, `operation: {paths: [{value: /a}]}, ` + admins, all},
		{"a preset, then everything", `preset: agno-v2`, admins, ""},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			rule := func(name, rest string) string { return "{" + strings.TrimSuffix("name: "+name+", "+rest, ", ") + "}" }
			got := compile(t, jwt+"authorization: {rules: ["+rule("a", test.first)+", "+rule("b", test.second)+"]}").Warnings()
			if text := strings.Join(got, "; "); text != test.want {
				t.Errorf("Warnings = %q, want %q", text, test.want)
			}
		})
	}
}
