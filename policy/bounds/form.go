package bounds

import "regexp"

// Form is what a text must look like; a nil Pattern takes everything.
type Form struct {
	// Most is the longest the text may be, in characters.
	Most int
	// Pattern is the form, and Hint says what it is, after the text in quotes.
	Pattern *regexp.Regexp
	Hint    string
}

// The forms of names.
var (
	// Label names an entry of a list, as Kubernetes' labels do.
	Label = Form{63, regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`), "is no name: use lower-case letters, digits and inner hyphens"}
	// Object names an object, and SigningKey one with a suffix behind it.
	Object     = Form{253, regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`), "is no object name: use lower-case letters, digits, hyphens and dots"}
	SigningKey = Form{52, Object.Pattern, Object.Hint}
	// DataKey names a value in a Secret or ConfigMap.
	DataKey = Form{253, regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`), "is no data key: use letters, digits, hyphens, underscores and dots, the first no dot"}
	// Header names a header that identities travel in, AnyHeader any (RFC 9110 section
	// 5.6.2).
	Header    = Form{128, regexp.MustCompile(`^[A-Za-z0-9-]+$`), "is no header name: use letters, digits and hyphens"}
	AnyHeader = Form{128, regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_|~-]+$"), "is no header name"}
	// Claim is a claim's name, or a JSON pointer (RFC 6901).
	Claim = Form{256, regexp.MustCompile(`^([^/]|/([^~]|~[01])*$)`), "is no JSON pointer: after a slash, write ~0 for ~ and ~1 for /"}
	// Rate is a number of events per second or minute.
	Rate = Form{8, regexp.MustCompile(`^[1-9][0-9]{0,5}/[sm]$`), "is no rate: write 20/s or 100/m"}
	// Scope is a scope-token (RFC 6749 section 3.3).
	Scope = Form{256, regexp.MustCompile(`^[!#-\[\]-~]+$`), "is no scope: use visible ASCII without quotes and backslashes"}
)
