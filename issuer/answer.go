package issuer

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/internal/throttle"
	"gatepost.dev/gatepost/policy"
)

// answer is one answer without a token. Browser clients compare detail, OAuth
// clients read error: both are in every body.
type answer struct {
	status    int
	detail    string
	code      string // RFC 6749 section 5.2, RFC 6750 section 3.1; empty where they have none
	about     string // error_description
	challenge string // WWW-Authenticate
	retry     int    // Retry-After in seconds; zero: none
	allow     string // Allow
}

// The answers that do not depend on what was asked.
var (
	notFound     = answer{status: http.StatusNotFound, detail: "Not found"}
	tooLarge     = answer{status: http.StatusRequestEntityTooLarge, detail: "Request too large", code: string(grant.InvalidRequest), about: "The body is larger than 8 KiB"}
	unavailable  = answer{status: http.StatusServiceUnavailable, detail: "Authentication temporarily unavailable", code: string(grant.TemporarilyUnavailable), about: "The issuer cannot sign or verify at the moment", retry: 5}
	overloaded   = answer{status: http.StatusServiceUnavailable, detail: "Authentication temporarily unavailable", code: string(grant.TemporarilyUnavailable), about: "The issuer is busy", retry: 2}
	tooMany      = answer{status: http.StatusTooManyRequests, detail: "Too many requests", code: string(grant.TemporarilyUnavailable), about: "Too many requests", retry: 1}
	originDenied = answer{status: http.StatusForbidden, detail: "Origin not allowed"}
	invalidToken = answer{status: http.StatusUnauthorized, detail: "Invalid token", code: "invalid_token", challenge: `Bearer error="invalid_token"`}
)

// sessionAnswers are how refused sessions are answered where not as invalidToken:
// letter by letter as a sidecar does, because the same pages read both.
var sessionAnswers = map[policy.Reason]answer{
	policy.MissingCredential: {status: http.StatusUnauthorized, detail: "Not authenticated", challenge: "Bearer"},
	policy.Expired: {
		status: http.StatusUnauthorized, detail: "Token has expired", code: "invalid_token", about: "The token has expired",
		challenge: `Bearer error="invalid_token", error_description="The token has expired"`,
	},
	policy.AmbiguousCredentials: {status: http.StatusBadRequest, detail: "Invalid request", code: string(grant.InvalidRequest), challenge: `Bearer error="invalid_request"`},
	policy.OriginDenied:         originDenied,
	policy.TokenTooLarge:        {status: http.StatusRequestHeaderFieldsTooLarge, detail: "Request too large"},
	policy.KeysUnavailable:      unavailable,
}

// sessionAnswer is how a session that was refused for a reason is answered.
func sessionAnswer(reason policy.Reason) answer {
	if a, ok := sessionAnswers[reason]; ok {
		return a
	}
	return invalidToken
}

// oauth is the answer with an error code of OAuth.
func oauth(r *grant.Refusal) answer {
	a := answer{status: r.Code.Status(), detail: r.Description, code: string(r.Code), about: r.Description}
	switch r.Code {
	case grant.InvalidClient:
		a.challenge = `Basic realm="token", charset="UTF-8"`
	case grant.TemporarilyUnavailable:
		a.retry = unavailable.retry
	default:
	}
	return a
}

// refusal is the answer to a request that is wrong in itself.
func refusal(code grant.Code, description string) answer {
	return oauth(&grant.Refusal{Code: code, Description: description})
}

// after is the answer to a client that may try again when so much time has
// passed, in whole seconds.
func (a answer) after(wait time.Duration) answer {
	a.retry = max(a.retry, throttle.RetryAfter(wait))
	return a
}

// body is the JSON of an answer; detail is always a string.
func (a *answer) body() []byte {
	text, err := json.Marshal(struct {
		Detail string `json:"detail"`
		Code   string `json:"error,omitempty"`
		About  string `json:"error_description,omitempty"`
	}{a.detail, a.code, a.about})
	if err != nil {
		return []byte(`{"detail":"Invalid request"}`) // strings can always be written
	}
	return text
}

// answer writes a to the client.
func (x *exchange) answer(a answer) {
	h := x.w.Header()
	if a.challenge != "" {
		h["Www-Authenticate"] = []string{a.challenge}
	}
	if a.retry > 0 {
		h["Retry-After"] = []string{strconv.Itoa(a.retry)}
	}
	if a.allow != "" {
		h["Allow"] = []string{a.allow}
	}
	x.write(a.status, a.body())
}

// refuse answers a request for a token that is not given.
func (x *exchange) refuse(result string, a answer) {
	x.result = result
	x.answer(a)
}

// write writes an answer that nobody may keep.
func (x *exchange) write(status int, body []byte) {
	h := x.w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["Pragma"] = []string{"no-cache"} // RFC 6749 section 5.1
	x.send(status, body)
}

// send writes an answer with the headers that all have.
func (x *exchange) send(status int, body []byte) {
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["X-Gatepost-Decision"] = []string{x.id}
	rules := &crossorigin.Rules{}
	if x.in != nil {
		rules = &x.in.cors
	}
	rules.Mark(h, x.r.Header, rules.Exposed())
	if x.to.isDocument() {
		openToAll(h)
	}
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a client that has gone needs no answer
	}
}

// openToAll lets every page read an answer: keys and metadata are public, and
// clients in browsers find out by them where to go.
func openToAll(h http.Header) {
	if _, ok := h["Access-Control-Allow-Origin"]; !ok {
		h["Access-Control-Allow-Origin"] = []string{"*"}
	}
}
