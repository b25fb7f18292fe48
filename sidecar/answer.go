package sidecar

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	throttling "gatepost.dev/gatepost/internal/throttle"
	"gatepost.dev/gatepost/policy"
)

// answer is one answer that the sidecar makes itself. Browser clients compare
// its texts: they are API.
type answer struct {
	status    int
	detail    string
	code      string // RFC 6750 section 3.1; empty where it has none
	about     string // error_description
	challenge string // WWW-Authenticate
	retry     int    // Retry-After in seconds; zero: none
	allow     string // Allow
}

// The answers that do not depend on a reason alone.
var (
	agentUnavailable = answer{status: http.StatusBadGateway, detail: "Agent unavailable"}
	overloaded       = answer{status: http.StatusServiceUnavailable, detail: "Agent unavailable", retry: 2}
	badRequest       = answer{status: http.StatusBadRequest, detail: "Invalid request"}
)

// invalidToken is the answer to every token that is wrong in a way of its own.
var invalidToken = answer{status: http.StatusUnauthorized, detail: "Invalid token", code: "invalid_token", challenge: `Bearer error="invalid_token"`}

// answers are how refusals are answered, where not as invalidToken. Every 401
// names Bearer; error codes are there only where RFC 6750 has one and a client
// can act on it.
var answers = map[policy.Reason]answer{
	policy.MissingCredential: {status: http.StatusUnauthorized, detail: "Not authenticated", challenge: "Bearer"},
	policy.Expired: {
		status: http.StatusUnauthorized, detail: "Token has expired", code: "invalid_token", about: "The token has expired",
		challenge: `Bearer error="invalid_token", error_description="The token has expired"`,
	},
	policy.AmbiguousCredentials: {status: http.StatusBadRequest, detail: badRequest.detail, code: "invalid_request", challenge: `Bearer error="invalid_request"`},
	policy.InsufficientScope:    {status: http.StatusForbidden, detail: "Insufficient permissions", code: "insufficient_scope"},
	policy.RuleDenied:           {status: http.StatusForbidden, detail: "Insufficient permissions"},
	policy.ToolDenied:           {status: http.StatusForbidden, detail: "Insufficient permissions"},
	policy.OriginDenied:         {status: http.StatusForbidden, detail: "Origin not allowed"},
	policy.BadRequest:           badRequest,
	policy.MethodNotAllowed:     {status: http.StatusMethodNotAllowed, detail: "Method not allowed", allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
	policy.RequestTooLarge:      {status: http.StatusRequestHeaderFieldsTooLarge, detail: "Request too large"},
	policy.TokenTooLarge:        {status: http.StatusRequestHeaderFieldsTooLarge, detail: "Request too large"},
	policy.RateLimited:          {status: http.StatusTooManyRequests, detail: "Too many requests", retry: 1},
	policy.KeysUnavailable:      {status: http.StatusServiceUnavailable, detail: "Authentication temporarily unavailable", retry: 5},
}

// answerTo is how a refusal is answered. Scopes are named only where a bigger
// scope would help.
func answerTo(reason policy.Reason, scopes []string) answer {
	a, ok := answers[reason]
	if !ok {
		return invalidToken
	}
	if reason == policy.InsufficientScope {
		a.challenge = `Bearer error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`
	}
	return a
}

// after is the answer to a client that may try again when so much time has
// passed, in whole seconds; zero says nothing new.
func (a answer) after(wait time.Duration) answer {
	if wait > 0 && a.retry > 0 {
		a.retry = max(a.retry, throttling.RetryAfter(wait))
	}
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

// head writes the headers that every answer has.
func (a *answer) head(h http.Header, id string, length int) {
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(length)}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Gatepost-Decision"] = []string{id}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if a.challenge != "" {
		h["Www-Authenticate"] = []string{a.challenge}
	}
	if a.retry > 0 {
		h["Retry-After"] = []string{strconv.Itoa(a.retry)}
	}
	if a.allow != "" {
		h["Allow"] = []string{a.allow}
	}
}

// answer writes a to the client.
func (x *exchange) answer(a answer) {
	h := x.w.Header()
	clear(h)
	text := a.body()
	a.head(h, x.id(), len(text))
	c := newCORS(nil)
	if s := x.site(); s != nil {
		c = s.cors
	}
	c.Mark(h, x.r.Header, c.Exposed())
	if x.endsConnection() {
		h["Connection"] = []string{"close"}
	}
	x.w.WriteHeader(a.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(text) // a client that has gone needs no answer
	}
}
