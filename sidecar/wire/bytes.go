package wire

import (
	"bytes"
	"net/netip"
)

var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
	colon = []byte(":")
	comma = []byte(",")
)

// Is compares without the case of ASCII letters; lower is in lower case. Unicode
// folding would take the Kelvin sign for a k.
func Is[T string | []byte](text T, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// IsToken reports whether text is a token, RFC 9110 section 5.6.2.
func IsToken[T string | []byte](text T) bool {
	for i := range len(text) {
		if !tokenBytes[text[i]] {
			return false
		}
	}
	return len(text) > 0
}

// IsTokenByte reports whether c may be part of a token.
func IsTokenByte(c byte) bool { return tokenBytes[c] }

// isTarget reports whether b is a target in origin form, RFC 9112 section
// 3.2.1: visible ASCII that begins with a slash, every escape of its path whole.
func isTarget(b []byte) bool {
	if len(b) == 0 || b[0] != '/' {
		return false
	}
	path := true
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
		path = path && c != '?'
		if path && c == '%' && (i+2 >= len(b) || !isHex(b[i+1]) || !isHex(b[i+2])) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// isFieldValue reports whether b holds no control bytes but tabs, RFC 9110
// section 5.5.
func isFieldValue(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// isHost takes host names, IPv4 and bracketed IPv6 addresses with or without a
// port. Nothing that needs decoding is one: user information, escapes, zones.
func isHost(b []byte) bool {
	if len(b) > maxHost {
		return false
	}
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		return end > 0 && isIPv6(b[1:end]) && isPort(b[end+1:])
	}
	name, _, _ := bytes.Cut(b, colon)
	for _, c := range name {
		if !isAlnum(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return len(name) > 0 && isPort(b[len(name):])
}

// isPort takes what may follow a host: nothing, or a colon and a port number.
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n, ok := Digits(b[1:])
	return b[0] == ':' && ok && n <= 0xffff
}

func isIPv6(b []byte) bool {
	if bytes.IndexByte(b, '%') >= 0 {
		return false
	}
	address, err := netip.ParseAddr(string(b))
	return err == nil && address.Is6()
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Digits reads a number as HTTP writes them, a Content-Length for one: decimal
// digits only, no sign, no list, no blanks, and no more of them than an int64
// holds.
func Digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > maxDigits {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// framesTrailer reports whether a Trailer header announces one of the headers
// that may not come after a body (RFC 9110 section 6.5.1).
func framesTrailer(value []byte) bool {
	for name := range bytes.SplitSeq(value, comma) {
		name = bytes.Trim(name, " \t")
		if Is(name, "transfer-encoding") || Is(name, "content-length") || Is(name, "trailer") {
			return true
		}
	}
	return false
}

// tokenBytes are the bytes a token may hold, RFC 9110 section 5.6.2.
var tokenBytes = func() (set [256]bool) {
	for c := range set {
		set[c] = isAlnum(byte(c)) || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return set
}()
