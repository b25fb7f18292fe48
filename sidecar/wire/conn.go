package wire

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// Config bounds what a Conn takes.
type Config struct {
	// MaxHead is asked once per request for the longest head in bytes. Nil or a
	// result below 1 means 64 KiB.
	MaxHead func() int
	// HeadTimeout is how long a head may take from its first byte; zero means
	// 10 seconds. An idle connection is not the business of Conn.
	HeadTimeout time.Duration
	// Heads is what all connections together may hold of heads that are not
	// complete, beyond 4 KiB each. What goes beyond it is refused with 503. Nil
	// means no bound.
	Heads *Budget
}

// Conn is a client's connection whose bytes are handed on only as long as they
// are unambiguous HTTP/1.1. Read belongs to one goroutine at a time, as net/http
// uses it; the other methods may be called from anywhere.
type Conn struct {
	net.Conn
	config Config

	mode    mode
	body    body    // the body that follows the last head
	in      *buffer // bytes read and not handed on; nil when there are none
	ready   int     // leading bytes of in that may be handed on
	scanned int     // leading bytes of in in which no head ends
	full    bool    // bytes were lost because there was no space for them
	blank   bool    // an empty line was left out before the next head
	broken  error   // what every further Read returns

	discarded int64 // bytes thrown away after a refused head

	deadlines sync.Mutex
	outer     time.Time // the read deadline set from outside
	own       time.Time // the deadline of the head that is being read
	urgent    bool      // outer was set after own

	space  sync.Mutex
	booked int64 // bytes taken from the budget
	closed bool  // nothing may be taken any more
}

// mode says what the bytes to come are.
type mode uint8

const (
	inHead    mode = iota // a request head, then its body
	inRaw                 // anything: the protocol was switched
	inRefused             // whatever follows a refused head; nobody reads it
)

// NewConn returns conn with its request heads checked.
func NewConn(conn net.Conn, config Config) *Conn {
	if config.HeadTimeout <= 0 {
		config.HeadTimeout = 10 * time.Second
	}
	return &Conn{Conn: conn, config: config}
}

// defaultHead is the longest head in bytes where nothing else is configured.
const defaultHead = 64 << 10

// Read hands on the next bytes of the current request. When the next head is
// refused, it hands on the stand-in request instead (see Refused) and discards
// what comes after it.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case c.ready > 0:
			return c.handOn(p), nil
		case c.broken != nil:
			return 0, c.broken
		case c.in == nil && c.passes():
			return c.readOn(p)
		case c.in != nil && c.advance():
			continue
		}
		if err := c.fill(p); err != nil {
			return 0, err
		}
	}
}

// passes reports whether the bytes to come go straight to the reader.
func (c *Conn) passes() bool {
	return c.mode == inRaw || c.mode == inHead && !c.body.done()
}

// handOn copies judged bytes to p and lets go of an empty buffer.
func (c *Conn) handOn(p []byte) int {
	n := copy(p, c.in.bytes()[:c.ready])
	c.ready -= n
	c.forget(n)
	return n
}

// readOn reads raw or body bytes straight into p. It never asks for more than
// the body has where that is known, and keeps what it read beyond.
func (c *Conn) readOn(p []byte) (int, error) {
	if c.mode == inRaw {
		return c.Conn.Read(p)
	}
	if !c.body.chunked {
		p = p[:min(int64(len(p)), c.body.left)]
	}
	n, err := c.Conn.Read(p)
	taken, bad := c.body.take(p[:n])
	if bad != nil {
		c.broken = bad
		return taken, bad
	}
	c.keep(p[taken:n])
	return taken, err
}

// advance judges buffered bytes; it reports whether that changed anything, false
// meaning that more of them are needed.
func (c *Conn) advance() bool {
	pending := c.in.bytes()
	switch {
	case c.mode == inRaw:
		c.ready = len(pending)
		return true
	case c.mode == inRefused:
		c.release()
		return false
	case c.full:
		c.endHead()
		c.refuse(noSpace)
		return true
	case !c.body.done():
		c.ready, c.broken = c.body.take(pending)
		return true
	case !c.blank && bytes.HasPrefix(pending, crlf):
		c.leaveOut(len(crlf))
		return true
	}
	return c.advanceHead(pending)
}

// advanceHead judges a head as soon as its end is there, or should be.
func (c *Conn) advanceHead(pending []byte) bool {
	end, v := headEnd(pending, c.scanned)
	c.scanned = len(pending)
	switch {
	case v == passed && end == 0 && len(pending) < c.maxHead():
		return false
	case v == passed && end == 0, end > c.maxHead():
		v = longHead
		if bytes.IndexByte(pending[:min(len(pending), maxTarget)], '\n') < 0 {
			v = longTarget
		}
	}
	c.endHead()
	if v == passed {
		c.body, v = judge(pending[:end])
	}
	if v != passed {
		c.refuse(v)
		return true
	}
	taken, err := c.body.take(pending[end:])
	c.ready, c.broken = end+taken, err
	return true
}

// leaveOut forgets an empty line before a request line, which some clients send
// behind a body (RFC 9112 section 2.2). There may be one; its time does not
// count as the head's.
func (c *Conn) leaveOut(line int) {
	c.endHead()
	c.blank = true
	c.forget(line)
}

// refuse puts the stand-in request in the place of everything buffered.
func (c *Conn) refuse(v verdict) {
	request := standIn(v, c.in.bytes())
	c.release()
	c.keep(request)
	c.ready, c.mode = len(request), inRefused
}

// headEnd returns the length of the head that block begins with, 0 when it is
// not complete. The first scanned bytes are known not to hold its end.
func headEnd(block []byte, scanned int) (int, verdict) {
	for i := max(0, scanned-1); i < len(block); i++ {
		k := bytes.IndexByte(block[i:], '\n')
		if k < 0 {
			break
		}
		i += k
		if i == 0 || block[i-1] != '\r' {
			return 0, bareLineFeed
		}
		if i == 1 {
			return 0, badRequestLine
		}
		if i >= 3 && block[i-2] == '\n' {
			return i + 1, passed
		}
	}
	return 0, passed
}

func (c *Conn) maxHead() int {
	if c.config.MaxHead != nil {
		if n := c.config.MaxHead(); n > 0 {
			return n
		}
	}
	return defaultHead
}

// fill reads more bytes into the buffer; the first ones go through p, so that
// waiting for them takes no buffer. A head that has begun runs against its own
// deadline, except while net/http reads the single byte by which it notices,
// during a request, that the client has gone.
func (c *Conn) fill(p []byte) error {
	if c.mode == inRefused {
		return c.discard(p)
	}
	var n int
	var err error
	if c.in == nil {
		n, err = c.Conn.Read(p)
		c.keep(p[:n])
	} else {
		if c.mode == inHead && c.own.IsZero() && len(p) > 1 {
			c.beginHead()
		}
		if c.full = !c.room(minRead); c.full {
			return nil
		}
		n, err = c.Conn.Read(c.in.free())
		c.in.to += n
	}
	if n > 0 {
		return nil
	}
	return err
}

// Raw hands on every further byte as it is: the protocol was switched (RFC 9110
// section 7.8). It must not be called while a Read is under way. It fails when
// the client's bytes were already taken for another request and refused.
func (c *Conn) Raw() error {
	if c.mode == inRefused || c.broken != nil || c.ready > 0 || c.blank || c.full {
		return errors.New("switching protocols: the client sent another request before the answer")
	}
	c.endHead()
	c.mode = inRaw
	return nil
}

// CloseWrite tells the client that no more bytes will come, and leaves the
// other direction open.
func (c *Conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
