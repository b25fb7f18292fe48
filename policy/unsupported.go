package policy

// Unsupported names the fields of s that no code stands behind yet, each as
// "field: why". A policy that uses one must not be put into force.
func Unsupported(s Spec) []string {
	var out []string
	note := func(used bool, field, why string) {
		if used {
			out = append(out, field+": "+why)
		}
	}
	if s.JWT != nil {
		out = append(out, unsupportedInJWT(s.JWT)...)
	}
	note(s.APIKeyAuth != nil, "spec.apiKeyAuth", "API keys are not built yet")
	if s.Authorization != nil {
		for i := range s.Authorization.Rules {
			out = append(out, unsupportedInRule(at("spec.authorization.rules", i), &s.Authorization.Rules[i])...)
		}
	}
	note(s.ProtectedResource != nil, "spec.protectedResource", "MCP's metadata is not built yet")
	if t := s.Streaming; t != nil {
		note(t.OnTokenExpiry == OnExpiryClose || t.OnTokenExpiry == OnExpiryCloseAfterGrace,
			"spec.streaming.onTokenExpiry", t.OnTokenExpiry+" is not built yet; use Continue")
	}
	note(s.Limits != nil && s.Limits.Rejections != nil, "spec.limits.rejections", "throttling of refused clients is not built yet")
	return out
}

func unsupportedInJWT(j *JWT) []string {
	var out []string
	for i := range j.Providers {
		if r := j.Providers[i].RemoteJWKS; r != nil && r.CABundleRef != nil {
			out = append(out, at("spec.jwt.providers", i)+".remoteJWKS.caBundleRef: certificates of one's own are not built yet")
		}
	}
	return out
}

func unsupportedInRule(field string, r *Rule) []string {
	var out []string
	if r.MCP != nil {
		out = append(out, field+".mcp: rules on MCP calls are not built yet")
	}
	return out
}
