package sidecar

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar/wire"
)

// clientConn is a client's connection to a guarded port.
type clientConn struct {
	*wire.Conn
	peer  netip.Addr
	port  int           // the guarded port it came in on
	lot   *parking      // where it waits for its next request
	place *list.Element // in the lot, whose lock guards it; nil: not there
	close func()
	once  sync.Once

	doing     atomic.Int32 // between two requests: busy, waiting, resting or parked
	malformed atomic.Bool  // a body's chunks were not framed as they must be
	unframed  atomic.Bool  // an answer is under way that the connection's end would complete
}

// Read notes that a body is malformed before net/http knows that it is at an
// end, so that whoever learns of the end also learns why.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, wire.ErrChunk):
		c.malformed.Store(true)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.Idle():
		c.doing.CompareAndSwap(waiting, resting)
	}
	return n, err
}

// Close closes the connection, unless net/http closes it because no request has
// come for a while: then it is parked.
func (c *clientConn) Close() error {
	switch {
	case c.doing.CompareAndSwap(resting, parked):
		return c.lot.park(c)
	case c.doing.Load() == parked:
		return nil
	}
	return c.end()
}

// end closes the connection and gives its place free. Whatever closes it before
// an answer without framing is complete: the client must see that it is not.
func (c *clientConn) end() error {
	c.once.Do(c.close)
	if raw, ok := c.Conn.Conn.(interface{ SetLinger(seconds int) error }); ok && c.unframed.Load() {
		_ = raw.SetLinger(0) // closing then resets; it fails where there is nothing to reset any more
	}
	return c.Conn.Close()
}

// again is the connection as a new one, for net/http to serve.
func (c *clientConn) again() *clientConn {
	return &clientConn{Conn: c.Conn, peer: c.peer, port: c.port, lot: c.lot, close: c.close}
}

// raw hands all further bytes through; see wire.Conn.Raw.
func (c *clientConn) raw() error {
	if c.Conn == nil {
		return nil
	}
	return c.Raw()
}

// CloseWrite ends the answer's direction.
func (c *clientConn) CloseWrite() error {
	if c.Conn == nil {
		return nil
	}
	return c.Conn.CloseWrite()
}

// discard ends the answer's direction and throws away what the client still
// sends, for a while. A client that sends more than most in that time is held
// back by TCP to its end: closing at once could take its answer away. The
// connection is of no use afterwards.
func (c *clientConn) discard(ctx context.Context, during time.Duration, most int64) {
	if c.Conn == nil {
		return
	}
	_ = c.Conn.CloseWrite() // a connection that is gone needs no end
	raw, end := c.Conn.Conn, time.Now().Add(during)
	if err := raw.SetReadDeadline(end); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, raw, most); err != nil {
		return // the client has ended, or the time is over
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(end)):
	}
}

// listener hands net/http connections that are read strictly and bounded in
// number.
type listener struct {
	net.Listener
	port   int
	open   *atomic.Int64 // connections that have a place
	away   *atomic.Int64 // connections that are being turned away, and have none
	most   func() int64  // connections that may be open at once
	turned func() string // counts one that was turned away and names the decision
	config wire.Config
	lot    *parking
}

// Accept waits for a connection that there is room for; parked ones make room.
// Others are told so.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.open.Add(1)
		release := func() { l.open.Add(-1) }
		if !l.room() {
			release()
			flood := l.away.Add(1) > l.most()
			go turnAway(conn, flood, l.turned(), func() { l.away.Add(-1) })
			continue
		}
		return &clientConn{Conn: wire.NewConn(conn, l.config), peer: peerOf(conn), port: l.port, lot: l.lot, close: release}, nil
	}
}

// room reports whether there is room for a connection that is counted already,
// and makes it where connections only wait for their next request.
func (l *listener) room() bool {
	for l.open.Load() > l.most() {
		if !l.lot.makeRoom() {
			return false
		}
	}
	return true
}

// turnAway answers 503 without reading the request, gives the client a moment
// to read that, and closes; in a flood it closes at once.
func turnAway(conn net.Conn, flood bool, id string, release func()) {
	defer release()
	if !flood {
		_ = conn.SetDeadline(time.Now().Add(time.Second)) // the worst is that it fails below
		_, err := io.WriteString(conn, overloadedText(id))
		if half, ok := conn.(*net.TCPConn); ok && err == nil && half.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, conn, drainBytes)
		}
	}
	_ = conn.Close() // nothing can be done about it
}

// overloadedText is the answer overloaded, written without a request: no origin
// is known that could be allowed.
func overloadedText(id string) string {
	var b strings.Builder
	text, h := overloaded.body(), http.Header{"Connection": {"close"}}
	overloaded.head(h, id, len(text))
	(&crossorigin.Rules{}).Mark(h, nil, crossorigin.Exposed)
	b.WriteString("HTTP/1.1 503 Service Unavailable\r\n")
	_ = h.Write(&b) // a string takes everything
	b.WriteString("\r\n")
	b.Write(text)
	return b.String()
}

// noteTurnedAway counts a connection for which there was no room.
func (s *Sidecar) noteTurnedAway() (id string) {
	name := ""
	if in := s.current.Load(); in != nil {
		name = in.Name
	}
	id = newID()
	s.metrics.requests.WithLabelValues(name, decisionDeny, string(policy.RateLimited)).Inc()
	now := time.Now()
	s.denials.add(denial{
		ID: id, Time: now.UTC(), Decision: decisionDeny, Reason: policy.RateLimited, Policy: name, Status: http.StatusServiceUnavailable,
	})
	if ok, suppressed := s.sampler.Allow("connections", now); ok {
		s.log.Warn("connection turned away: too many are open", "decision_id", id, "policy", name, "suppressed", suppressed)
	}
	return id
}

// peerOf is the address of the other end, the zero Addr if it has none.
func peerOf(conn net.Conn) netip.Addr {
	address, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return address.AddrPort().Addr().Unmap().WithZone("")
}

// ErrPortTaken is wrapped by the error of Run when another process of the pod
// listens on a guarded port.
var ErrPortTaken = errors.New("taken by another process in this pod")
