package token

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// maxWireBytes is what one fetch may read from its connections in sum: the
// largest set, and half as much again for heads, TLS and redirects.
const maxWireBytes = maxSetBytes + maxSetBytes/2

var errWireTooLarge = fmt.Errorf("the server sent more than %d bytes, counted on the wire", maxWireBytes)

// dialFunc is a net.Dialer's DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// line is the network of one fetch. It ends with the fetch: net/http lets a dial
// and a TLS handshake go on when the request has given up. It also bounds what is
// read, whatever the bytes are.
type line struct {
	mu    sync.Mutex
	open  []net.Conn
	ended bool
	left  int // bytes that may still be read
}

// dialWithin dials within the fetch's own context, not the one that net/http
// makes for the dial.
func (l *line) dialWithin(fetch context.Context, dial dialFunc) dialFunc {
	return func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(fetch, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ended {
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
		l.open = append(l.open, conn)
		return &lineConn{Conn: conn, line: l}, nil
	}
}

// end closes all connections; those that are still being made close at once.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, conn := range l.open {
		_ = conn.Close() // most are closed already
	}
	l.open = nil
}

// take counts bytes that were read and reports whether they were allowed.
func (l *line) take(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left -= n
	return l.left >= 0
}

// lineConn is a connection of a line.
type lineConn struct {
	net.Conn

	line *line
}

func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.line.take(n) {
		return 0, errWireTooLarge
	}
	return n, err
}
