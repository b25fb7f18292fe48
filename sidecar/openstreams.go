package sidecar

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// openStreams are the streams that are to end with their credential. The zero
// value has none.
type openStreams struct {
	mu  sync.Mutex
	all map[*expiry]struct{}
}

func (o *openStreams) add(e *expiry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[*expiry]struct{}{}
	}
	o.all[e] = struct{}{}
}

func (o *openStreams) remove(e *expiry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, e)
}

// withdraw ends the streams whose keys are loaded no more: at once, or after
// their policy's grace.
func (o *openStreams) withdraw(keys loaded, now time.Time) {
	o.mu.Lock()
	open := slices.Collect(maps.Keys(o.all))
	o.mu.Unlock()
	for _, e := range open {
		if keys.lacks(e.key) {
			e.withdraw(now)
		}
	}
}

// withdraw treats the token as expired by now. A stream that ends earlier by
// itself, because the token had expired before, still does.
func (e *expiry) withdraw(now time.Time) {
	if !e.mu.TryLock() {
		return // it is being ended this very moment, which may take a slow client a second
	}
	defer e.mu.Unlock()
	if at := now.Add(e.grace); !e.ended && !e.fired && at.Before(e.at) {
		e.at, e.why = at, causeKeyRemoved
		e.timer.Reset(time.Until(at))
	}
}

// loaded are the ids of the keys in force by provider.
type loaded map[string]providerKeys

// providerKeys are the keys of one provider.
type providerKeys struct {
	kids    []string
	unknown bool // fetched, and none is there: nothing is known of keys being removed
}

func newLoaded(in *site, now time.Time) loaded {
	all := loaded{}
	for _, p := range in.Verifier.State(now) {
		all[p.Name] = providerKeys{kids: p.KIDs, unknown: p.Remote && p.Keys == 0}
	}
	return all
}

// lacks reports whether the key is not loaded any more. Keys without an id are
// not told apart, and are there while their provider is.
func (l loaded) lacks(key keyName) bool {
	keys, ok := l[key.provider]
	if !ok {
		return key.provider != "" // that of an API key is empty
	}
	return key.kid != "" && !keys.unknown && !slices.Contains(keys.kids, key.kid)
}
