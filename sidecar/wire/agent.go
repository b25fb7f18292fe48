package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// AgentConn is a connection to an agent on which every answer belongs to the
// request before it. net/http gives a connection back for the next request as
// soon as an answer is over, and takes whatever comes then for the next answer;
// an agent that sends more than it was asked for would so answer somebody else's
// request. An AgentConn hands on one answer per request, and nothing after it:
// then the connection is of no more use.
type AgentConn struct {
	net.Conn

	mu      sync.Mutex
	asked   bool // a request is being sent or was, and its answer is not over
	sent    bool // some of it was
	answer  answer
	useless error // why nothing can be asked any more
}

// errUnasked is why a connection to the agent is given up.
var errUnasked = errors.New("the agent sent more than it was asked for")

// NewAgentConn returns conn with its answers followed.
func NewAgentConn(conn net.Conn) *AgentConn { return &AgentConn{Conn: conn} }

// Begin says that a request is about to be written; bare, that its answer has
// no body (HEAD).
func (c *AgentConn) Begin(bare bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.sent = true, false
	c.answer = answer{bare: bare, head: c.answer.head[:0]}
}

// Write sends bytes of a request. Before its first byte nothing may be waiting
// to be read.
func (c *AgentConn) Write(p []byte) (int, error) {
	if err := c.mayWrite(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ReadFrom sends bytes of a request's body.
func (c *AgentConn) ReadFrom(r io.Reader) (int64, error) {
	if err := c.mayWrite(); err != nil {
		return 0, err
	}
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

func (c *AgentConn) mayWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked && !c.sent && c.useless == nil && c.pending() {
		c.useless = errUnasked
	}
	c.sent = true
	return c.useless
}

// pending reports whether bytes have arrived that nobody has read.
func (c *AgentConn) pending() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	waiting := false
	err = raw.Control(func(fd uintptr) { waiting = peek(fd) })
	return err == nil && waiting
}

// Read hands on the bytes of the answer that was asked for.
func (c *AgentConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.useless == nil && !(c.asked && c.sent) {
		c.useless = errUnasked
	}
	if c.useless != nil {
		return 0, c.useless
	}
	taken := c.answer.take(p[:n])
	if c.answer.phase == answerEnded {
		c.asked = false
	}
	if taken < n {
		c.useless = errUnasked
		return taken, nil
	}
	return taken, err
}

// CloseWrite tells the agent that no more bytes will come.
func (c *AgentConn) CloseWrite() error { return closeWrite(c.Conn) }
