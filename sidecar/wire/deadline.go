package wire

import (
	"errors"
	"time"
)

// beginHead starts the clock of a head. The deadline so far was that of waiting
// for it, which is over.
func (c *Conn) beginHead() {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.own, c.urgent = time.Now().Add(c.config.HeadTimeout), false
	_ = c.apply() // a connection that takes no deadline fails at the next Read
}

// endHead stops the clock of a head.
func (c *Conn) endHead() {
	c.scanned, c.blank = 0, false
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	if c.own.IsZero() {
		return
	}
	c.own = time.Time{}
	_ = c.apply() // a connection that takes no deadline fails at the next Read
}

// apply sets the deadline in force: a head's own, unless an earlier one was set
// since it began. The caller holds deadlines, so that net/http's way of
// interrupting a Read, a deadline in the past, is never lost.
func (c *Conn) apply() error {
	t := c.outer
	if !c.own.IsZero() && (!c.urgent || t.IsZero() || c.own.Before(t)) {
		t = c.own
	}
	return c.Conn.SetReadDeadline(t)
}

// SetReadDeadline sets the deadline of Read. For a head that begins later it is
// replaced by the head's own, until that has ended; one under way keeps its own
// as well.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.outer, c.urgent = t, true
	return c.apply()
}

// SetDeadline sets the deadlines of Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
