package demo

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"
)

// tally is what became of the calls of a load.
type tally struct {
	calls, refused int
	byKey          map[string]int // calls that were let in, by the key id of their token
}

// load is a client that calls the agent about a hundred times a second, with a
// token that it renews every half second.
type load struct {
	mu      sync.Mutex
	seen    tally
	problem error

	stop context.CancelFunc
	over chan struct{}
}

func (p *play) beginLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{seen: tally{byKey: map[string]int{}}, stop: cancel, over: make(chan struct{})}
	go func() {
		defer close(l.over)
		if err := p.call(ctx, l); err != nil && !errors.Is(err, context.Canceled) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.problem = err
		}
	}()
	return l
}

// call calls until ctx ends.
func (p *play) call(ctx context.Context, l *load) error {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	var text string
	var renewed time.Time
	for {
		if time.Since(renewed) > 500*time.Millisecond {
			got, err := p.client.ask(ctx, http.MethodPost, p.issuer+"/api/get-token", p.session)
			if err != nil {
				return err
			}
			text, renewed = got.token, time.Now()
		}
		got, err := p.client.ask(ctx, http.MethodGet, "http://"+p.guarded+"/agents/a1", text)
		if err != nil {
			return err
		}
		l.note(got.status, kidOf(text))
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
	}
}

func (l *load) note(status int, kid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.calls++
	if status != http.StatusOK {
		l.seen.refused++
		return
	}
	l.seen.byKey[kid]++
}

// now is what was seen so far.
func (l *load) now() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	seen.byKey = maps.Clone(seen.byKey)
	return seen
}

// runFor lets it go on for a while.
func (l *load) runFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-l.over:
	case <-time.After(d):
	}
}

// until lets it go on until enough was seen, for twenty seconds at most.
func (l *load) until(ctx context.Context, enough func(tally) bool) {
	for deadline := time.Now().Add(20 * time.Second); !enough(l.now()) && ctx.Err() == nil && time.Now().Before(deadline); {
		l.runFor(ctx, 50*time.Millisecond)
	}
}

// end ends it, and says what was seen.
func (l *load) end() tally {
	l.stop()
	<-l.over
	return l.now()
}

// err is why it ended before it was asked to.
func (l *load) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}
