package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
)

// errSurplus ends a connection on which the agent said something nobody asked.
var errSurplus = errors.New("reading from the agent: bytes beyond the answer, or before a request")

// agentConn is a connection to the agent that is used again only if the agent
// has said exactly what it was asked. net/http gives a connection to the next
// request before it looks for surplus bytes, and they would be that request's
// answer: another client's (threats F6).
//
// Here every answer is followed to its end. What comes beyond it, in the same
// packet or at any time until the next request is written, is never handed on
// and ends the connection. Bytes that an agent sends after the next request was
// written are its answer: nobody can tell. So a connection is not used again
// either after the answers to which faulty agents append a body: to HEAD, 204
// and 304.
type agentConn struct {
	net.Conn
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // c.receive, made once
	look    func(fd uintptr)      // c.peek, made once

	// Between Read and receive, which run in one goroutine.
	into   []byte
	got    int
	failed error

	mu     sync.Mutex // held while the socket is read, so that its order to writes is known
	stage  stage
	answer reception
	broken error // what Read returns from now on
	more   bool  // what peek found
}

// stage says whose bytes the agent's are.
type stage uint8

const (
	unasked stage = iota // nobody's
	taken                // still nobody's: a request has the connection and has written nothing
	asked                // the answer to a request
)

// newAgentConn follows what comes from conn.
func newAgentConn(conn net.Conn) (*agentConn, error) {
	under, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("connecting to the agent: a %T is no socket", conn)
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	c := &agentConn{Conn: conn, raw: raw}
	c.attempt, c.look = c.receive, c.peek
	return c, nil
}

// dialAgent connects to the agent and follows what it says.
func dialAgent(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c, err := newAgentConn(conn)
	if err != nil {
		_ = conn.Close() // the error to report is the other one
		return nil, err
	}
	return c, nil
}

// announcements tell an agentConn which request it is taken for. They hold no
// state and serve all requests.
type announcements struct{ head, other *httptrace.ClientTrace }

func newAnnouncements() announcements {
	announce := func(head bool) *httptrace.ClientTrace {
		return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(*agentConn); ok {
				c.begin(head)
			}
		}}
	}
	return announcements{head: announce(true), other: announce(false)}
}

// of returns the announcement of requests of this method.
func (a announcements) of(method string) *httptrace.ClientTrace {
	if method == http.MethodHead {
		return a.head
	}
	return a.other
}

// begin prepares for a request that is about to be written.
func (c *agentConn) begin(head bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stage = taken
	c.answer.begin(head)
}

// Write writes, first of all making sure that what comes from now on can only
// be the answer.
func (c *agentConn) Write(p []byte) (int, error) {
	if err := c.ask(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *agentConn) ask() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != taken {
		return nil
	}
	if c.broken == nil {
		c.more = false
		if err := c.raw.Control(c.look); err == nil && c.more {
			c.broken = errSurplus
		}
	}
	if c.broken != nil {
		return c.broken
	}
	c.stage = asked
	return nil
}

// Read reads what belongs to the answer, and io.EOF together with its last byte
// where the connection must not be used again.
func (c *agentConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.into = p
	err := c.raw.Read(c.attempt)
	c.into = nil
	if err != nil {
		return 0, err
	}
	return c.got, c.failed
}

// receive reads what is there; false means to wait for more.
func (c *agentConn) receive(fd uintptr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := readSocket(fd, c.into)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err != nil:
		c.got, c.failed = 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
	case n == 0:
		c.got, c.failed = 0, io.EOF
	default:
		c.got, c.failed = c.judge(n, fd)
	}
	return true
}

// judge says how many of the n bytes read may be handed on.
func (c *agentConn) judge(n int, fd uintptr) (int, error) {
	if c.broken == nil && c.stage != asked {
		c.broken = errSurplus
	}
	if c.broken != nil {
		return 0, c.broken
	}
	most := len(c.into)
	used, err := c.answer.take(c.into[:n])
	if err != nil {
		c.broken = err
		return 0, err
	}
	if !c.answer.ended() {
		return n, nil
	}
	c.stage, c.more = unasked, used < n
	if n == most { // nothing is known of what the socket still holds
		c.peek(fd)
	}
	if c.more || c.answer.bodiless() {
		c.broken = io.EOF
		return used, io.EOF
	}
	return used, nil
}

// peek notes whether the socket holds bytes.
func (c *agentConn) peek(fd uintptr) {
	c.more = peekSocket(fd) || c.more
}

// CloseWrite passes the end of one direction of a WebSocket on.
func (c *agentConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
