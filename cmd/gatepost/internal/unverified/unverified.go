// Package unverified shows what a token says without believing any of it.
//
// Anybody can write a token. What is read here is for the eyes of a person and
// for sentences such as "iss is this, and the policy accepts that"; nothing is
// ever decided by it. It reads leniently, padding and all, so that a token that
// the sidecar calls malformed can be looked at too; what the sidecar would object
// to stands in Flaw, by token.Flaw, which is the sidecar's own reader.
package unverified

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// Token is what a token says of itself. It is not verified.
type Token struct {
	// Header and Claims are the JSON objects; nil where they cannot be read.
	// Numbers are json.Number; of a doubled name the last is seen.
	Header, Claims map[string]any
	// SignatureBytes is how long the signature is; -1 when it cannot be decoded.
	SignatureBytes int
	// Flaw says why the sidecar would call it malformed; empty when it would not.
	Flaw string
}

// maxText is the longest text that is looked at: many times what a request can
// carry.
const maxText = 1 << 20

// Clean is a pasted credential without the blanks around it, the header's name
// and the scheme before it.
func Clean(text string) string {
	text = strings.TrimSpace(text)
	for _, prefix := range []string{"authorization:", "bearer "} {
		if len(text) >= len(prefix) && policy.EqualFoldASCII(text[:len(prefix)], prefix) {
			text = strings.TrimLeft(text[len(prefix):], " \t")
		}
	}
	return text
}

// IsKey reports whether a credential is an API key, or was meant to be one. A
// token may hold the same letters by chance, but does not begin with them.
func IsKey(text string) bool {
	return len(text) >= len(apikey.Prefix) && policy.EqualFoldASCII(text[:len(apikey.Prefix)], apikey.Prefix)
}

// Read takes a token apart as far as that is possible. The text is one that Clean
// has seen.
func Read(text string) Token {
	read := Token{SignatureBytes: -1}
	if len(text) > maxText {
		read.Flaw = "it is longer than 1 MiB"
		return read
	}
	raw, reason := token.Extract([]string{text}, "", len(text)+1)
	switch flaw := token.Flaw(raw); {
	case reason != "":
		read.Flaw = foreign(text)
	case flaw != nil:
		read.Flaw = flaw.Error()
	}
	parts := strings.Split(text, ".")
	read.Header = object(parts[0])
	if len(parts) > 1 && len(parts) != 5 { // of five, the second is an encrypted key
		read.Claims = object(parts[1])
	}
	if len(parts) == 3 {
		if signature, ok := decode(parts[2]); ok {
			read.SignatureBytes = len(signature)
		}
	}
	return read
}

// foreign says what was pasted along with a token, or instead of one.
func foreign(text string) string {
	switch {
	case strings.HasPrefix(text, "\ufeff"):
		return "it begins with a byte order mark: save it as text without one"
	case strings.HasPrefix(text, "{"):
		return "it is JSON: take the token out of it, such as with jq -r .token"
	case len(text) > 1 && text[0] == text[len(text)-1] && strings.ContainsRune(`"'`, rune(text[0])):
		return "it begins and ends with a quote: remove both"
	}
	return "it has characters that no token has, such as blanks, quotes or line breaks"
}

// object decodes one part; nil when it is no JSON object.
func object(part string) map[string]any {
	data, ok := decode(part)
	if !ok {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var read map[string]any
	if decoder.Decode(&read) != nil {
		return nil
	}
	return read
}

// decode reads base64 of either alphabet, with padding or without.
func decode(part string) ([]byte, bool) {
	part = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(part)
	data, err := base64.RawURLEncoding.DecodeString(part)
	return data, err == nil
}

// Text is a header member or a claim as it is spoken of: a text in quotes,
// anything else as JSON, cut at 200 characters; "absent" where there is none.
func Text(of map[string]any, name string) string {
	value, ok := of[name]
	if !ok {
		return "absent"
	}
	var buffer strings.Builder
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		return "unreadable"
	}
	text := strings.TrimSuffix(buffer.String(), "\n")
	const most = 200
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most]) + "..."
	}
	return text
}
