package fleet

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// Counts is what a Fleet saw.
type Counts struct {
	// Accepted is how many valid tokens serving verifiers accepted, Refused how
	// many they refused. Tokens of revoked keys do not count.
	Accepted, Refused int64
	// RemovedRefused and RemovedAccepted are what verifiers that had acknowledged
	// the removal of a key made of its tokens.
	RemovedRefused, RemovedAccepted int64
	// Activations is how often a key became the active one of its set.
	Activations int64
	// Deliveries, Questions, Restarts and Vanished are what happened to pods:
	// bundles that reached mounts, answers of `/state`, and ends of sidecars.
	Deliveries, Questions, Restarts, Vanished int64
	// Violations are the first things that must not happen, in words; More is how
	// many there were beyond them.
	Violations []string
	More       int64
}

// firstViolations is how many are kept in words.
const firstViolations = 20

// ledger counts.
type ledger struct {
	mu   sync.Mutex
	sums Counts
	sets map[string]*keySet // by SigningKey
}

// keySet is what the state Secrets of one SigningKey said so far.
type keySet struct {
	generation int64
	active     string
	live       []string
	removed    map[string]int64 // kid: the generation that lacked it first
	revoked    map[string]bool
}

// stateChanged holds a new state against what must always be.
func (l *ledger) stateChanged(secret *corev1.Secret) {
	name := strings.TrimSuffix(secret.Name, v1alpha1.StateSuffix)
	state, err := keyring.ParseState(secret.Data["state.json"])
	if err != nil {
		return // a test may write anything; the controller's answer to it counts
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.sets[name]
	if set == nil {
		set = &keySet{removed: map[string]int64{}, revoked: map[string]bool{}}
		if l.sets == nil {
			l.sets = map[string]*keySet{}
		}
		l.sets[name] = set
	}
	if state.Generation < set.generation {
		l.note(fmt.Sprintf("the state of %s went from generation %d to %d", name, set.generation, state.Generation))
	}
	l.takeIn(name, set, state)
}

// takeIn notes what changed. l.mu is held.
func (l *ledger) takeIn(name string, set *keySet, state *keyring.State) {
	for _, revocation := range state.Revoked {
		set.revoked[revocation.KID] = true
	}
	live := kids(state.Keys)
	for _, kid := range set.live {
		if !slices.Contains(live, kid) && set.removed[kid] == 0 {
			set.removed[kid] = state.Generation
		}
	}
	set.generation, set.live = max(set.generation, state.Generation), live
	l.judgeActive(name, set, state)
}

// judgeActive holds the number of active keys to one. l.mu is held.
func (l *ledger) judgeActive(name string, set *keySet, state *keyring.State) {
	active := kids(slices.DeleteFunc(slices.Clone(state.Keys), func(k keyring.Key) bool { return k.Phase != keyring.Active }))
	switch {
	case len(active) > 1:
		l.note(fmt.Sprintf("%s has %d active keys in generation %d", name, len(active), state.Generation))
	case len(active) == 0 && set.active != "" && !set.revoked[set.active] && state.Incident == "":
		l.note(fmt.Sprintf("%s has no active key in generation %d", name, state.Generation))
	case len(active) == 1 && active[0] != set.active:
		set.active = active[0]
		l.sums.Activations++
	}
}

func kids(keys []keyring.Key) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = key.KID
	}
	return list
}

// removal is the generation in which a key was gone; zero: it is not.
func (l *ledger) removal(signingKey, kid string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set := l.sets[signingKey]; set != nil {
		return set.removed[kid]
	}
	return 0
}

func (l *ledger) revoked(signingKey, kid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.sets[signingKey]
	return set != nil && set.revoked[kid]
}

// note keeps a violation in words. l.mu is held.
func (l *ledger) note(what string) {
	if len(l.sums.Violations) < firstViolations {
		l.sums.Violations = append(l.sums.Violations, what)
		return
	}
	l.sums.More++
}

// add changes the sums.
func (l *ledger) add(change func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.sums)
}

func (l *ledger) violate(who, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(who + ": " + what)
}

func (l *ledger) refuse(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums.Refused++
	l.note(what)
}

func (l *ledger) acceptRemoved(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums.RemovedAccepted++
	l.note(what)
}

func (l *ledger) acceptedValid()  { l.add(func(c *Counts) { c.Accepted++ }) }
func (l *ledger) refusedRemoved() { l.add(func(c *Counts) { c.RemovedRefused++ }) }
func (l *ledger) delivered()      { l.add(func(c *Counts) { c.Deliveries++ }) }
func (l *ledger) asked()          { l.add(func(c *Counts) { c.Questions++ }) }
func (l *ledger) restarted()      { l.add(func(c *Counts) { c.Restarts++ }) }
func (l *ledger) vanished()       { l.add(func(c *Counts) { c.Vanished++ }) }

func (l *ledger) counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := l.sums
	sums.Violations = slices.Clone(sums.Violations)
	return sums
}
