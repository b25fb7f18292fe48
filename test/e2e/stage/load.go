package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatepost.dev/gatepost/test/e2e/remote"
)

// Load is a number of users who talk to the agent steadily. Each holds a token
// until shortly before it expires, and then asks the back end for another. Every
// second one's tokens carry no kid; every second pair makes a new connection for
// each request, so that all pods get some.
type Load struct {
	Client   *http.Client
	Aim      func(user int) Aim // where a user sends the next request
	Sign     func(ctx context.Context, lifetime time.Duration, withKID bool) (Token, error)
	Users    int
	Pause    time.Duration         // between two requests of one user
	Lifetime time.Duration         // of the longest tokens; at least 3 seconds
	Excused  func(kid string) bool // whether tokens of a key may be refused, since it was revoked; nil: of none

	mu    sync.Mutex
	tally Tally
}

// Aim is where a request goes. Without a URL there is nowhere to send it now.
type Aim struct {
	Name string // of a pod, or of the Service
	URL  string
}

// Tally is what became of the requests so far. All tokens were valid when they
// were sent and when the answer came.
type Tally struct {
	Accepted   map[string]KeyUse // by the kid of the key that signed the token
	Served     map[string]int    // accepted requests, by the name they were aimed at
	Refused    []string          // valid tokens that were refused, what was said
	Unanswered []string          // requests that nobody answered but with 5xx, and why
}

// Total is how many requests were accepted.
func (t Tally) Total() int {
	n := 0
	for _, use := range t.Accepted {
		n += use.Count
	}
	return n
}

// Findings judges a load during which every valid token has to be accepted, and
// every request answered.
func (t Tally) Findings() []Finding {
	return append(t.Refusals(),
		found(len(t.Unanswered) == 0, "requests without an answer", fmt.Sprintf("%d %s", len(t.Unanswered), strings.Join(head(t.Unanswered), "; "))))
}

// Refusals judges a load whose pods come and go: a request may find nobody, and
// whoever answers has to accept a valid token.
func (t Tally) Refusals() []Finding {
	return []Finding{
		found(t.Total() > 0, "requests accepted", strconv.Itoa(t.Total())),
		found(len(t.Refused) == 0, "valid tokens refused", fmt.Sprintf("%d %s", len(t.Refused), strings.Join(head(t.Refused), "; "))),
	}
}

// KeyUse is how often, and from when to when, tokens of a key were accepted.
type KeyUse struct {
	Count       int
	First, Last time.Time
}

// Tokens are given up early enough for an answer to come while they are valid.
// They are cut to whole seconds, so none is of use that lives two or less.
const (
	shortestLife = 3 * time.Second
	giveUpEarly  = time.Second
)

// Run sends requests until ctx ends.
func (l *Load) Run(ctx context.Context) {
	var users sync.WaitGroup
	for n := range l.Users {
		users.Go(func() { l.user(ctx, n) })
	}
	users.Wait()
}

// During sends requests while do runs.
func (l *Load) During(ctx context.Context, do func()) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		l.Run(running)
		close(ended)
	}()
	do()
	stop()
	<-ended
}

// Tally returns what became of the requests so far.
func (l *Load) Tally() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Tally{
		Accepted:   maps.Clone(l.tally.Accepted),
		Served:     maps.Clone(l.tally.Served),
		Refused:    slices.Clone(l.tally.Refused),
		Unanswered: slices.Clone(l.tally.Unanswered),
	}
}

// Accepted is how many requests were accepted by tokens of a key so far.
func (l *Load) Accepted(kid string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally.Accepted[kid].Count
}

func (l *Load) user(ctx context.Context, n int) {
	shortest := max(l.Lifetime/2, shortestLife)
	lifetime := shortest + time.Duration(n)*(l.Lifetime-shortest)/time.Duration(max(l.Users-1, 1))
	ticks := time.NewTicker(l.Pause)
	defer ticks.Stop()
	var token Token
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if time.Until(token.Expires) < giveUpEarly {
			fresh, err := l.Sign(ctx, lifetime, n%2 == 0)
			if err != nil {
				l.count(ctx, Token{}, Aim{}, answer{}, fmt.Errorf("signing: %w", err))
				continue
			}
			token = fresh
		}
		if aim := l.Aim(n); aim.URL != "" {
			got, err := present(ctx, l.Client, aim.URL, token.Text, n%4 < 2)
			l.count(ctx, token, aim, got, err)
		}
	}
}

// present says hello with a token.
func present(ctx context.Context, client *http.Client, url, token string, newConnection bool) (answer, error) {
	header := bearer(token)
	if newConnection {
		header.Set("Connection", "close")
	}
	return ask(ctx, client, http.MethodPost, url, header, hello)
}

func (l *Load) count(ctx context.Context, token Token, aim Aim, got answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	note := func(said any) string { return fmt.Sprintf("%s: %s: %v", now.Format(time.TimeOnly), aim.Name, said) }
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, remote.ErrPipe) && len(l.tally.Unanswered) > 0):
	case err != nil:
		l.tally.Unanswered = append(l.tally.Unanswered, note(err))
	case got.status == http.StatusOK:
		l.accept(token.KID, aim.Name, now)
	case got.status >= http.StatusInternalServerError:
		l.tally.Unanswered = append(l.tally.Unanswered, note(got))
	case now.Before(token.Expires) && !l.excused(token.KID): // else it expired on the way, or was revoked
		l.tally.Refused = append(l.tally.Refused, note(fmt.Sprintf("kid %s, %s before it expires: %s",
			token.KID, token.Expires.Sub(now).Round(time.Millisecond), got)))
	}
}

func (l *Load) excused(kid string) bool { return l.Excused != nil && l.Excused(kid) }

func (l *Load) accept(kid, where string, now time.Time) {
	if l.tally.Accepted == nil {
		l.tally.Accepted, l.tally.Served = map[string]KeyUse{}, map[string]int{}
	}
	use := l.tally.Accepted[kid]
	if use.Count == 0 {
		use.First = now
	}
	use.Count, use.Last = use.Count+1, now
	l.tally.Accepted[kid] = use
	l.tally.Served[where]++
}
