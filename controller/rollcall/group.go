package rollcall

import (
	"bytes"
	"container/heap"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

// defaultEvery is Call.Every where it says nothing.
const defaultEvery = 5 * time.Minute

// group is one bundle in the table, with its sidecars.
type group struct {
	name     types.NamespacedName
	key      token.Secret
	revision int64
	every    time.Duration
	slack    time.Duration // Options.Stale

	members map[types.UID]*member
	round   int // of Expect
	// prompt and suspects are those that wait for a question; suspects may keep
	// one busy until its timeout, so they get fewer places.
	prompt, suspects queue
	busy             int // questions under way
	acked            int // members that acknowledge the revision
	gone             bool

	keys        map[string][]string // Call.Keys
	signs       []string            // Call.Signs
	accepted    map[string]time.Time
	recent      bundle.State // the last good one, for share
	lost, since time.Time
	news        news
}

func newGroup(name types.NamespacedName, slack time.Duration, now time.Time) *group {
	return &group{
		name: name, slack: slack, since: now,
		members: map[types.UID]*member{}, accepted: map[string]time.Time{},
	}
}

// change says what of a Call is other than before.
type change struct{ fresh, sooner, rekeyed bool } // revision, interval, key

// expect replaces what is expected of the group.
func (g *group) expect(c Call, now time.Time) {
	every := c.Every
	if every <= 0 {
		every = defaultEvery
	}
	is := change{c.Revision != g.revision, every < g.every, !bytes.Equal(g.key, c.AckKey)}
	news := len(g.members) > 0 && (is.fresh || is.rekeyed)
	g.revision, g.every, g.keys, g.signs = c.Revision, every, c.Keys, c.Signs
	if is.rekeyed {
		g.rekey(c.AckKey)
	}
	g.round++
	for i := range c.Pods {
		news = g.admit(&c.Pods[i], is, now) || news
	}
	news = g.dropOthers(now) || news
	g.count()
	if news {
		g.news.add(g.complete())
	}
}

// admit takes one pod of a Call, and reports whether it is new.
func (g *group) admit(pod *Pod, is change, now time.Time) bool {
	m, known := g.members[pod.UID]
	if !known {
		m = &member{deadline: now.Add(g.slack), due: now, place: nowhere}
		g.members[pod.UID] = m
	}
	m.round = g.round
	if m.pod == *pod && is == (change{}) {
		return false
	}
	g.requeue(m, func() {
		m.renew(*pod, is.fresh && known, now)
		if is.sooner {
			m.hasten(g.every, g.slack, now)
		}
	})
	return !known
}

// rekey forgets what was proven under another key.
func (g *group) rekey(key token.Secret) {
	g.key, g.recent = bytes.Clone(key), bundle.State{}
	for _, m := range g.members {
		m.answer, m.overdue = Answer{}, false
	}
}

// dropOthers drops the members that the last Call did not name.
func (g *group) dropOthers(now time.Time) bool {
	var dropped bool
	for uid, m := range g.members {
		if m.round == g.round {
			continue
		}
		if m.lost(now) {
			g.lost = now
		}
		g.queueOf(m).remove(m)
		m.gone, dropped = true, true
		delete(g.members, uid)
	}
	return dropped
}

// told notes that the pod was annotated with the revision.
func (g *group) told(uid types.UID, revision int64, now time.Time) {
	m, known := g.members[uid]
	if !known || revision != g.revision || m.pod.Told {
		return
	}
	g.requeue(m, func() {
		pod := m.pod
		pod.Told = true
		m.renew(pod, false, now)
	})
}

// requeue changes a member, and lets it wait where it then belongs.
func (g *group) requeue(m *member, change func()) {
	g.queueOf(m).remove(m)
	change()
	g.enqueue(m)
}

// enqueue lets a member wait for its next question, if it can be asked.
func (g *group) enqueue(m *member) {
	if m.asking || m.gone || m.pod.Address == "" || len(g.key) == 0 {
		return
	}
	heap.Push(g.queueOf(m), m)
}

func (g *group) queueOf(m *member) *queue {
	if m.suspect {
		return &g.suspects
	}
	return &g.prompt
}

// count counts the acknowledgements anew.
func (g *group) count() {
	g.acked = 0
	for _, m := range g.members {
		if m.acknowledges(g.revision) {
			g.acked++
		}
	}
}

func (g *group) complete() bool { return g.acked == len(g.members) }

// settle notes the reply of a member and decides when it is asked next.
func (g *group) settle(m *member, q question, r reply, now time.Time) {
	m.asking = false
	if r.problem == "" && bytes.Equal(q.key, g.key) {
		named := confine(&r.state, g.keys, g.signs)
		r.state = share(r.state, g.recent)
		g.recent = r.state
		if accept(g.accepted, named, r.state, m.answer, now) {
			g.news.add(false)
		}
	}
	switch {
	case m.gone, g.gone:
		return // what it accepted counts all the same
	case !bytes.Equal(q.key, g.key), q.address != m.pod.Address:
		m.due = now // the question was of another time
	default:
		before := m.acknowledges(g.revision)
		changed := m.settled(r, g.every, g.slack, now)
		if after := m.acknowledges(g.revision); after != before {
			g.acked += map[bool]int{true: 1, false: -1}[after]
		}
		if changed {
			g.news.add(!before && g.complete())
		}
		m.plan(g.revision, g.every, now)
	}
	g.enqueue(m)
}

// report is what is known at a time.
func (g *group) report(now time.Time) Report {
	report := Report{
		Answers: make(map[types.UID]Answer, len(g.members)), Accepted: make(map[string]time.Time, len(g.accepted)),
		Lost: g.lost, Since: g.since,
	}
	for uid, m := range g.members {
		answer := m.answer
		if answer.Stale = m.stale(now); answer.Stale {
			m.overdue = true // the next good answer is news
		}
		report.Answers[uid] = answer
	}
	maps.Copy(report.Accepted, g.accepted)
	return report
}
