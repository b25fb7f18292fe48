package issuer

import (
	"sync"
	"time"
)

// uses are when session tokens of SigningKeys were last accepted, by key id. The
// zero uses knows no key.
type uses struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// keep forgets all but the given keys.
func (u *uses) keep(kids map[string][]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := map[string]time.Time{}
	for _, set := range kids {
		for _, kid := range set {
			kept[kid] = u.seen[kid]
		}
	}
	u.seen = kept
}

// note notes that a token of a key was accepted, if it is one of those kept.
func (u *uses) note(kid string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if before, known := u.seen[kid]; known && now.After(before) {
		u.seen[kid] = now
	}
}

// last says when tokens of each key were last accepted, in UTC, cut to the second.
// Keys of which none was are left out.
func (u *uses) last() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[string]time.Time{}
	for kid, at := range u.seen {
		if !at.IsZero() {
			seen[kid] = at.UTC().Truncate(time.Second)
		}
	}
	return seen
}
