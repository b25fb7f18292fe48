package keyring

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	// histories is how many random histories CI plays; GATEPOST_SOAK multiplies it.
	histories = 50_000
	// steps is how long a history is: the events that come from outside.
	steps = 90
)

func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// Whatever dies, is late, lost, edited, restored or revoked: no valid token is
// refused, no key comes back, no key signs before all have it, and there is at
// most one active key, and one once there was.
func TestNoHistoryRefusesAValidToken(t *testing.T) {
	t.Parallel()
	all := histories * soak()
	if testing.Short() || raceDetector {
		all = histories / 20
	}
	var next, worst atomic.Uint64
	worst.Store(^uint64(0))
	var mu sync.Mutex
	var sum figures
	played := 0
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			var mine figures
			count := 0
			for seed := next.Add(1) - 1; seed < uint64(all) && worst.Load() == ^uint64(0); seed = next.Add(1) - 1 {
				w := newWorld(seed, "")
				if w.live(); w.problem != "" {
					worst.Store(seed)
					t.Errorf("seed %d, at +%s: %s (%+v, %+v)", seed, w.now.Sub(day), w.problem, w.kind, w.spec)
				}
				mine.add(w.figures)
				count++
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(mine)
			played += count
		})
	}
	wait.Wait()
	t.Logf("figure: keyring_histories %d histories", played)
	t.Logf("figure: keyring_rotations %d rotations", sum.rotations)
	t.Logf("figure: keyring_tokens %d tokens", sum.tokens)
	t.Logf("figure: keyring_plans %d plans", sum.plans)
	t.Logf("figure: keyring_removals %d keys", sum.removals)
	t.Logf("figure: keyring_revocations %d keys", sum.revocations)
	t.Logf("figure: keyring_restores %d states", sum.restores)
	if t.Failed() {
		return
	}
	t.Log("figure: keyring_violations 0 histories")
	if sum.rotations < 3*all || sum.removals < all || sum.tokens < 50*all || sum.restores < all/4 || sum.revocations < all/4 {
		t.Errorf("the histories are too dull: %+v", sum)
	}
}

func (f *figures) add(other figures) {
	f.rotations += other.rotations
	f.tokens += other.tokens
	f.plans += other.plans
	f.restores += other.restores
	f.revocations += other.revocations
	f.removals += other.removals
}

// A controller that died writes nothing any more. The next one asks the sidecars
// before it writes: what this one heard died with it.
func TestAControllerThatDiedWritesNothing(t *testing.T) {
	t.Parallel()
	deaths := 0
	for seed := range uint64(600) {
		w := newWorld(seed, "")
		w.tell = func(format string, args ...any) {
			switch {
			case strings.Contains(format, "the controller dies"):
				deaths++
			case w.now.Before(w.away) && strings.HasPrefix(format, "+%s bundle %d: revision"),
				w.now.Before(w.away) && strings.HasPrefix(format, "+%s state %d: "):
				t.Errorf("seed %d: it died, and writes: %s", seed, fmt.Sprintf(format, args...))
			}
		}
		w.live()
	}
	if deaths < 500 {
		t.Errorf("only %d controllers died", deaths)
	}
}

// GATEPOST_SEED=125773 go test -v -run ToldOnRequest tells that history.
func TestAHistoryIsToldOnRequest(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("GATEPOST_SEED"), 10, 64)
	if err != nil {
		t.Skip("GATEPOST_SEED names no history")
	}
	w := newWorld(seed, "")
	w.tell = t.Logf
	if w.live(); w.problem != "" {
		t.Errorf("seed %d, at +%s: %s (%+v, %+v)", seed, w.now.Sub(day), w.problem, w.kind, w.spec)
	}
}

// The tests above can fail: each of these mistakes is found.
func TestHistoriesFindSeededFaults(t *testing.T) {
	t.Parallel()
	const enough = 20_000
	for _, f := range []fault{
		bundlesNotAwaited, acksNotAwaited, acksInvented, exportNotAwaited, issuersNotAwaited, latecomersIgnored, overlapTooShort,
		prePublishTooShort, useIgnored, successorImagined, silenceIgnored, doubtForgotten, confirmedTooEarly,
		nothingRemembered, sidecarsNotAsked, revocationsForgotten, editsBelieved, floorForgotten,
		stateWrittenBlindly, bundleWrittenLate,
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(enough) {
				w := newWorld(seed, f)
				if w.live(); w.problem != "" {
					t.Logf("seed %d, at +%s: %s", seed, w.now.Sub(day), w.problem)
					return
				}
			}
			t.Errorf("%d histories did not find it", enough)
		})
	}
}
