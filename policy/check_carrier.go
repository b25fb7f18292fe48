package policy

import (
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy/bounds"
)

// HoldsKey reports whether a text holds what looks like an API key, in letters
// of either case.
func HoldsKey(text string) bool { return bounds.HoldsKey(text) }

// HideKeys is the text without the API keys in it, for messages that quote what
// somebody wrote.
func HideKeys(text string) string { return bounds.HideKeys(text) }

// isWritten reports the names that the sidecar itself writes or removes, or
// that frame a message, so that an agent does not get them as they were sent.
func isWritten(folded string) bool {
	for _, prefix := range []string{"x-auth-", "x-gatepost-", "x-forwarded-", "x-original-"} {
		if strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	switch folded {
	case "authorization", "cookie", "forwarded", "x-real-ip", "x-user-id", "x-rewrite-url", "x-envoy-original-path", "x-envoy-original-host",
		"x-http-method", "x-http-method-override", "x-method-override", "http2-settings":
		return true
	}
	return isFraming(folded)
}

// keyCarriers are the folded names of the headers that may carry an API key.
func keyCarriers(a *APIKeyAuth) []string {
	if a == nil {
		return nil
	}
	var names []string
	for _, source := range a.ExtractFrom {
		names = append(names, foldHeader(source.Header))
	}
	if len(names) == 0 {
		return []string{"x-api-key"}
	}
	return names
}

// clientHeader is the header that tells the agent who the client of a key is.
func clientHeader(a *APIKeyAuth) string {
	if a.ForwardClientIDHeader == "" {
		return "X-Auth-Client"
	}
	return a.ForwardClientIDHeader
}

// claimsBesideKeys keeps claims out of the headers of API keys: the agent would
// take the one for the other.
func (c *checker) claimsBesideKeys(s *Spec) {
	if s.JWT == nil {
		return
	}
	keys := keyCarriers(s.APIKeyAuth)
	for i, m := range s.JWT.ClaimToHeaders {
		if slices.Contains(keys, foldHeader(m.Header)) {
			c.Fail(bounds.At("spec.jwt.claimToHeaders", i)+".header", "%q carries an API key: choose another header", m.Header)
		}
	}
}

// tenantHeader refuses a tenant in a header that the agent does not get as the
// client sent it: the guard and the agent would see two tenants.
func (c *checker) tenantHeader(field, header string, s *Spec) {
	if header == "" {
		return
	}
	name, why := foldHeader(header), ""
	switch {
	case isWritten(name):
		why = "the agent does not get it as the client sent it"
	case slices.Contains(tokenCarriers(s.JWT), name) || slices.Contains(keyCarriers(s.APIKeyAuth), name):
		why = "it carries a credential"
	case s.APIKeyAuth != nil && name == foldHeader(clientHeader(s.APIKeyAuth)):
		why = "spec.apiKeyAuth.forwardClientIDHeader sets it"
	case s.JWT != nil && slices.ContainsFunc(s.JWT.ClaimToHeaders, func(m ClaimToHeader) bool { return foldHeader(m.Header) == name }):
		why = "spec.jwt.claimToHeaders sets it"
	default:
		return
	}
	c.Fail(field, "%q cannot name a tenant: %s; choose a header such as X-Tenant-ID", header, why)
}
