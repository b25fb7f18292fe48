package attack

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// The kinds of credentials.
const (
	noCredential = iota
	rightCredential
	wrongCredential
)

// identity is who a credential says.
type identity struct {
	provider string         // of a token
	client   string         // of an API key
	claims   map[string]any // nil for nobody
}

// credential finds who asks, as the policy of the oracle says.
func (o oracle) credential(r *request) (identity, int) {
	tokens, ambiguous := o.tokens(r)
	if ambiguous || len(tokens) > 1 {
		return identity{}, wrongCredential
	}
	if o.carriers {
		if keys := r.values("X-Api-Key"); len(keys) > 0 {
			return o.keyHolder(keys, len(tokens) > 0)
		}
	}
	if len(tokens) == 0 {
		return identity{}, noCredential
	}
	if who, ok := o.keys.verify(tokens[0], time.Now()); ok && !o.forgedByPage(r) {
		return who, rightCredential
	}
	return identity{}, wrongCredential
}

// keyHolder is whose API key it is.
func (o oracle) keyHolder(keys []string, beside bool) (identity, int) {
	known := map[string]identity{
		o.keys.apiKey("crm"):   {client: "crm", claims: map[string]any{"scopes": []any{"agents:run"}, "tenant_id": "t1"}},
		o.keys.apiKey("batch"): {client: "batch", claims: map[string]any{}},
	}
	who, ok := known[keys[0]]
	if !ok || len(keys) > 1 || beside {
		return identity{}, wrongCredential
	}
	return who, rightCredential
}

// tokens are the texts at all places that may carry one.
func (o oracle) tokens(r *request) (found []string, ambiguous bool) {
	bearer := r.values("Authorization")
	if len(bearer) > 1 {
		return nil, true
	}
	for _, value := range bearer {
		if scheme, text, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") && strings.Trim(text, " \t") != "" {
			found = append(found, text)
		}
	}
	if !o.carriers {
		return found, false
	}
	plain := r.values("X-Token")
	for _, value := range plain {
		if value != "" {
			found = append(found, value)
		}
	}
	found = append(found, cookies(r)...)
	if o.handshake(r) {
		found = append(found, protocolTokens(r)...)
	}
	return found, len(plain) > 1
}

// protocolTokens are what follows each bearer in the list of protocols.
func protocolTokens(r *request) []string {
	var found []string
	after := false
	for name := range strings.SplitSeq(strings.Join(r.values("Sec-WebSocket-Protocol"), ","), ",") {
		name = strings.Trim(name, " \t")
		switch {
		case name == "":
		case after:
			found, after = append(found, name), false
		default:
			after = strings.EqualFold(name, "bearer")
		}
	}
	return found
}

// cookies are the values of the cookie that carries a token, as RFC 6265
// section 4.2.1 writes them.
func cookies(r *request) []string {
	var found []string
	for _, line := range r.values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if value, ok := strings.CutPrefix(strings.Trim(pair, " \t"), "session="); ok && value != "" {
				found = append(found, value)
			}
		}
	}
	return found
}

// forgedByPage reports whether a browser would send the request for a page that
// is not listed: a cookie goes with whatever asks.
func (o oracle) forgedByPage(r *request) bool {
	if !o.carriers || len(cookies(r)) == 0 {
		return false
	}
	origins := r.values("Origin")
	listed := len(origins) == 1 && (origins[0] == "https://app.example" || origins[0] == "http://localhost:3000")
	reads := r.method == "GET" || r.method == "HEAD" || r.method == "OPTIONS"
	return !listed && !reads
}

// handshake reports whether the request opens a WebSocket, RFC 6455 section 4.2.1.
func (o oracle) handshake(r *request) bool {
	one := func(name string) string {
		if values := r.values(name); len(values) == 1 {
			return values[0]
		}
		return ""
	}
	nonce, err := base64.StdEncoding.Strict().DecodeString(one("Sec-WebSocket-Key"))
	asked := slices.ContainsFunc(strings.Split(strings.Join(r.values("Connection"), ","), ","), func(option string) bool {
		return strings.EqualFold(strings.Trim(option, " \t"), "upgrade")
	})
	bodiless := len(r.body) == 0 && len(r.values("Transfer-Encoding")) == 0 && (one("Content-Length") == "" || strings.Trim(one("Content-Length"), "0") == "")
	return r.method == "GET" && r.version == "HTTP/1.1" && bodiless && strings.EqualFold(one("Upgrade"), "websocket") && asked &&
		one("Sec-WebSocket-Version") == "13" && err == nil && len(nonce) == 16
}
