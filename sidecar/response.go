package sidecar

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// response notes what is sent to the client. Flushing goes through
// http.ResponseController, which finds the way down by Unwrap.
type response struct {
	http.ResponseWriter
	conn     *clientConn
	status   int
	sent     atomic.Int64 // body bytes; a WebSocket's are counted beside the handler
	expected int64        // body bytes announced by the agent; -1: unknown
	eager    bool         // flush what the agent sends before all of it is there
	hijacked bool
	leaver   atomic.Int32 // which side ended a WebSocket first: one of the constants
	goodbye  func()       // lets a client read that its token has expired; nil: it never does
	socket   atomic.Pointer[hijackedConn]
}

// The sides of a WebSocket.
const (
	nobodyLeft int32 = iota
	clientLeft
	agentLeft
)

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status. An agent's interim answers end here: net/http
// asks for a body itself when it is wanted, and all others are optional, would
// reach clients that do not know them, and bring headers that nobody cleaned.
func (w *response) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		return
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write counts, and sends on at once what is not the end of an answer of known
// length: a slow download arrives as it comes, a short answer in one piece.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	sent := w.sent.Add(int64(n))
	if err == nil && w.eager && sent < w.expected {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}

// Hijack takes the connection over for another protocol: from here its bytes
// are not HTTP. What the client sent early is not lost.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked, w.status = true, http.StatusSwitchingProtocols
	if err := w.conn.raw(); err != nil {
		_ = conn.Close() // the error to report is the other one
		return nil, nil, err
	}
	taken := &hijackedConn{Conn: conn, early: buffered.Reader, response: w}
	w.socket.Store(taken)
	return taken, buffered, nil
}

// hijackedConn reads first what net/http had already read, and notes which side
// ends first. An agent that ends shows by what is done to the client then.
type hijackedConn struct {
	net.Conn
	early    *bufio.Reader
	response *response

	begun   atomic.Bool // the answer to the handshake is written
	writing sync.Mutex
	frames  frames // of what was written
	over    bool   // the client was told of the end: nothing may follow
}

// Read reads buffered bytes, then the connection.
func (c *hijackedConn) Read(p []byte) (int, error) {
	if n := c.early.Buffered(); n > 0 {
		return c.early.Read(p[:min(n, len(p))])
	}
	c.begun.Store(true)
	n, err := c.Conn.Read(p)
	if err != nil {
		c.left(clientLeft)
	}
	return n, err
}

// Write counts what the agent sends.
func (c *hijackedConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.over {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	if c.response.goodbye != nil {
		c.frames.follow(p[:n])
	}
	c.response.sent.Add(int64(n))
	if err != nil {
		c.left(clientLeft)
	}
	return n, err
}

// CloseWrite passes the end of one direction on.
func (c *hijackedConn) CloseWrite() error {
	c.left(agentLeft)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection, after a farewell as soon as the client has.
func (c *hijackedConn) Close() error {
	c.left(agentLeft)
	c.writing.Lock()
	over := c.over
	c.writing.Unlock()
	if over {
		c.response.goodbye()
	}
	return c.Conn.Close()
}

func (c *hijackedConn) left(side int32) { c.response.leaver.CompareAndSwap(nobodyLeft, side) }

// watchedBody notes how far a request's body was read. The transport may read
// it beside the handler, so the notes are atomic.
type watchedBody struct {
	io.ReadCloser
	begun  atomic.Bool
	ended  atomic.Bool
	failed atomic.Bool // the client's bytes ended too early or were malformed
}

// Read notes the body's end.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.ended.Store(true)
	default:
		b.failed.Store(true)
	}
	return n, err
}

// malformed reports whether the client's body was framed wrongly: package wire
// said so, or reading it failed though the connection did not. net/http ends
// the request's context before it reports that a connection failed.
func (x *exchange) malformed() bool {
	return x.conn.malformed.Load() || x.body.failed.Load() && x.r.Context().Err() == nil
}
