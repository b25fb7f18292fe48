package rollcall

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// table is all bundles. It has no clock, no lock and no connections.
type table struct {
	places int // Options.Concurrency
	slack  time.Duration

	groups map[types.NamespacedName]*group
	ring   []*group // in the order in which they take turns
	turn   int
	busy   int
	// suspected are the places taken by suspects, of all groups.
	suspected int
}

// errand is a question that was taken from the table and must be settled.
type errand struct {
	question
	group   *group
	member  *member
	suspect bool
}

func newTable(o Options) *table {
	return &table{places: o.Concurrency, slack: o.Stale, groups: map[types.NamespacedName]*group{}}
}

func (t *table) expect(name types.NamespacedName, c Call, now time.Time) {
	g, known := t.groups[name]
	if !known {
		g = newGroup(name, t.slack, now)
		t.groups[name] = g
		t.ring = append(t.ring, g)
	}
	g.expect(c, now)
}

func (t *table) forget(name types.NamespacedName) {
	g, known := t.groups[name]
	if !known {
		return
	}
	g.gone = true
	delete(t.groups, name)
	t.ring = slices.DeleteFunc(t.ring, func(other *group) bool { return other == g })
}

// take hands out the questions that are due, as far as there are places, and
// says when the next one will be (zero: an answer or an Expect comes first).
// Groups take turns; none gets more than three quarters of the places, and
// suspects of all groups together no more than half.
func (t *table) take(now time.Time) (errands []errand, next time.Time) {
	for misses := 0; misses < len(t.ring) && t.busy < t.places; {
		t.turn = (t.turn + 1) % len(t.ring)
		e, found := t.from(t.ring[t.turn], now)
		if !found {
			misses++
			continue
		}
		errands, misses = append(errands, e), 0
	}
	for _, g := range t.ring {
		for _, q := range []queue{g.prompt, g.suspects} {
			if due, waits := q.next(now); waits {
				next = earlier(next, due)
			}
		}
	}
	return errands, next
}

// from takes one question of a group.
func (t *table) from(g *group, now time.Time) (errand, bool) {
	if g.busy >= atLeastOne(t.places*3/4) {
		return errand{}, false
	}
	m := g.prompt.take(now)
	if m == nil && t.suspected < atLeastOne(t.places/2) {
		m = g.suspects.take(now)
	}
	if m == nil {
		return errand{}, false
	}
	m.asking = true
	e := errand{question{m.pod.UID, m.pod.Address, g.key}, g, m, m.suspect}
	t.count(e, 1)
	return e, true
}

func atLeastOne(n int) int { return max(1, n) }

func (t *table) count(e errand, n int) {
	t.busy += n
	e.group.busy += n
	if e.suspect {
		t.suspected += n
	}
}

func (t *table) settle(e errand, r reply, now time.Time) {
	t.count(e, -1)
	e.group.settle(e.member, e.question, r, now)
}

// notices are the bundles that have news to tell now, and when the next have.
func (t *table) notices(now time.Time) (names []types.NamespacedName, next time.Time) {
	for _, g := range t.ring {
		if g.news.take(len(g.members), now) {
			names = append(names, g.name)
			continue
		}
		next = earlier(next, g.news.due(len(g.members)))
	}
	return names, next
}
