package sidecar

import (
	"container/list"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// How long a connection may wait for its next request.
const (
	restAfter = time.Second     // under net/http, which holds memory for it
	parkTime  = 2 * time.Minute // parked
)

// parking keeps the connections that wait for their next request. For one that
// it serves, net/http holds two buffers and a stack as deep as the last request
// needed, 20 KB altogether; a parked one is a small goroutine. When its client
// sends something, it is handed to net/http as if it had just been accepted: to
// net/http, parking is a listener.
type parking struct {
	most   time.Duration    // that a connection may be parked
	ready  chan *clientConn // with something to read
	closed chan struct{}

	full chan struct{} // asks for a sweep

	mu     sync.Mutex
	parked *list.List // of *clientConn, the one that has waited longest first; nil when closed
	fresh  int        // parked since the last sweep
}

func newParking(most time.Duration) *parking {
	return &parking{
		most: most, ready: make(chan *clientConn), closed: make(chan struct{}), full: make(chan struct{}, 1),
		parked: list.New(),
	}
}

// Accept waits for a parked connection whose client has sent something.
func (p *parking) Accept() (net.Conn, error) {
	select {
	case c := <-p.ready:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Addr is no address: connections come here by other listeners.
func (p *parking) Addr() net.Addr { return &net.TCPAddr{} }

// Close closes all parked connections; others will be from now on.
func (p *parking) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked == nil {
		return nil
	}
	close(p.closed)
	for e := p.parked.Front(); e != nil; e = e.Next() {
		_ = inPlace(e).end() // whoever waits for it learns of it
	}
	p.parked = nil
	return nil
}

func inPlace(e *list.Element) *clientConn {
	c, _ := e.Value.(*clientConn)
	return c
}

// park takes a connection that rests over from net/http.
func (p *parking) park(c *clientConn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked == nil {
		return c.end()
	}
	c.place = p.parked.PushBack(c)
	if p.fresh++; p.fresh >= sweepEvery {
		p.fresh = 0
		select {
		case p.full <- struct{}{}:
		default:
		}
	}
	go p.wait(c)
	return nil
}

// wait hands the connection back when there is something to read.
func (p *parking) wait(c *clientConn) {
	err := c.Await(time.Now().Add(p.most))
	if !p.leave(c) {
		return // it was ended meanwhile
	}
	if err != nil {
		_ = c.end() // it has ended, or was idle for too long
		return
	}
	select {
	case p.ready <- c.again():
	case <-p.closed:
		_ = c.end() // nobody serves it any more
	}
}

// leave takes a connection away, if it is still there.
func (p *parking) leave(c *clientConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parked == nil || c.place == nil {
		return false
	}
	p.remove(c)
	return true
}

// remove belongs to whoever holds the lock.
func (p *parking) remove(c *clientConn) {
	p.parked.Remove(c.place)
	c.place = nil
}

// makeRoom ends the connection that has waited longest, and reports whether
// there was one.
func (p *parking) makeRoom() bool {
	p.mu.Lock()
	if p.parked == nil || p.parked.Len() == 0 {
		p.mu.Unlock()
		return false
	}
	c := inPlace(p.parked.Front())
	p.remove(c)
	p.mu.Unlock()
	_ = c.end() // who waits for it finds that it is gone
	return true
}

// sweepEvery is how many parked connections are worth collecting what net/http
// held for them. They are parked because little happens, so nothing else would.
const sweepEvery = 512

// sweep gives their memory back, until the end.
func (p *parking) sweep() {
	for {
		select {
		case <-p.closed:
			return
		case <-p.full:
		}
		select {
		case <-p.closed:
			return
		case <-time.After(restAfter): // others come to rest meanwhile
		}
		runtime.GC() // takes from pools
		runtime.GC() // what the pools then let go of
	}
}

// What a connection does between two requests.
const (
	busy    int32 = iota // there is a request, or the first is awaited
	waiting              // net/http waits for the next request
	resting              // and has waited long enough
	parked               // parking has it, and net/http no longer
)

// noteState is told by net/http what a connection does.
func noteState(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*clientConn)
	switch {
	case !ok:
	case state == http.StateIdle:
		c.doing.Store(waiting)
	case state == http.StateActive:
		c.doing.Store(busy)
	}
}
