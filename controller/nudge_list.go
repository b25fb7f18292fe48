package controller

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Pauses after a pod could not be told.
const (
	firstNudgePause   = time.Second
	longestNudgePause = time.Minute
)

// nudgeMemory is how long a pod counts as told before the cache shows it: much
// longer than a watch takes.
const nudgeMemory = time.Minute

// nudge is one pod that has to be told of a revision.
type nudge struct {
	uid  types.UID
	name string
	// tries are the failed ones, and due is when the next may be made.
	tries int
	due   time.Time
}

// toldMark is what a pod was told, and when.
type toldMark struct {
	revision int64
	at       time.Time
}

// nudgeList is what is left to do for one bundle. It has no clock and no lock.
type nudgeList struct {
	bundle   types.NamespacedName
	revision int64
	urgent   bool      // a revocation, or an imported value in use: goes first
	since    time.Time // since when it is urgent
	pods     int       // that mount the bundle
	left     []nudge
	late     []nudge // that failed, by when they are due
	under    map[types.UID]bool
	told     map[types.UID]toldMark
	// complained: a failure with this revision was logged.
	complained bool
}

func newNudgeList(bundle types.NamespacedName) *nudgeList {
	return &nudgeList{bundle: bundle, under: map[types.UID]bool{}, told: map[types.UID]toldMark{}}
}

// hurry says whether it is urgent now.
func (l *nudgeList) hurry(urgent bool, now time.Time) {
	if urgent && !l.urgent {
		l.since = now
	}
	l.urgent = urgent
}

// goesFirst reports whether it goes before others: what is urgent does, but in a
// fair turn only for its first minute.
func (l *nudgeList) goesFirst(now time.Time, fair bool) bool {
	return l.urgent && (!fair || now.Sub(l.since) <= urgentPrivilege)
}

// replace says who has to be told now, in this order. Those whose turn is under
// way are left out, and those that failed wait on.
func (l *nudgeList) replace(revision int64, pods []nudge, now time.Time) {
	failed := map[types.UID]nudge{}
	for _, n := range l.late {
		failed[n.uid] = n
	}
	if revision != l.revision {
		l.complained = false
	}
	l.revision, l.left, l.late = revision, l.left[:0], l.late[:0]
	for _, n := range pods {
		known, again := failed[n.uid]
		switch mark, told := l.told[n.uid]; {
		case l.under[n.uid], told && mark.revision == revision:
		case again && known.due.After(now):
			l.postpone(known)
		default:
			n.tries = known.tries
			l.left = append(l.left, n)
		}
	}
	for uid, mark := range l.told {
		if now.Sub(mark.at) > nudgeMemory {
			delete(l.told, uid)
		}
	}
}

func (l *nudgeList) postpone(n nudge) {
	at, _ := slices.BinarySearchFunc(l.late, n, func(a, b nudge) int { return a.due.Compare(b.due) })
	l.late = slices.Insert(l.late, at, n)
}

// take removes the next pod that may be told.
func (l *nudgeList) take(now time.Time) (nudge, bool) {
	from := &l.left
	if len(l.left) == 0 {
		from = &l.late
	}
	if len(*from) == 0 || (*from)[0].due.After(now) {
		return nudge{}, false
	}
	n := (*from)[0]
	*from = (*from)[1:]
	l.under[n.uid] = true
	return n, true
}

// settle notes what became of a pod's turn.
func (l *nudgeList) settle(n nudge, revision int64, told bool, now time.Time) {
	delete(l.under, n.uid)
	if told {
		l.told[n.uid] = toldMark{revision, now}
		return
	}
	n.tries++
	n.due = now.Add(min(longestNudgePause, firstNudgePause<<min(n.tries-1, 10)))
	l.postpone(n)
}

// done reports whether nobody is left who may be told.
func (l *nudgeList) done() bool { return len(l.left) == 0 && len(l.under) == 0 && len(l.late) == 0 }

// overlay shows in listed pods what they were told and the cache does not show
// yet. The pods are copies, the maps in them the cache's.
func (l *nudgeList) overlay(pods []corev1.Pod) {
	for i := range pods {
		mark, told := l.told[pods[i].UID]
		switch {
		case !told:
		case toldOf(&pods[i], mark.revision):
			delete(l.told, pods[i].UID)
		default:
			pods[i].Annotations = annotatedWith(pods[i].Annotations, mark.revision)
		}
	}
}
