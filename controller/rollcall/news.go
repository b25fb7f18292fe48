package rollcall

import "time"

// news is what the group has to tell and when it last told something.
type news struct {
	pending bool
	urgent  bool // do not wait: the last one acknowledged
	told    time.Time
}

func (n *news) add(urgent bool) { n.pending, n.urgent = true, n.urgent || urgent }

// Breather is how long news of so many pods are kept back after some were told, so
// that what a rollout costs the one who listens, who looks at all of them each
// time, does not grow with the square of their number.
func Breather(pods int) time.Duration {
	return max(time.Second, time.Duration(pods)*time.Millisecond)
}

// due is when the news are told; zero: there are none.
func (n *news) due(members int) time.Time {
	switch {
	case !n.pending:
		return time.Time{}
	case n.urgent:
		return n.told
	}
	return n.told.Add(Breather(members))
}

// take reports whether there are news to be told now, and forgets them.
func (n *news) take(members int, now time.Time) bool {
	if !n.pending || n.due(members).After(now) {
		return false
	}
	*n = news{told: now}
	return true
}
