package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	Client *http.Client
	URL    string
	Sign   func(ctx context.Context, lifetime time.Duration, withKID bool) (Token, error)
	Users  int
	Pause  time.Duration // between two requests of one user

	mu    sync.Mutex
	tally Tally
}

// Tally is what became of the requests so far. All tokens were valid when they
// were sent and when the answer came.
type Tally struct {
	Accepted   map[string]KeyUse // by the kid of the key that signed the token
	Refused    []string          // valid tokens that were refused, what was said
	Unanswered []string          // requests without an answer, and why
}

// Findings judges a load during which every valid token has to be accepted.
func (t Tally) Findings() []Finding {
	accepted := 0
	for _, use := range t.Accepted {
		accepted += use.Count
	}
	return []Finding{
		found(accepted > 0, "requests accepted", strconv.Itoa(accepted)),
		found(len(t.Refused) == 0, "valid tokens refused", fmt.Sprintf("%d %s", len(t.Refused), strings.Join(head(t.Refused), "; "))),
		found(len(t.Unanswered) == 0, "requests without an answer", fmt.Sprintf("%d %s", len(t.Unanswered), strings.Join(head(t.Unanswered), "; "))),
	}
}

// KeyUse is how often, and from when to when, tokens of a key were accepted.
type KeyUse struct {
	Count       int
	First, Last time.Time
}

// The tokens of the load live 5 to 10 seconds; they are given up early enough
// for an answer to come while they are valid.
const (
	shortestLife = 5 * time.Second
	longestLife  = 10 * time.Second
	giveUpEarly  = 1500 * time.Millisecond
)

// Run sends requests until ctx ends.
func (l *Load) Run(ctx context.Context) {
	var users sync.WaitGroup
	for n := range l.Users {
		users.Go(func() { l.user(ctx, n) })
	}
	users.Wait()
}

// Tally returns what became of the requests so far.
func (l *Load) Tally() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Tally{
		Accepted:   maps.Clone(l.tally.Accepted),
		Refused:    slices.Clone(l.tally.Refused),
		Unanswered: slices.Clone(l.tally.Unanswered),
	}
}

func (l *Load) user(ctx context.Context, n int) {
	lifetime := shortestLife + time.Duration(n)*(longestLife-shortestLife)/time.Duration(max(l.Users-1, 1))
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
				l.count(ctx, Token{}, "", fmt.Errorf("signing: %w", err))
				continue
			}
			token = fresh
		}
		refusal, err := l.send(ctx, token, n%4 < 2)
		l.count(ctx, token, refusal, err)
	}
}

// send returns the answer when it is a refusal.
func (l *Load) send(ctx context.Context, token Token, newConnection bool) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, strings.NewReader(`{"message":"hello"}`))
	if err != nil {
		return "", err
	}
	request.Close = newConnection
	request.Header.Set("Authorization", "Bearer "+token.Text)
	request.Header.Set("Content-Type", "application/json")
	response, err := l.Client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode == http.StatusOK {
		return "", nil
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body), nil
}

func (l *Load) count(ctx context.Context, token Token, refusal string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch now := time.Now(); {
	case err != nil && (ctx.Err() != nil || errors.Is(err, remote.ErrPipe) && len(l.tally.Unanswered) > 0):
	case err != nil:
		l.tally.Unanswered = append(l.tally.Unanswered, err.Error())
	case refusal != "" && now.Before(token.Expires):
		l.tally.Refused = append(l.tally.Refused, fmt.Sprintf("kid %s, %s before it expires: %s", token.KID, token.Expires.Sub(now).Round(time.Millisecond), refusal))
	case refusal != "": // it expired on the way
	default:
		if l.tally.Accepted == nil {
			l.tally.Accepted = map[string]KeyUse{}
		}
		use := l.tally.Accepted[token.KID]
		if use.Count == 0 {
			use.First = now
		}
		use.Count, use.Last = use.Count+1, now
		l.tally.Accepted[token.KID] = use
	}
}
