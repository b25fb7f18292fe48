package wire

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// What follows a refused head is discarded in large pieces, because net/http
// waits for it byte by byte, and slowly once it is more than an upload that was
// under way: whoever goes on sending then waits, at no cost to us.
const (
	discardPiece = 32 << 10              // bytes discarded at once
	discardFree  = 64 << 20              // bytes discarded as fast as they come
	discardPause = 10 * time.Millisecond // before every further piece
)

// pieces holds the space that is discarded into.
var pieces = sync.Pool{New: func() any { return new([discardPiece]byte) }}

// discard waits for bytes that nobody will read and throws some of them away.
func (c *Conn) discard(p []byte) error {
	if c.discarded > discardFree {
		time.Sleep(discardPause)
	}
	n, err := c.throwAway(p)
	c.discarded += int64(n)
	return err
}

// throwAway waits for bytes without holding space for them, where the system
// allows it, since any number of clients may have it wait.
func (c *Conn) throwAway(p []byte) (n int, err error) {
	under, ok := c.Conn.(syscall.Conn)
	if !ok {
		return c.Conn.Read(p)
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("discarding what follows a refused head: %w", err)
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, failed = readPiece(fd)
		return !errors.Is(failed, syscall.EAGAIN)
	})
	switch {
	case err != nil:
		return 0, err //nolint:wrapcheck // net/http must see that it is a timeout of its own
	case errors.Is(failed, errors.ErrUnsupported):
		return c.Conn.Read(p)
	case failed != nil:
		return 0, fmt.Errorf("discarding what follows a refused head: %w", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
