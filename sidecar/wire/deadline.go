package wire

import (
	"errors"
	"time"
)

// beginHead starts the clock of a head.
func (c *Conn) beginHead() {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.own = time.Now().Add(c.config.HeadTimeout)
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

// apply sets the earlier of both deadlines. The caller holds deadlines, so that
// net/http's way of interrupting a Read, a deadline in the past, is never lost.
func (c *Conn) apply() error {
	t := c.outer
	if t.IsZero() || (!c.own.IsZero() && c.own.Before(t)) {
		t = c.own
	}
	return c.Conn.SetReadDeadline(t)
}

// SetReadDeadline sets the deadline of Read; a head keeps its own as well.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.outer = t
	return c.apply()
}

// SetDeadline sets the deadlines of Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
