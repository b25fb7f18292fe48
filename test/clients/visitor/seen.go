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
		Gets      []float64      `json:"gets"`      // when it asked for tokens, in seconds
		Refreshes []float64      `json:"refreshes"` // when it refreshed
		Late      Refusal        `json:"late"`      // the first token when it had expired
		Stranger  Stranger       `json:"stranger"`
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

// Stranger is the page's call with a token that nobody signed.
type Stranger struct {
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Refreshes int    `json:"refreshes"` // that it led to
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
	answered = "POST " + AgentHost + "/agent 200"
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
		"another refusal made it refresh":                      s.Visit.Stranger == Stranger{Status: 401, Detail: "Invalid token"},
		"it got tokens that it had no need of":                 patient(s.Visit.Gets) && patient(s.Visit.Refreshes),
		"the requests are not in order":                        s.inOrder(),
	} {
		if !ok {
			t.Errorf("%s: %+v", what, s)
		}
	}
	// One comes with the wait for the token's death, one refreshes.
	if got := s.Times(refused); got != 2 {
		t.Errorf("%d calls were told that the token has expired, want 2, of\n%s", got, strings.Join(s.Requests, "\n"))
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

// inOrder says whether it got a token, read the stream, refreshed when it was refused and
// not before, and was answered from then on.
func (s Seen) inOrder() bool {
	get, stream, refresh := slices.Index(s.Requests, GetToken), slices.Index(s.Requests, streamed), slices.Index(s.Requests, Refresh)
	if get != 0 || stream < get || refresh < stream {
		return false
	}
	after := s.Requests[refresh:]
	return s.Requests[refresh-1] == refused && !slices.Contains(after, refused) && after[len(after)-1] == answered
}

// patient says whether half a token's life at least is between two of the times. The page
// gets a token earlier than a refusal when three quarters are over, as on a machine that
// stalls.
func patient(asked []float64) bool {
	for i := 1; i < len(asked); i++ {
		if asked[i]-asked[i-1] < Lifetime.Seconds()/2 {
			return false
		}
	}
	return len(asked) > 0
}

// good: the agent answered the visitor.
func (a Answer) good() bool { return a.Status == 200 && a.Body.Identity["x-auth-subject"] == "u-7" }
