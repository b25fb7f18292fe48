// Package crowd bounds how many connections a listener has open.
package crowd

import (
	"container/list"
	"net"
	"sync"
)

// Bound bounds the connections of a listener. When one comes that is too many, the
// oldest gives way: those that are honest there are asked and answered within
// moments, so that who fills the place only drives himself out.
func Bound(l net.Listener, most int) net.Listener { return &crowd{Listener: l, most: most} }

// crowd is a listener with its open connections.
type crowd struct {
	net.Listener

	most int
	mu   sync.Mutex
	open list.List // of *guest, the oldest first
}

// Accept waits for the next connection.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	came := &guest{Conn: conn, crowd: c}
	if oldest := c.admit(came); oldest != nil {
		_ = oldest.Close() // nobody there is owed an answer
	}
	return came, nil
}

// admit gives a connection a place, and returns the one that had to leave it.
func (c *crowd) admit(came *guest) (oldest *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Len() >= c.most {
		oldest, _ = c.open.Remove(c.open.Front()).(*guest)
		oldest.place = nil
	}
	came.place = c.open.PushBack(came)
	return oldest
}

// guest is a connection with a place.
type guest struct {
	net.Conn

	crowd *crowd
	place *list.Element // nil: it has none any more
}

// Close gives the place back.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	if g.place != nil {
		g.crowd.open.Remove(g.place)
		g.place = nil
	}
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}
