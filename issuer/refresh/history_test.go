package refresh

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// history is a random life of a few families, told by everybody who ever held a token.
type history struct {
	t        *testing.T
	random   *rand.Rand
	store    *Store[string]
	families []*line
}

// line is what an observer knows of a family: its tokens in the order in which they
// first appeared, and when each was first used.
type line struct {
	begun  time.Time
	tokens []string
	used   map[string]time.Time
	dead   bool
}

// Whatever is used, again or too late, in whatever order: a family has one line, a
// reuse beyond the grace leaves none of its tokens alive, and who uses each token once
// is never refused.
func TestRandomHistoriesHaveOneLine(t *testing.T) {
	t.Parallel()
	var uses, reuses, again int
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			h := &history{t: t, random: rand.New(rand.NewPCG(seed, 7)), store: store(t, Config{MostFamilies: 50})}
			for range 200 {
				switch err := h.step(); {
				case err == nil:
					uses++
				case errors.Is(err, errAgain):
					again++
				default:
					reuses++
				}
				time.Sleep(h.pause())
			}
			if h.store.Len() > 50 {
				t.Errorf("seed %d: %d families", seed, h.store.Len())
			}
		})
	}
	t.Logf("%d uses, %d again within the grace, %d refused", uses, again, reuses)
	if uses < 1000 || again < 1000 || reuses < 1000 {
		t.Error("the histories are too tame to show anything")
	}
}

func (h *history) pause() time.Duration {
	return []time.Duration{0, time.Millisecond, time.Second, 5 * time.Second, 11 * time.Second, 10 * time.Minute}[h.random.IntN(6)]
}

// errAgain: the token was used before, within its grace.
var errAgain = errors.New("used again")

// step begins a family or uses any token that there ever was.
func (h *history) step() error {
	if len(h.families) == 0 || h.random.IntN(12) == 0 {
		token := begin(h.t, h.store, fmt.Sprint("owner-", h.random.IntN(3)))
		h.families = append(h.families, &line{begun: time.Now(), tokens: []string{token}, used: map[string]time.Time{}})
		return nil
	}
	of := h.families[len(h.families)-1-h.random.IntN(min(3, len(h.families)))]
	back := 0 // mostly the newest
	switch h.random.IntN(4) {
	case 0:
		back = min(1, len(of.tokens)-1)
	case 1:
		back = h.random.IntN(len(of.tokens))
	}
	return h.use(of, of.tokens[len(of.tokens)-1-back])
}

func (h *history) use(of *line, token string) error {
	newest, now := of.tokens[len(of.tokens)-1], time.Now()
	next, err := use(h.store, token)
	first, before := of.used[token]
	switch {
	case of.dead || !now.Before(of.begun.Add(terms.Lifetime)):
		of.dead = true
		if !errors.Is(err, ErrUnknown) {
			h.t.Errorf("a token of a family that has ended: %v", err)
		}
		return ErrUnknown
	case token == newest:
		if err != nil {
			h.t.Fatalf("the newest token is refused: %v", err)
		}
		of.used[token] = now
		of.tokens = append(of.tokens, next)
		return nil
	case before && now.Sub(first) > terms.ReuseGrace:
		if !errors.Is(err, ErrReused) {
			h.t.Errorf("used again after %v: %v", now.Sub(first), err)
		}
		of.dead = true
		h.allDead(of)
		return ErrReused
	case err == nil && next != newest:
		h.t.Error("the family has two lines")
	case err != nil: // too many followed within the grace
		of.dead = true
		h.allDead(of)
		return err
	}
	return errAgain
}

// allDead: no token of the family yields anything.
func (h *history) allDead(of *line) {
	for _, token := range of.tokens {
		if _, err := use(h.store, token); !errors.Is(err, ErrUnknown) {
			h.t.Errorf("a token of a family that has ended: %v", err)
		}
	}
}
