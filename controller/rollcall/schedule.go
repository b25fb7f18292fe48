package rollcall

import (
	"container/heap"
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// How long is waited before a question.
const (
	// firstPause is about what a kubelet needs to refresh a mount it was told of.
	firstPause = 300 * time.Millisecond
	nextPause  = 200 * time.Millisecond
	// longestPause is the pause between questions to one that was not told, or
	// that has failed to answer for a while.
	longestPause = 10 * time.Second
)

// pause is how long to wait after the n-th question since a sidecar was told
// that did not find the revision: 0.3 s, 0.2 s, 0.3 s, 0.45 s, ... 10 s.
func pause(n int) time.Duration {
	if n <= 0 {
		return firstPause
	}
	next := nextPause
	for ; n > 1 && next < longestPause; n-- {
		next += next / 2
	}
	return min(next, longestPause)
}

// spread is d +-10 %, by the pod, so that sidecars that were asked together are
// not asked together for ever.
func spread(uid types.UID, d time.Duration) time.Duration {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(uid))
	permille := time.Duration(hash.Sum32() % 200)
	return d - d/10 + d/1000*permille
}

// queue orders members by when they are due: a heap that knows their places.
type queue []*member

// Len is the number of members that wait.
func (q queue) Len() int { return len(q) }

// Less is by time.
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

// Swap keeps the places.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	m, _ := x.(*member)
	m.place = len(*q)
	*q = append(*q, m)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	m := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	m.place = nowhere
	return m
}

// nowhere is the place of a member that waits in no queue.
const nowhere = -1

// take removes the first member if it is due.
func (q *queue) take(now time.Time) *member {
	if len(*q) == 0 || (*q)[0].due.After(now) {
		return nil
	}
	m, _ := heap.Pop(q).(*member)
	return m
}

// remove takes a member out, wherever it waits.
func (q *queue) remove(m *member) {
	if m.place != nowhere {
		heap.Remove(q, m.place)
	}
}

// next is when the first member is due that is not due yet. A member that is
// overdue waits for a place, not for the clock.
func (q queue) next(now time.Time) (time.Time, bool) {
	if len(q) == 0 || !q[0].due.After(now) {
		return time.Time{}, false
	}
	return q[0].due, true
}

// earlier is the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
