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
}

// Conn is a client's connection whose bytes are handed on only as long as they
// are unambiguous HTTP/1.1. Read belongs to one goroutine at a time, as net/http
// uses it; the other methods may be called from anywhere.
type Conn struct {
	net.Conn
	config Config

	mode    mode
	body    body          // the body that follows the last head
	in      *bytes.Buffer // bytes read and not handed on; nil when there are none
	ready   int           // leading bytes of in that may be handed on
	scanned int           // leading bytes of in in which no head ends
	blank   bool          // an empty line was left out before the next head
	broken  error         // what every further Read returns

	discarded int64 // bytes thrown away after a refused head

	deadlines sync.Mutex
	outer     time.Time // the read deadline set from outside
	own       time.Time // the deadline of the head that is being read
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

// buffers holds the buffers of heads under way, so that an idle connection has
// none.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// defaultHead is the longest head in bytes where nothing else is configured.
const defaultHead = 64 << 10

// maxPooled is the largest buffer in bytes that is kept for later.
const maxPooled = 16 << 10

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
	n := copy(p, c.in.Next(min(c.ready, len(p))))
	c.ready -= n
	if c.in.Len() == 0 {
		c.release()
	}
	return n
}

func (c *Conn) release() {
	if c.in.Cap() <= maxPooled {
		c.in.Reset()
		buffers.Put(c.in)
	}
	c.in = nil
}

// keep buffers bytes that were read before they could be judged.
func (c *Conn) keep(p []byte) {
	if len(p) == 0 {
		return
	}
	if c.in == nil {
		c.in, _ = buffers.Get().(*bytes.Buffer)
	}
	c.in.Write(p)
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
	pending := c.in.Bytes()
	switch {
	case c.mode == inRaw:
		c.ready = len(pending)
		return true
	case c.mode == inRefused:
		c.release()
		return false
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
	c.in.Next(line)
	if c.in.Len() == 0 {
		c.release()
	}
}

// refuse puts the stand-in request in the place of everything buffered.
func (c *Conn) refuse(v verdict) {
	request := standIn(v, c.in.Bytes())
	c.in.Reset()
	c.in.Write(request)
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
	space := p
	if c.in != nil {
		if c.mode == inHead && c.own.IsZero() && len(p) > 1 {
			c.beginHead()
		}
		c.in.Grow(bytes.MinRead)
		space = c.in.AvailableBuffer()
		space = space[:cap(space)]
	}
	n, err := c.Conn.Read(space)
	c.keep(space[:n])
	if n > 0 {
		return nil
	}
	return err
}

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

// Raw hands on every further byte as it is: the protocol was switched (RFC 9110
// section 7.8). It must not be called while a Read is under way. It fails when
// the client's bytes were already taken for another request and refused.
func (c *Conn) Raw() error {
	if c.mode == inRefused || c.broken != nil || c.ready > 0 || c.blank {
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
