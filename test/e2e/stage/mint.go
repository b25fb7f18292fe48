package stage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Minter gets tokens from an issuer at a steady rate, by client credentials. Each
// token is presented to a guarded pod as soon as it is there, and every second one
// to another pod again shortly before it expires.
type Minter struct {
	Client   *http.Client
	TokenURL string
	ID       string
	Secret   string
	PerSec   int
	Aim      func(n int) Aim // where the n-th request goes

	mu    sync.Mutex
	tally Minted
}

// Minted is what became of the tokens so far.
type Minted struct {
	Tokens     map[string]int // that were minted, by kid
	Young      map[string]int // accepted as soon as they were there, by kid
	Old        map[string]int // accepted shortly before they expired, by kid
	Refused    []string       // valid tokens that were refused, what was said
	Put        int            // requests for a token that were told to come again: 429, 503
	Unminted   []string       // requests for a token that failed otherwise
	Unanswered []string       // valid tokens that nobody answered but with 5xx
}

// The old are presented when so much of their life is left: an answer has to come
// while they are valid, and exp is cut to whole seconds.
const presentBeforeEnd = 2500 * time.Millisecond

func (i *Issuer) minter() *Minter {
	return &Minter{Client: i.Pod, TokenURL: i.URL + "/token", ID: clientID, Secret: i.secret, PerSec: 100}
}

// Run mints until ctx ends, and waits for what is under way. What a busy machine made
// it miss it makes good at the next tick.
func (m *Minter) Run(ctx context.Context) {
	began := time.Now()
	ticks := time.NewTicker(time.Second / time.Duration(m.PerSec))
	defer ticks.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		for due := int(time.Since(began).Seconds() * float64(m.PerSec)); n < due; n++ {
			all.Go(func() { m.one(ctx, n) })
		}
	}
}

// During mints while do runs.
func (m *Minter) During(ctx context.Context, do func()) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		m.Run(running)
		close(ended)
	}()
	do()
	stop()
	<-ended
}

// one is the life of one token.
func (m *Minter) one(ctx context.Context, n int) {
	token, got, err := m.mint(ctx)
	m.count(ctx, func(t *Minted) {
		switch {
		case err != nil:
			t.Unminted = append(t.Unminted, stamped(err))
		case got.status == http.StatusTooManyRequests || got.status == http.StatusServiceUnavailable:
			t.Put++
		case got.status != http.StatusOK:
			t.Unminted = append(t.Unminted, stamped(got))
		default:
			t.Tokens[token.KID]++
		}
	})
	if token.Text == "" || !m.show(ctx, n, token, func(t *Minted) map[string]int { return t.Young }) || n%2 == 0 {
		return
	}
	select {
	case <-time.After(time.Until(token.Expires) - presentBeforeEnd):
		m.show(ctx, n+1, token, func(t *Minted) map[string]int { return t.Old })
	case <-ctx.Done():
	}
}

// mint asks for one token.
func (m *Minter) mint(ctx context.Context) (Token, answer, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(m.ID)+":"+url.QueryEscape(m.Secret))))
	got, err := ask(ctx, m.Client, http.MethodPost, m.TokenURL, header, "grant_type=client_credentials")
	if err != nil || got.status != http.StatusOK {
		return Token{}, got, err
	}
	var said struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.body), &said); err != nil {
		return Token{}, got, fmt.Errorf("reading the issuer's answer: %w", err)
	}
	token, err := read(said.AccessToken)
	return token, got, err
}

// read takes from a token what it says of itself, and verifies nothing.
func read(text string) (Token, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Token{}, errors.New("the issuer's token has not three parts")
	}
	var said struct {
		KID string `json:"kid"`
		Exp int64  `json:"exp"`
	}
	for _, part := range parts[:2] {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return Token{}, fmt.Errorf("decoding the issuer's token: %w", err)
		}
		if err := json.Unmarshal(data, &said); err != nil {
			return Token{}, fmt.Errorf("reading the issuer's token: %w", err)
		}
	}
	return Token{Text: text, KID: said.KID, Expires: time.Unix(said.Exp, 0)}, nil
}

// show presents a token to a pod and says whether it was accepted.
func (m *Minter) show(ctx context.Context, n int, token Token, accepted func(*Minted) map[string]int) bool {
	aim := m.Aim(n)
	if aim.URL == "" {
		return false
	}
	got, err := present(ctx, m.Client, aim.URL, token.Text, n%8 == 0)
	m.count(ctx, func(t *Minted) {
		now := time.Now()
		note := func(said any) string { return fmt.Sprintf("%s: kid %s: %s", stamped(said), token.KID, aim.Name) }
		switch {
		case err == nil && got.status == http.StatusOK:
			accepted(t)[token.KID]++
		case err != nil:
			t.Unanswered = append(t.Unanswered, note(err))
		case got.status >= http.StatusInternalServerError:
			t.Unanswered = append(t.Unanswered, note(got))
		case now.Before(token.Expires): // else it expired on the way
			t.Refused = append(t.Refused, note(got))
		}
	})
	return err == nil && got.status == http.StatusOK
}

func stamped(said any) string { return fmt.Sprintf("%s: %v", time.Now().Format(time.TimeOnly), said) }

// count changes the tally, unless the end has come: what is cut off says nothing.
func (m *Minter) count(ctx context.Context, change func(*Minted)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if m.tally.Tokens == nil {
		m.tally = Minted{Tokens: map[string]int{}, Young: map[string]int{}, Old: map[string]int{}}
	}
	change(&m.tally)
}

// Tally returns what became of the tokens so far.
func (m *Minter) Tally() Minted {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tally
	t.Tokens, t.Young, t.Old = maps.Clone(t.Tokens), maps.Clone(t.Young), maps.Clone(t.Old)
	t.Refused, t.Unminted, t.Unanswered = slices.Clone(t.Refused), slices.Clone(t.Unminted), slices.Clone(t.Unanswered)
	return t
}

// Findings judges the tokens: whoever has a valid one is let in.
func (t Minted) Findings() []Finding {
	minted, young, old := sum(t.Tokens), sum(t.Young), sum(t.Old)
	return []Finding{
		found(minted > 0, "tokens minted", fmt.Sprint(minted)),
		found(young > 0 && old > 0, "tokens accepted at once, and shortly before their end", fmt.Sprintf("%d, %d", young, old)),
		found(len(t.Refused) == 0, "valid tokens refused", fmt.Sprintf("%d %s", len(t.Refused), strings.Join(head(t.Refused), "; "))),
	}
}

func sum(counts map[string]int) int {
	n := 0
	for _, count := range counts {
		n += count
	}
	return n
}
