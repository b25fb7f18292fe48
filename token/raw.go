package token

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"gatepost.dev/gatepost/policy"
)

// DefaultMaxBytes is the longest token looked at unless a policy says otherwise.
const DefaultMaxBytes = 16384

// Raw is the text of one credential, taken out of its carrier and not yet
// believed. It prints as "redacted". The zero Raw is malformed.
type Raw struct{ text string }

// String returns "redacted".
func (Raw) String() string { return redacted }

// GoString returns "redacted".
func (Raw) GoString() string { return redacted }

// Format writes "redacted" for every verb.
func (Raw) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue is "redacted".
func (Raw) LogValue() slog.Value { return slog.StringValue(redacted) }

// Extract takes the one token out of the values of one header (RFC 6750 section
// 2.1): one value, the prefix (letters compared without case), the token. The
// reason is empty on success, else missing_credential (no value, another
// scheme, nothing after the prefix), ambiguous_credentials (several values or
// several credentials in one), token_too_large (longer than maxBytes; 0 means
// DefaultMaxBytes) or malformed_token.
func Extract(values []string, prefix string, maxBytes int) (Raw, policy.Reason) {
	if len(values) == 0 {
		return Raw{}, policy.MissingCredential
	}
	if len(values) > 1 {
		return Raw{}, policy.AmbiguousCredentials
	}
	value := values[0]
	text, found := cutPrefixFold(value, prefix)
	if list := strings.IndexByte(value, ','); list >= 0 && (found || listHas(value[list:], prefix)) {
		return Raw{}, policy.AmbiguousCredentials
	}
	if !found || strings.Trim(text, " \t") == "" {
		return Raw{}, policy.MissingCredential
	}
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	if len(text) > maxBytes {
		return Raw{}, policy.TokenTooLarge
	}
	if !isToken68(text) {
		return Raw{}, policy.MalformedToken
	}
	return Raw{text: text}, ""
}

// listHas reports whether one of the elements after the first comma of a list
// begins with the prefix.
func listHas(rest, prefix string) bool {
	for element := range strings.SplitSeq(rest, ",") {
		element = strings.TrimLeft(element, " \t")
		if _, ok := cutPrefixFold(element, prefix); ok && element != "" {
			return true
		}
	}
	return false
}

func cutPrefixFold(value, prefix string) (string, bool) {
	if len(value) < len(prefix) || !policy.EqualFoldASCII(value[:len(prefix)], prefix) {
		return "", false
	}
	return value[len(prefix):], true
}

// isToken68 reports whether text is of the grammar token68 of RFC 9110 section
// 11.2. It looks at every byte of every request's token.
func isToken68(text string) bool {
	for i := range len(text) {
		if !token68[text[i]] {
			return false
		}
	}
	return true
}

var token68 = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") {
		set[c] = true
	}
	return set
}()
