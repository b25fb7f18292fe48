package rollcall

import "time"

// member is one sidecar in the table.
type member struct {
	pod    Pod
	answer Answer
	// deadline is when a good answer is overdue.
	deadline time.Time
	due      time.Time
	tries    int // questions since it was told that did not find the revision
	place    int // in a queue of its group
	round    int // the last one of its group that named it
	asking   bool
	gone     bool
	// suspect: the last question was answered badly or late, so the next may take
	// long. Who starts and says so at once is none.
	suspect bool
	// overdue: its answer was reported as stale, or is about to be.
	overdue bool
}

// acknowledges reports whether the sidecar has proven the revision, or a later one.
func (m *member) acknowledges(revision int64) bool {
	return !m.answer.At.IsZero() && m.answer.State.Revision >= revision
}

// stale reports whether there is no good answer, or only one that is too old.
func (m *member) stale(now time.Time) bool { return m.answer.At.IsZero() || now.After(m.deadline) }

// lost reports whether the sidecar may have accepted tokens of which nobody will
// ever hear, should it vanish now.
func (m *member) lost(now time.Time) bool { return now.After(m.deadline) }

// settled notes a reply, and reports whether anything changed that matters.
func (m *member) settled(r reply, every, slack time.Duration, now time.Time) bool {
	if r.problem != "" {
		changed := m.answer.Problem != r.problem || !m.overdue && m.stale(now)
		m.answer.Problem, m.suspect = r.problem, r.slow || r.problem != NotLoaded
		m.overdue = m.overdue || m.stale(now)
		return changed
	}
	changed := m.answer.At.IsZero() || m.answer.Problem != "" || m.overdue || !same(m.answer.State, r.state)
	if m.answer.At.IsZero() || m.answer.State.Revision != r.state.Revision {
		m.answer.First = now
	}
	m.answer.State, m.answer.At, m.answer.Problem = r.state, now, ""
	m.suspect, m.overdue = false, false
	m.deadline = now.Add(every + every/10 + slack)
	return changed
}

// plan decides when the sidecar is asked next, after a reply.
func (m *member) plan(revision int64, every time.Duration, now time.Time) {
	well := m.answer.Problem == ""
	switch {
	case well && m.acknowledges(revision):
		m.tries = 0
		m.due = now.Add(spread(m.pod.UID, every))
	case well && !m.pod.Told:
		m.due = now.Add(spread(m.pod.UID, min(longestPause, every)))
	default:
		m.tries++
		m.due = now.Add(spread(m.pod.UID, pause(m.tries)))
	}
}

// renew takes over what is expected of the sidecar now. fresh: the revision is
// another than before.
func (m *member) renew(pod Pod, fresh bool, now time.Time) {
	told := pod.Told && (fresh || !m.pod.Told)
	switch {
	case pod.Address != m.pod.Address:
		m.tries, m.suspect, m.due = 0, false, now
	case told:
		m.tries, m.due = 0, now.Add(firstPause)
	case fresh:
		m.tries, m.due = 0, now.Add(spread(pod.UID, longestPause))
	}
	m.pod = pod
}

// hasten brings the next question and the deadline forward after the interval
// became shorter.
func (m *member) hasten(every, slack time.Duration, now time.Time) {
	if m.answer.At.IsZero() {
		return
	}
	if due := m.answer.At.Add(spread(m.pod.UID, every)); due.Before(m.due) {
		m.due = due
	}
	latest := m.answer.At.Add(every + every/10)
	if latest.Before(now) {
		latest = now
	}
	if latest = latest.Add(slack); latest.Before(m.deadline) {
		m.deadline = latest
	}
}
