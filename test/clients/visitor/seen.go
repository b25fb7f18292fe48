package visitor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Seen is what a visitor's page saw.
type Seen struct {
	Error    string   `json:"error"`    // of the program; all else is missing then
	Requests []string `json:"requests"` // METHOD HOST/PATH STATUS, without preflights
	Console  []string `json:"console"`  // errors there
	Visit    struct {
		Claims    map[string]any `json:"claims"`    // of the first token
		Refreshed map[string]any `json:"refreshed"` // of the last
		Stream    Stream         `json:"stream"`
		Late      Refusal        `json:"late"`  // the first token when it had expired
		Again     Answer         `json:"again"` // the call that refreshed
		Next      Answer         `json:"next"`  // the one after it
	} `json:"visit"`
	Trespass struct { // what a page of another origin reads with the visitor's cookie
		Status int    `json:"status"`
		Text   string `json:"text"`
		Error  string `json:"error"`
	} `json:"trespass"`
}

// Stream is an event stream as the page read it.
type Stream struct {
	Status int    `json:"status"`
	Pieces int    `json:"pieces"`
	Type   string `json:"type"`
	Text   string `json:"text"`
}

// Refusal is an answer of the guard as far as the page may read it.
type Refusal struct {
	Status    int            `json:"status"`
	Challenge string         `json:"challenge"`
	Decision  string         `json:"decision"`
	Body      map[string]any `json:"body"`
}

// Answer is one of the agent of examples/fastapi.
type Answer struct {
	Status int `json:"status"`
	Body   struct {
		Reply    string            `json:"reply"`
		Identity map[string]string `json:"identity"`
	} `json:"body"`
}

// Times is how often a request was made and answered so.
func (s Seen) Times(line string) int {
	n := 0
	for _, r := range s.Requests {
		if r == line {
			n++
		}
	}
	return n
}

// The requests that a visit is made of.
const (
	GetToken = "POST " + IssuerHost + "/api/get-token 200"
	Refresh  = "GET " + IssuerHost + "/api/refresh-token 200"
	streamed = "GET " + AgentHost + "/stream 200"
	refused  = "POST " + AgentHost + "/agent 401"
)

// Judge holds the visit against what a page has to see.
func (s Seen) Judge(t *testing.T) {
	t.Helper()
	v := s.Visit
	if c := v.Claims; c["sub"] != "u-7" || c["iss"] != "https://"+IssuerHost || c["role"] != "teacher" {
		t.Errorf("the first token says %v", c)
	}
	if !strings.HasPrefix(v.Stream.Type, "text/event-stream") || v.Stream.Pieces < 4 ||
		!strings.Contains(v.Stream.Text, "u-7") || !strings.Contains(v.Stream.Text, "event: done") {
		t.Errorf("the stream: %+v, want it piece by piece to its end", v.Stream)
	}
	if l := v.Late; l.Status != 401 || l.Body["detail"] != "Token has expired" || !strings.HasPrefix(l.Challenge, "Bearer ") || l.Decision == "" {
		t.Errorf("the call with the old token: %+v, want 401, exactly Token has expired, and headers that the page may read", l)
	}
	for name, a := range map[string]Answer{"that refreshed": v.Again, "after it": v.Next} {
		if a.Status != 200 || a.Body.Identity["x-auth-subject"] != "u-7" {
			t.Errorf("the call %s: %+v, want 200 and the visitor's id at the agent", name, a)
		}
	}
	if first, second := fmt.Sprint(v.Claims["exp"]), fmt.Sprint(v.Refreshed["exp"]); first == second {
		t.Errorf("both tokens expire at %s", first)
	}
	for line, want := range map[string]int{GetToken: 1, streamed: 1, Refresh: 1, refused: 2} {
		if got := s.Times(line); got != want {
			t.Errorf("%d requests %s, want %d, of\n%s", got, line, want, strings.Join(s.Requests, "\n"))
		}
	}
	if at := slices.Index(s.Requests, Refresh); at >= 0 && slices.Contains(s.Requests[at:], refused) {
		t.Errorf("refused after the refresh:\n%s", strings.Join(s.Requests, "\n"))
	}
	if s.Trespass.Error == "" {
		t.Errorf("a page of another origin, with the cookie, reads %+v", s.Trespass)
	}
}
