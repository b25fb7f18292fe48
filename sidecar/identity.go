package sidecar

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// output is one request header that tells the agent a verified value.
type output struct {
	header string   // canonical
	claims []string // the first that is there counts; empty: not from a claim
	kind   outputKind
}

// outputKind says how a value is written.
type outputKind uint8

const (
	asText     outputKind = iota // strings as they are, everything else as JSON
	asList                       // always a JSON array; a string is split at blanks
	asSubject                    // the token's subject
	asProvider                   // the name of the provider
	asExpiry                     // exp in Unix seconds
)

// defaultOutputs are set unless claimToHeaders gives the header another claim.
var defaultOutputs = []output{
	{header: "X-Auth-Subject", kind: asSubject},
	{header: "X-Auth-Email", claims: []string{"email"}},
	{header: "X-Auth-Name", claims: []string{"name"}},
	{header: "X-Auth-Roles", claims: []string{"roles", "role"}, kind: asList},
	{header: "X-Auth-Scopes", claims: []string{"scopes", "scope"}, kind: asList},
	{header: "X-Auth-Tenant", claims: []string{"tenant_id"}},
	{header: "X-Auth-Provider", kind: asProvider},
	{header: "X-Auth-Expires", kind: asExpiry},
}

// newOutputs adds the policy's own headers to the default ones.
func newOutputs(custom []policy.ClaimToHeader) []output {
	own := map[string]bool{}
	var outputs []output
	for _, c := range custom {
		out := output{header: http.CanonicalHeaderKey(c.Header), claims: []string{c.Claim}}
		if c.Claim == "sub" {
			out.kind = asSubject
		}
		own[out.header] = true
		outputs = append(outputs, out)
	}
	for _, out := range defaultOutputs {
		if !own[out.header] {
			outputs = append(outputs, out)
		}
	}
	return outputs
}

// text is the value of o in a verified token. A claim that is absent or null
// has none.
func (o *output) text(v *token.Verified) string {
	switch o.kind {
	case asSubject:
		return v.Subject()
	case asProvider:
		return v.Provider()
	case asExpiry:
		return strconv.FormatInt(v.Expires().Unix(), 10)
	default:
		return o.claim(v.Claims())
	}
}

// claim is the value of the first of the output's claims that is there.
func (o *output) claim(claims map[string]any) string {
	for _, name := range o.claims {
		claim, ok := policy.Lookup(claims, name)
		if !ok || claim == nil {
			continue
		}
		text, isText := claim.(string)
		_, isList := claim.([]any)
		switch {
		case isText && o.kind == asText:
			return text
		case isText:
			return asJSON(strings.Fields(text))
		case o.kind == asList && !isList:
			return asJSON([]any{claim})
		}
		return asJSON(claim)
	}
	return ""
}

// asJSON writes a claim's value compactly; "" if there is nothing to say.
func asJSON(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "" // claims come from JSON and can be written as JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// escape percent-encodes what a header value cannot carry faithfully: bytes
// beyond ASCII, controls, a blank at either end, and the percent sign itself.
// The agent gets the value back with one percent-decoding.
func escape(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		edge := c == ' ' && (i == 0 || i == len(text)-1)
		switch {
		case c < ' ' || c >= 0x7f || c == '%' || edge:
			if b.Len() == 0 {
				b.Grow(len(text) + 16)
				b.WriteString(text[:i])
			}
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		case b.Len() > 0:
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return text
	}
	return b.String()
}
