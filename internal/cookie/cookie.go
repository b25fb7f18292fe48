// Package cookie finds a credential in a Cookie header, strictly: where readers
// differ in which cookie has a name, there is no cookie of that name that is
// believed.
package cookie

import (
	"strings"
)

// Values are the values of the cookie with this name in the lines of a
// Cookie header, RFC 6265 section 4.2.1. What only a lenient reader takes for
// that cookie (see nameIn) counts twice, so that there are several: it is never
// the one that is believed.
func Values(lines []string, name string) []string {
	var values []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if at := nameIn(pair, name); at >= 0 {
				_, value, _ := strings.Cut(pair[at:], "=")
				values = append(values, strings.Trim(value, " \t"))
				plain := strings.HasPrefix(strings.TrimLeft(pair, " \t"), name+"=")
				if !plain || nameIn(pair[at+len(name):], name) >= 0 {
					values = append(values, "")
				}
			}
		}
	}
	return values
}

// Without returns the lines without the cookie of this name, and nil when
// nothing is left of them.
func Without(lines []string, name string) []string {
	var kept []string
	for _, line := range lines {
		if nameIn(line, name) < 0 {
			kept = append(kept, line)
			continue
		}
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			if nameIn(pair, name) < 0 && strings.Trim(pair, " \t") != "" {
				pairs = append(pairs, strings.Trim(pair, " \t"))
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	return kept
}

// nameIn is where in text the name of a cookie begins, -1 if nowhere: the name
// as a whole word, then an equals sign, whatever else stands between them that
// is no part of a name. Readers differ in what they take away around a name:
// blanks, quotes, blanks of Latin-1 or Unicode (str.strip in Python, trim in
// JavaScript), which are bytes beyond ASCII here. It need not be the first word,
// because some readers take blanks, commas or quotes for the end of a cookie.
func nameIn(text, name string) int {
	for from := 0; from < len(text); {
		k := strings.Index(text[from:], name)
		if k < 0 {
			return -1
		}
		begin, end := from+k, from+k+len(name)
		whole := begin == 0 || !isCookieName(text[begin-1])
		for end < len(text) && text[end] != '=' && !isCookieName(text[end]) {
			end++
		}
		if whole && end < len(text) && text[end] == '=' {
			return begin
		}
		from = begin + 1
	}
	return -1
}

// isCookieName reports whether c may be part of a cookie's name: a token, RFC
// 9110 section 5.6.2, without the apostrophe, which may be taken for a quote.
func isCookieName(c byte) bool { return c != '\'' && isTokenByte(c) }

// isTokenByte reports whether c may be part of a token, RFC 9110 section 5.6.2.
func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
