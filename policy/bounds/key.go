package bounds

import "regexp"

// keyInText is what a text holds from where an API key begins.
var keyInText = regexp.MustCompile(`(?i)gpk_[a-z0-9_]*`)

// HoldsKey reports whether a text holds what looks like an API key, in letters
// of either case.
func HoldsKey(text string) bool { return keyInText.MatchString(text) }

// HideKeys is the text without the API keys in it, for messages that quote what
// somebody wrote.
func HideKeys(text string) string { return keyInText.ReplaceAllLiteralString(text, "(an API key)") }

// KeyText refuses a key in the place of something else: it would end up in
// metrics, logs and requests. It reports whether there was one.
func (c *Checker) KeyText(field, s string) bool {
	found := HoldsKey(s)
	if found {
		c.Fail(field, "looks like a key: keys are never written down, only their hashes are, in keyHash")
	}
	return found
}
