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
	for what, ok := range map[string]bool{
		"the first token is not the visitor's":                 s.tokenOfVisitor(),
		"the stream did not come piece by piece to its end":    s.streamed(),
		"the old token was not answered as a page may read it": s.toldOfExpiry(),
		"both tokens expire at the same time":                  fmt.Sprint(s.Visit.Claims["exp"]) != fmt.Sprint(s.Visit.Refreshed["exp"]),
		"the call that refreshed did not succeed":              s.Visit.Again.good(),
		"the next call did not succeed":                        s.Visit.Next.good(),
		"a page of another origin reads a token":               s.Trespass.Error != "",
		"it was refused after the refresh":                     !s.refusedAfterRefresh(),
	} {
		if !ok {
			t.Errorf("%s: %+v", what, s)
		}
	}
	for line, want := range map[string]int{GetToken: 1, streamed: 1, Refresh: 1, refused: 2} {
		if got := s.Times(line); got != want {
			t.Errorf("%d requests %s, want %d, of\n%s", got, line, want, strings.Join(s.Requests, "\n"))
		}
	}
}

func (s Seen) tokenOfVisitor() bool {
	c := s.Visit.Claims
	return c["sub"] == "u-7" && c["iss"] == "https://"+IssuerHost && c["role"] == "teacher"
}

func (s Seen) streamed() bool {
	all := s.Visit.Stream
	return strings.HasPrefix(all.Type, "text/event-stream") && all.Pieces >= 4 &&
		strings.Contains(all.Text, "u-7") && strings.Contains(all.Text, "event: done")
}

// toldOfExpiry says whether it was told: 401, exactly these words, and headers that the page may read.
func (s Seen) toldOfExpiry() bool {
	late := s.Visit.Late
	return late.Status == 401 && late.Body["detail"] == "Token has expired" && strings.HasPrefix(late.Challenge, "Bearer ") && late.Decision != ""
}

func (s Seen) refusedAfterRefresh() bool {
	at := slices.Index(s.Requests, Refresh)
	return at >= 0 && slices.Contains(s.Requests[at:], refused)
}

// good: the agent answered the visitor.
func (a Answer) good() bool { return a.Status == 200 && a.Body.Identity["x-auth-subject"] == "u-7" }
