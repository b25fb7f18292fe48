package sidecar

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ledger notes, per key, how many tokens were accepted and when the last one
// was, so that a key is not taken away while somebody still signs with it. It
// outlives reloads.
type ledger struct {
	verifications *prometheus.CounterVec
	entries       sync.Map // keyName to *entry
}

// keyName is a key of a provider; key ids are ours, never a token's word.
type keyName struct{ provider, kid string }

// otherKID labels keys without an id, and those beyond maxKIDs.
const otherKID = "other"

// maxKIDs bounds the key ids of one provider that have a series of their own.
const maxKIDs = 32

// entry is what is noted of one key.
type entry struct {
	count prometheus.Counter
	last  atomic.Int64 // Unix seconds
}

// accepted notes a token that was accepted now.
func (l *ledger) accepted(provider, kid string, now time.Time) {
	found, ok := l.entries.Load(keyName{provider, kid})
	if !ok {
		found, ok = l.entries.Load(keyName{provider, otherKID})
		if !ok {
			return // keep creates both before the verifier is in force
		}
	}
	e, _ := found.(*entry)
	e.count.Inc()
	if second := now.Unix(); e.last.Load() < second {
		e.last.Store(second)
	}
}

// add makes room for keys that are about to be in force.
func (l *ledger) add(loaded map[string][]string) map[keyName]bool {
	wanted := map[keyName]bool{}
	for provider, kids := range loaded {
		wanted[keyName{provider, otherKID}] = true
		for _, kid := range kids[:min(len(kids), maxKIDs)] {
			wanted[keyName{provider, kid}] = true
		}
	}
	for name := range wanted {
		if _, ok := l.entries.Load(name); !ok {
			l.entries.Store(name, &entry{count: l.verifications.WithLabelValues(name.provider, name.kid)})
		}
	}
	return wanted
}

// keep makes room for the loaded keys and forgets those that are loaded no more.
func (l *ledger) keep(loaded map[string][]string) {
	wanted := l.add(loaded)
	l.entries.Range(func(key, _ any) bool {
		if name, _ := key.(keyName); !wanted[name] {
			l.entries.Delete(key)
			l.verifications.DeleteLabelValues(name.provider, name.kid)
		}
		return true
	})
}

// lastAccepted says when a token of each of the keys was last accepted, by key
// id and cut to the second. Keys that never were are left out.
func (l *ledger) lastAccepted(keys []keyName) map[string]time.Time {
	seen := map[string]time.Time{}
	for _, name := range keys {
		found, ok := l.entries.Load(name)
		if !ok {
			continue
		}
		e, _ := found.(*entry)
		if second := e.last.Load(); second > 0 {
			if at := time.Unix(second, 0).UTC(); at.After(seen[name.kid]) {
				seen[name.kid] = at
			}
		}
	}
	return seen
}
