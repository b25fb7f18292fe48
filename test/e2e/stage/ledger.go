package stage

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Ledger is what was seen of keys: what the SigningKey's status said of them, and
// which of them each pod said it has loaded. Both are seen a little later than
// they became true, so whatever is held against a pod happened after it.
type Ledger struct {
	mu   sync.Mutex // guards what follows
	keys map[string]*KeyTimes
	kids []string // of keys, in the order they were first seen
	pods map[string]podKeys
	odd  []string // answers of pods that should not have been
}

// podKeys is when a pod was first seen with a key and, once the key had been
// removed or revoked, without it.
type podKeys struct {
	with, without map[string]time.Time
}

// KeyTimes is when a key was first seen in each state, zero if it was not yet.
type KeyTimes struct {
	Published    time.Time // accepted by verifiers, not used
	Acknowledged time.Time // by all verifiers, as the status counts them
	Loaded       time.Time // by the last of the pods there were, as they said
	Active       time.Time // used by the signer
	Gone         time.Time // no longer named by the status
	Dropped      time.Time // and by no pod any more
	Lagging      []string  // pods that were named as holding it up
}

// Status notes what a status read at a time says. A status without keys is none.
func (l *Ledger) Status(at time.Time, keys []v1alpha1.KeyStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	for _, seen := range keys {
		k := l.key(seen.KID)
		switch seen.Phase {
		case "Published":
			first(&k.Published, at)
		case "Active":
			first(&k.Active, at)
		}
		v := seen.Verifiers
		if v == nil {
			continue
		}
		if v.Ready == v.Total && v.Total > 0 {
			first(&k.Acknowledged, at)
		}
		for _, pod := range v.Lagging {
			if !slices.Contains(k.Lagging, pod) {
				k.Lagging = append(k.Lagging, pod)
			}
		}
	}
	for kid, k := range l.keys {
		if !slices.ContainsFunc(keys, func(seen v1alpha1.KeyStatus) bool { return seen.KID == kid }) {
			first(&k.Gone, at)
		}
	}
}

func (l *Ledger) key(kid string) *KeyTimes {
	k := l.keys[kid]
	if k == nil {
		if l.keys == nil {
			l.keys, l.pods = map[string]*KeyTimes{}, map[string]podKeys{}
		}
		k = &KeyTimes{}
		l.keys[kid], l.kids = k, append(l.kids, kid)
	}
	return k
}

func first(stamp *time.Time, at time.Time) {
	if stamp.IsZero() {
		*stamp = at
	}
}

// Pod notes which keys a pod answered that it has loaded. It was asked and
// answered at the given times. A key that signs has to be among them, one that
// was seen to be dropped must not.
func (l *Ledger) Pod(asked, answered time.Time, pod string, kids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		return // no status was seen yet
	}
	p, known := l.pods[pod]
	if !known {
		p = podKeys{with: map[string]time.Time{}, without: map[string]time.Time{}}
		l.pods[pod] = p
	}
	for kid, k := range l.keys {
		if odd := p.note(kid, slices.Contains(kids, kid), asked, answered, k); odd != "" {
			l.odd = append(l.odd, fmt.Sprintf("%s: pod %s %s %s", answered.Format(time.TimeOnly), pod, odd, kid))
		}
	}
}

// note notes whether the pod has a key, and tells what is odd about that.
func (p podKeys) note(kid string, has bool, asked, answered time.Time, k *KeyTimes) (odd string) {
	_, dropped := p.without[kid]
	switch {
	case has && dropped:
		delete(p.without, kid)
		return "loaded again key"
	case has:
		if _, known := p.with[kid]; !known {
			p.with[kid] = answered
		}
	case !k.Gone.IsZero():
		if !dropped {
			p.without[kid] = answered
		}
	case !k.Active.IsZero() && k.Active.Before(asked):
		return "has not loaded, though it signs, key"
	}
	return ""
}

// Pods notes which pods there are, and with it which keys all of them have, or
// none of them any more.
func (l *Ledger) Pods(at time.Time, pods []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kid, k := range l.keys {
		if k.Gone.IsZero() && l.all(pods, func(p podKeys) bool { return !p.with[kid].IsZero() }) {
			first(&k.Loaded, at)
		}
		if !k.Gone.IsZero() && l.all(pods, func(p podKeys) bool { return !p.without[kid].IsZero() }) {
			first(&k.Dropped, at)
		}
	}
}

func (l *Ledger) all(pods []string, is func(podKeys) bool) bool {
	return len(pods) > 0 && !slices.ContainsFunc(pods, func(pod string) bool {
		p, known := l.pods[pod]
		return !known || !is(p)
	})
}

// MustRefuse says whether a pod has to refuse tokens of a key in a request that
// was sent at a time: it had said before that the key is no longer loaded.
func (l *Ledger) MustRefuse(pod, kid string, sent time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	without := l.pods[pod].without[kid]
	return !without.IsZero() && !sent.Before(without)
}

// Times is when a key was seen in its states.
func (l *Ledger) Times(kid string) KeyTimes {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.keys[kid]; k != nil {
		times := *k
		times.Lagging = slices.Clone(k.Lagging)
		return times
	}
	return KeyTimes{}
}

// Gone are the keys that the status no longer names, in the order they were seen.
func (l *Ledger) Gone() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.kids), func(kid string) bool { return l.keys[kid].Gone.IsZero() })
}

// Findings judges what pods said they have loaded.
func (l *Ledger) Findings() []Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []Finding{found(len(l.odd) == 0, "pods without the key that signs, or with one that was removed", fmt.Sprintf("%d %q", len(l.odd), head(l.odd)))}
}
