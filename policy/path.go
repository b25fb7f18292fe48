package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// judgeTarget returns the path of a request target, percent-decoded once, or
// false when two servers could take the target differently. It repairs nothing:
// what it accepts has one meaning for us and for the agent, so the target can
// be forwarded byte for byte.
//
// Refused are: anything but the origin form (RFC 9112 section 3.2.1); blanks,
// controls and bytes beyond ASCII; a fragment; in the path, before or after
// decoding, a backslash, a semicolon, a control, an empty segment, "." and ".."
// as a segment; an encoded slash; an escape that is broken, yields invalid
// UTF-8 or would decode a second time. The query is not looked into.
func judgeTarget(target string) (string, bool) {
	path, escaped, ok := splitPath(target)
	if !ok {
		return "", false
	}
	if escaped {
		if path, ok = decodeOnce(path); !ok {
			return "", false
		}
	}
	return path, wholeSegments(path)
}

// splitPath cuts the query off and looks at the bytes as they were sent.
func splitPath(target string) (path string, escaped, ok bool) {
	if target == "" || target[0] != '/' || !visible(target) {
		return "", false, false
	}
	path, _, _ = strings.Cut(target, "?")
	return path, strings.Contains(path, "%"), !strings.ContainsAny(path, `\;`)
}

// visible reports whether a target is ASCII without blanks, controls and the
// beginning of a fragment.
func visible(target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// decodeOnce undoes one layer of percent-encoding (RFC 3986 section 2.1).
func decodeOnce(path string) (string, bool) {
	var out strings.Builder
	out.Grow(len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			out.WriteByte(path[i])
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return "", false
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if c == '/' || c == '\\' || c == ';' {
			return "", false
		}
		out.WriteByte(c)
		i += 2
	}
	decoded := out.String()
	return decoded, plainText(decoded) && !decodesAgain(decoded)
}

// plainText reports whether s is UTF-8 without control characters; Python's
// regular expressions, to name one reader, take "/x\n" for "/x".
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// decodesAgain reports whether a second decoding could change s. One hex digit
// is enough to be suspicious: decoders differ in what they do with "%2".
func decodesAgain(s string) bool {
	for {
		_, after, found := strings.Cut(s, "%")
		if !found {
			return false
		}
		if after != "" && isHex(after[0]) {
			return true
		}
		s = after
	}
}

// wholeSegments reports whether no segment of the decoded path is ".", ".." or,
// but for the one after a trailing slash, empty.
func wholeSegments(path string) bool {
	rest := path[1:]
	for rest != "" {
		segment, after, _ := strings.Cut(rest, "/")
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		rest = after
	}
	return true
}

// trimSlash drops one trailing slash, so that /agents/ and /agents are one
// route; the root keeps its own.
func trimSlash(path string) string {
	if len(path) > 1 && path[len(path)-1] == '/' {
		return path[:len(path)-1]
	}
	return path
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// unhex is the value of a hex digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0x0f + 9
}
