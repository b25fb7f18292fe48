package token

import "gatepost.dev/gatepost/policy"

// DefaultMaxBytes is the longest token looked at unless a policy says otherwise.
const DefaultMaxBytes = 16384

// Raw is the text of one credential, taken out of its carrier and not yet
// believed. It prints as "redacted". The zero Raw is malformed.
type Raw struct{ text string }

// Extract takes the one token out of the values of one header (RFC 6750 section
// 2.1): one value, the prefix (letters compared without case), the token. The
// reason is empty on success, else missing_credential (no value, another
// scheme, nothing after the prefix), ambiguous_credentials (several values or
// several credentials in one), token_too_large (longer than maxBytes; 0 means
// DefaultMaxBytes) or malformed_token.
func Extract(values []string, prefix string, maxBytes int) (Raw, policy.Reason) {
	return Raw{}, policy.MissingCredential
}
