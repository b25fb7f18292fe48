package wire

import (
	"errors"
	"syscall"
	"time"
)

// Idle reports whether a Conn waits for a request of which nothing has come. It
// belongs to the goroutine that reads.
func (c *Conn) Idle() bool {
	return c.mode == inHead && c.in == nil && c.body.done() && c.broken == nil
}

// Await waits, no longer than until end, for bytes, and takes none of them: a
// Conn that waits here holds no memory for them. An error is the connection's
// end, or that none came.
func (c *Conn) Await(end time.Time) error {
	under, ok := c.Conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return err //nolint:wrapcheck // the caller says what it waits for
	}
	if err := c.SetReadDeadline(end); err != nil {
		return err
	}
	var failed error
	if err := raw.Read(func(fd uintptr) bool {
		failed = peek(fd)
		return !errors.Is(failed, syscall.EAGAIN)
	}); err != nil {
		return err //nolint:wrapcheck // the caller says what it waits for
	}
	return failed
}
