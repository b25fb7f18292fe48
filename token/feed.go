package token

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// How long and how many requests may wait for a fetch.
const (
	waitForKID   = fetchTimeout // a token names a key that is not loaded
	waitForFirst = time.Second  // no set was ever loaded; the answer is 503 then
	maxWaiting   = 256          // more are answered 503 at once
	maxAbsent    = 1024         // kids remembered as absent
)

// aheadAtMost is how far in the future the time of a fetch may lie: clocks are
// corrected by small steps.
const aheadAtMost = time.Minute

// How failed fetches are repeated while there is no set to live on.
const (
	firstRetry = time.Second
	lastRetry  = 8 * time.Second
	leastPause = time.Second // from the end of one fetch to the next that nobody waits for
)

// latestRefresh is the longest that jitter makes the time between two good
// fetches, in parts of cacheDuration.
const latestRefresh = 1.1

// goodSet is a fetched set and when it was fetched.
type goodSet struct {
	set *KeySet
	at  time.Time
}

// fresh reports whether the set is in force at now. One from the future is not:
// the clock was set back, and how old the set is nobody knows.
func (g *goodSet) fresh(now time.Time, maxStale time.Duration) bool {
	age := now.Sub(g.at)
	return age <= maxStale && age >= -aheadAtMost
}

// flight is one fetch that requests may wait for.
type flight struct {
	done   chan struct{}
	failed bool // read after done
}

// feed fetches one key set for all its providers. One goroutine, which start
// begins and stop ends, does all the fetching; requests read good, and wait for
// a flight only when they need what is not there.
type feed struct {
	key  feedKey
	ca   *CABundle
	cfg  RemotesConfig
	seed maphash.Seed
	kept shelf
	good atomic.Pointer[goodSet]
	wake chan struct{} // capacity 1: look again at flight and timing

	mu        sync.Mutex
	providers []string
	timing    timing
	cancel    context.CancelFunc // nil: not running
	ended     chan struct{}
	flight    *flight
	waiting   int
	failures  int       // since the last good fetch
	failedAt  time.Time // the last failure
	askedAt   time.Time // the last fetch caused by an unknown kid
	absent    map[uint64]time.Time
}

func newFeed(key feedKey, ca *CABundle, cfg RemotesConfig) *feed {
	return &feed{
		key: key, ca: ca, cfg: cfg, seed: maphash.MakeSeed(), kept: shelf{dir: cfg.StateDir},
		wake: make(chan struct{}, 1), absent: map[uint64]time.Time{},
	}
}

// start makes the feed run for these users; a running feed takes over their
// timing. The first flight is boarded here, so that a request that comes at once
// can wait for it.
func (f *feed) start(users []*Remote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timing, f.providers = shortest(users), namesOf(users)
	if f.cancel != nil {
		f.nudge()
		return
	}
	ctx, cancel := context.WithCancel(f.cfg.base)
	f.cancel, f.ended = cancel, make(chan struct{})
	f.flight = &flight{done: make(chan struct{})}
	go f.run(ctx, f.ended)
}

func namesOf(users []*Remote) []string {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = user.provider
	}
	return names
}

// restore takes the set that was kept when the last process ended, if the feed
// has none and never ran.
func (f *feed) restore(users []*Remote) {
	f.mu.Lock()
	begun := f.ended != nil
	f.mu.Unlock()
	if begun || f.good.Load() != nil {
		return
	}
	good, err := f.kept.take(f.key, f.cfg.Now(), shortest(users).maxStale)
	if good == nil && err == nil {
		return
	}
	told := Kept{Providers: namesOf(users), URI: f.key.uri, Err: err}
	if good != nil {
		f.good.Store(good)
		told.At, told.Keys = good.at, good.set.Len()
	}
	f.tellKept(told)
}

func (f *feed) tellKept(told Kept) {
	if f.cfg.OnKept != nil {
		f.cfg.OnKept(told)
	}
}

// stop ends the feed and waits for its goroutine.
func (f *feed) stop() {
	f.mu.Lock()
	cancel, ended := f.cancel, f.ended
	f.cancel = nil
	f.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-ended
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flight != nil {
		f.flight.failed = true
		close(f.flight.done)
		f.flight = nil
	}
}

func (f *feed) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run fetches now, then whenever it is due or asked for.
func (f *feed) run(ctx context.Context, ended chan struct{}) {
	defer close(ended)
	fetcher := newFetcher(f.key, f.ca, f.cfg)
	for ctx.Err() == nil {
		begun := f.cfg.Now()
		f.fly(ctx, fetcher)
		f.rest(ctx, begun)
	}
}

// fly makes one fetch and lands its flight.
func (f *feed) fly(ctx context.Context, fetcher *fetcher) {
	f.mu.Lock()
	if f.flight == nil {
		f.flight = &flight{done: make(chan struct{})}
	}
	boarded := f.flight
	report := Fetch{Providers: f.providers, URI: f.key.uri}
	f.mu.Unlock()

	set := fetcher.fetch(ctx, &report)
	report.At = f.cfg.Now()
	good := &goodSet{set: set, at: report.At}
	if report.Result == FetchOK {
		f.good.Store(good)
	}
	f.land(boarded, &report)
	if f.cfg.OnFetch != nil && ctx.Err() == nil {
		f.cfg.OnFetch(report)
	}
	if report.Result != FetchOK {
		return
	}
	if err := f.kept.put(f.key, good); err != nil {
		f.tellKept(Kept{Providers: report.Providers, URI: f.key.uri, At: good.at, Keys: set.Len(), Err: err})
	}
}

func (f *feed) land(boarded *flight, report *Fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flight = nil
	if report.Result == FetchOK {
		report.Recovered = f.failures > 0
		f.failures = 0
	} else {
		f.failures++
		f.failedAt = report.At
		boarded.failed = true
	}
	close(boarded.done)
}

// rest waits until the next fetch is due, wanted, or never. It counts from when
// the last one began, so that a server that hangs is asked as often as one that
// refuses, but leaves a server in trouble a moment to itself.
func (f *feed) rest(ctx context.Context, begun time.Time) {
	landed, jitter := f.cfg.Now(), f.cfg.Jitter()
	for ctx.Err() == nil {
		pause, wanted := f.pause(jitter)
		if wanted {
			return
		}
		now := f.cfg.Now()
		timer := time.NewTimer(max(pause-now.Sub(begun), leastPause-now.Sub(landed)))
		select {
		case <-timer.C:
			return
		case <-f.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pause is the time from one fetch to the next, spread by jitter in [0,1), and
// whether somebody waits for one already. After a failure it is never longer than
// what it is named for: that is how long a recovered server goes unnoticed.
func (f *feed) pause(jitter float64) (pause time.Duration, wanted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted = f.flight != nil
	switch {
	case f.failures == 0:
		pause = spread(f.timing.refresh, 0.9+(latestRefresh-0.9)*jitter)
	case !f.inForce():
		doubled := firstRetry << min(f.failures-1, 8)
		pause = spread(min(doubled, lastRetry), 0.75+0.25*jitter)
	default:
		pause = spread(f.timing.retry, 0.75+0.2*jitter)
	}
	return pause, wanted
}

// inForce reports whether there is a set that is not stale for all users.
func (f *feed) inForce() bool {
	good := f.good.Load()
	return good != nil && good.fresh(f.cfg.Now(), f.timing.maxStale)
}

func spread(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}
