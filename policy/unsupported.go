package policy

import "gatepost.dev/gatepost/policy/bounds"

// Unsupported names the fields of s that no code stands behind yet, each as
// "field: why". A policy that uses one must not be put into force.
func Unsupported(s Spec) []string {
	var out []string
	note := func(used bool, field, why string) {
		if used {
			out = append(out, field+": "+why)
		}
	}
	if s.Authorization != nil {
		for i := range s.Authorization.Rules {
			out = append(out, unsupportedInRule(bounds.At("spec.authorization.rules", i), &s.Authorization.Rules[i])...)
		}
	}
	note(s.ProtectedResource != nil, "spec.protectedResource", "MCP's metadata is not built yet")
	return out
}

func unsupportedInRule(field string, r *Rule) []string {
	var out []string
	if r.MCP != nil {
		out = append(out, field+".mcp: rules on MCP calls are not built yet")
	}
	return out
}
