package token

import (
	"encoding/base64"
	"strings"
)

// compact is a JWS in compact serialisation (RFC 7515 section 7.1) taken
// apart. Nothing in it is believed before its signature is verified; header
// members that would bring their own key (jwk, jku, x5u, x5c, x5t) are not even
// kept.
type compact struct {
	alg       algorithm
	kid       string
	hasKID    bool
	typ       string
	hasTyp    bool
	claims    map[string]any
	signed    []byte
	signature []byte
}

// parseCompact takes a token apart. It is false for everything that is not a
// compact JWS with a JSON object as its payload, or that a second reader could
// read differently: other than three parts, lax base64url, the JSON that
// decodeObject refuses, registered names in other case, crit and b64 (no
// extension is understood here, RFC 7515 section 4.1.11). A bad alg or typ is
// left to the reasons that are theirs.
func parseCompact(text string) (*compact, bool) {
	token, payload, ok := openCompact(text)
	if !ok {
		return nil, false
	}
	token.claims, ok = decodePart(payload, isClaimName)
	return token, ok
}

// openCompact is parseCompact without a look at the payload.
func openCompact(text string) (token *compact, payload string, ok bool) {
	first := strings.IndexByte(text, '.')
	last := strings.LastIndexByte(text, '.')
	if first <= 0 || last-first < 2 || strings.IndexByte(text[first+1:last], '.') >= 0 {
		return nil, "", false
	}
	signature, ok := decodeBase64(text[last+1:])
	if !ok {
		return nil, "", false
	}
	header, ok := decodePart(text[:first], isHeaderName)
	if !ok {
		return nil, "", false
	}
	token = &compact{signed: []byte(text[:last]), signature: signature}
	return token, text[first+1 : last], token.readHeader(header)
}

// decodePart reads one part as a JSON object whose registered names are written
// exactly.
func decodePart(text string, registered func(string) bool) (map[string]any, bool) {
	data, ok := decodeBase64(text)
	if !ok {
		return nil, false
	}
	object, err := decodeObject(string(data))
	if err != nil {
		return nil, false
	}
	for name := range object {
		if len(name) <= maxFoldedName && !registered(name) && registered(foldName(name)) {
			return nil, false
		}
	}
	return object, true
}

// maxFoldedName is the longest name, in bytes, that can fold to a registered
// one: the long s and the Kelvin sign take two and three bytes.
const maxFoldedName = 5

func isHeaderName(name string) bool {
	switch name {
	case "alg", "kid", "typ", "crit", "b64":
		return true
	default:
		return false
	}
}

func isClaimName(name string) bool {
	switch name {
	case "exp", "nbf", "iat", "iss", "aud", "sub", "cnf":
		return true
	default:
		return false
	}
}

// foldName lowers a name as lax readers (encoding/json) fold it: simple Unicode
// folding, by which U+017F is an s and U+212A a k.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '\u017f':
			return 's'
		case '\u212a':
			return 'k'
		default:
			return c | asciiCase(c)
		}
	}, name)
}

// asciiCase is the bit that makes an upper-case ASCII letter lower case.
func asciiCase(c rune) rune {
	if c >= 'A' && c <= 'Z' {
		return 0x20
	}
	return 0
}

// readHeader keeps the members that matter (RFC 7515 section 4.1).
func (t *compact) readHeader(header map[string]any) bool {
	for _, name := range []string{"crit", "b64"} {
		if _, present := header[name]; present {
			return false
		}
	}
	name, _ := header["alg"].(string)
	t.alg = algorithmNamed(name)
	if typ, present := header["typ"]; present {
		t.hasTyp = true
		t.typ, _ = typ.(string)
	}
	if kid, present := header["kid"]; present {
		t.kid, t.hasKID = kid.(string)
		return t.hasKID
	}
	return true
}

// strictBase64 is base64url without padding and without spare bits (RFC 7515
// section 2). It would skip line breaks; decodeBase64 does not let it see any.
var strictBase64 = base64.RawURLEncoding.Strict()

func decodeBase64(text string) ([]byte, bool) {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		return nil, false
	}
	data, err := strictBase64.DecodeString(text)
	return data, err == nil
}
