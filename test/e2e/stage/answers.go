package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// hello is what the callers say to the agent.
const hello = `{"message":"hello"}`

// request is one request of Answers and what shall become of it.
type request struct {
	what   string
	method string
	path   string
	token  string // empty: none
	status int
	detail string // of the guard's own answer; empty: the agent answers
}

// Answers asks the agent through its Service with good tokens and bad ones.
func (a *Agent) Answers(ctx context.Context) ([]Finding, error) {
	requests, err := a.requests(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, r := range requests {
		header := http.Header{}
		if r.token != "" {
			header = bearer(r.token)
		}
		body := ""
		if r.method == http.MethodPost {
			body = hello
		}
		got, err := ask(ctx, a.Pod, r.method, a.URL(r.path), header, body)
		if err != nil {
			return findings, fmt.Errorf("%s: %w", r.what, err)
		}
		findings = append(findings, found(r.agrees(got), r.what, got.String()))
	}
	return findings, nil
}

func (r request) agrees(got answer) bool {
	if got.status != r.status || got.byGuard() != (r.detail != "") {
		return false
	}
	if r.detail == "" {
		return true
	}
	var body struct {
		Detail string `json:"detail"`
	}
	return json.Unmarshal([]byte(got.body), &body) == nil && body.Detail == r.detail &&
		got.header.Get("Content-Type") == "application/json"
}

func (a *Agent) requests(ctx context.Context) ([]request, error) {
	key, err := a.Signer.Key(ctx)
	if err != nil {
		return nil, err
	}
	forger := Key{KID: key.KID, Secret: []byte(strings.Repeat("not the secret ", 3))}
	student := Teacher()
	student["role"] = "student"
	tokens := map[string]string{}
	for name, mint := range map[string]struct {
		key      Key
		claims   Claims
		lifetime time.Duration
		withKID  bool
	}{
		"valid":   {key, Teacher(), a.lifetime, true},
		"no kid":  {key, Teacher(), a.lifetime, false},
		"expired": {key, Teacher(), -time.Minute, true},
		"forged":  {forger, Teacher(), a.lifetime, true},
		"student": {key, student, a.lifetime, true},
	} {
		token, err := mint.key.Sign(mint.claims, time.Now(), mint.lifetime, mint.withKID)
		if err != nil {
			return nil, err
		}
		tokens[name] = token.Text
	}
	const post, get = http.MethodPost, http.MethodGet
	return []request{
		{"no token", post, "/agent", "", http.StatusUnauthorized, "Not authenticated"},
		{"an expired token", post, "/agent", tokens["expired"], http.StatusUnauthorized, "Token has expired"},
		{"a bad signature", post, "/agent", tokens["forged"], http.StatusUnauthorized, "Invalid token"},
		{"the wrong role", post, "/agent", tokens["student"], http.StatusForbidden, "Insufficient permissions"},
		{"a teacher at the admin's door", get, "/admin/settings", tokens["valid"], http.StatusForbidden, "Insufficient permissions"},
		{"a route that no rule names", get, "/docs", tokens["valid"], http.StatusForbidden, "Insufficient permissions"},
		{"a valid token", post, "/agent", tokens["valid"], http.StatusOK, ""},
		{"a valid token without kid", post, "/agent", tokens["no kid"], http.StatusOK, ""},
		{"a public route without a token", get, "/health", "", http.StatusOK, ""},
	}, nil
}

// forgeries are headers by which a client might pose as somebody else.
var forgeries = []string{"X-Auth-Subject", "X_Auth_Subject", "X-Auth-Roles", "x.auth.roles", "X-Auth-Tenant", "X-Auth-Other"}

// Identity asks the agent who it thinks is asking, while the client poses as
// somebody else by header.
func (a *Agent) Identity(ctx context.Context) ([]Finding, error) {
	token, err := a.Signer.Sign(ctx, Teacher(), a.lifetime, true)
	if err != nil {
		return nil, err
	}
	header := bearer(token.Text)
	for _, name := range forgeries {
		header[name] = []string{"mallory"}
	}
	got, err := ask(ctx, a.Pod, http.MethodPost, a.URL("/agent"), header, hello)
	if err != nil {
		return nil, fmt.Errorf("asking the agent who is there: %w", err)
	}
	var reply struct {
		Identity map[string]string `json:"identity"`
	}
	if err := json.Unmarshal([]byte(got.body), &reply); err != nil {
		return nil, fmt.Errorf("reading the agent's answer %s: %w", got, err)
	}
	want := map[string]string{
		"x-auth-subject":  "42",
		"x-auth-name":     "Ada",
		"x-auth-roles":    `["teacher"]`,
		"x-auth-provider": "backend",
		"x-auth-expires":  fmt.Sprint(token.Expires.Unix()),
	}
	saw, err := json.Marshal(reply.Identity)
	if err != nil {
		return nil, err
	}
	return []Finding{found(maps.Equal(reply.Identity, want), "identity as the agent saw it, though the client said mallory", string(saw))}, nil
}
