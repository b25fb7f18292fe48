package issuer

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// maxLines is how many lines the head of a request may have. A line costs net/http
// many times its bytes, so a limit of bytes alone bounds no memory.
const maxLines = 128

// fewLines hands out connections that count the lines of heads.
type fewLines struct{ net.Listener }

// Accept waits for the next connection.
func (l fewLines) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lineCounter{Conn: conn}, nil
}

// lineCounter ends a connection whose head has too many lines. It knows from
// net/http when the next head begins, and by an empty line when it is over.
type lineCounter struct {
	net.Conn

	over  atomic.Bool // the head is: what comes is a body
	fresh atomic.Bool // the next byte begins a head
	lines int         // Read alone knows these two
	begun bool        // the line so far is not empty
}

var errManyLines = errors.New("the head of a request has too many lines")

// Read reads and counts.
func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.fresh.CompareAndSwap(true, false) {
		c.lines, c.begun = 0, false
		c.over.Store(false)
	}
	if !c.over.Load() && !c.count(p[:n]) {
		return 0, errManyLines
	}
	return n, err
}

// count counts the lines of a head and reports whether they are not too many. Empty
// lines before a head are none of it: behind a POST, net/http passes over them.
func (c *lineCounter) count(data []byte) bool {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		line := data
		if end >= 0 {
			line = data[:end]
		}
		if len(bytes.TrimSuffix(line, []byte("\r"))) > 0 {
			c.begun = true
		}
		if end < 0 {
			return true
		}
		if !c.begun && c.lines > 0 {
			c.over.Store(true)
			return true
		}
		if c.begun {
			c.lines++
		}
		c.begun, data = false, data[end+1:]
		if c.lines > maxLines {
			return false
		}
	}
	return true
}

// noteState hears from net/http that a request is over.
func noteState(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*lineCounter); ok && state == http.StateIdle {
		c.fresh.Store(true)
	}
}
