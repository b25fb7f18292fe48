package sidecar

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// keep sends a request on a connection that stays open and returns the status.
func keep(t *testing.T, conn net.Conn, request string) int {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.20q...: %v", request, err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

// isParked reports how many connections wait for a request outside of net/http.
func (g *guarded) isParked() int {
	g.sidecar.lot.mu.Lock()
	defer g.sidecar.lot.mu.Unlock()
	if g.sidecar.lot.parked == nil {
		return 0 // closed
	}
	return g.sidecar.lot.parked.Len()
}

const public = "GET /public HTTP/1.1\r\nHost: a\r\n\r\n"

// park returns a connection that was used once and is parked.
func (g *guarded) park(request string) net.Conn {
	g.t.Helper()
	conn := g.dial()
	before := g.isParked()
	if status := keep(g.t, conn, request); status != http.StatusOK {
		g.t.Fatalf("before it is parked: %d", status)
	}
	await(g.t, "the connection is parked", func() bool { return g.isParked() == before+1 })
	return conn
}

func TestAParkedConnectionIsLikeAnyOther(t *testing.T) {
	g := start(t, setup{})
	refused := strings.Replace(public, "Host: a", "Host: a\r\nHost: b", 1)
	for name, c := range map[string]struct {
		first, then string
		want        int
	}{
		"another request":                        {public, public, http.StatusOK},
		"a request with a body":                  {public, "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", http.StatusOK},
		"after a body":                           {"POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", public, http.StatusOK},
		"after a body that an empty line ended":  {"POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na\r\n", public, http.StatusOK},
		"a request that is refused for its form": {public, refused, http.StatusBadRequest},
		"a request that needs a token":           {public, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guarded{t: t, sidecar: g.sidecar, addr: g.addr, logs: g.logs}
			conn := g.dial()
			if status := keep(t, conn, c.first); status != http.StatusOK {
				t.Fatalf("before it rests: %d", status)
			}
			time.Sleep(2 * restAfter)
			if g.isParked() == 0 {
				t.Error("nothing is parked")
			}
			if status := keep(t, conn, c.then); status != c.want {
				t.Errorf("answered %d, want %d", status, c.want)
			}
		})
	}
}

func TestParkedConnectionsGiveTheirPlaceFree(t *testing.T) {
	for name, end := range map[string]func(*guarded, net.Conn){
		"when the client leaves":       func(_ *guarded, conn net.Conn) { conn.Close() },
		"when the client breaks off":   func(_ *guarded, conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); conn.Close() },
		"when they rest for too long":  func(*guarded, net.Conn) {},
		"when the sidecar is to drain": func(g *guarded, _ net.Conn) { _ = g.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{config: func(c *Config) { c.DrainTimeout = 20 * time.Second }})
			if name == "when they rest for too long" {
				g.sidecar.lot.most = 2 * time.Second
			}
			conn := g.park(public)
			began := time.Now()
			end(g, conn)
			await(t, "no connection is open", func() bool { return g.sidecar.connections.Load() == 0 && g.isParked() == 0 })
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("that took %v", took)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				t.Errorf("the client's end: %v, want EOF", err)
			}
		})
	}
}

// A client that begins a head after a rest has no more time for it than others.
func TestAHeadAfterARestHasItsOwnTime(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	conn := g.park(public)
	if _, err := io.WriteString(conn, public[:9]); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	back, err := io.ReadAll(conn)
	if took := time.Since(began); err != nil || len(back) > 0 || took < headTimeout/2 {
		t.Errorf("half a head: %q, %v after %v, want the end after %v", back, err, took, headTimeout)
	}
}

// Nor has one that begins it just before its connection would have been parked,
// or together with the request before, any less.
func TestAHeadThatComesInPartsHasItsOwnTime(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	for name, c := range map[string]struct {
		with        string // sent with the first request
		rest, pause time.Duration
	}{
		"early in the rest":             {"", restAfter / 4, restAfter},
		"late in the rest":              {"", restAfter * 9 / 10, restAfter / 2},
		"after it":                      {"", restAfter * 3 / 2, 2 * restAfter},
		"behind the request before":     {public[:9], 0, 2 * restAfter},
		"an empty line before a head":   {"\r", restAfter / 2, 0},
		"an empty line that comes late": {"\r", 2 * restAfter, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guarded{t: t, sidecar: g.sidecar, addr: g.addr, logs: g.logs}
			conn := g.dial()
			if status := keep(t, conn, public+c.with); status != http.StatusOK {
				t.Fatalf("the first request: %d", status)
			}
			half := public[len(c.with):9]
			if c.with == "\r" {
				half = "\n" + public[:9]
			}
			time.Sleep(c.rest)
			if _, err := io.WriteString(conn, half); err != nil {
				t.Fatal(err)
			}
			time.Sleep(c.pause)
			if status := keep(t, conn, public[9:]); status != http.StatusOK {
				t.Errorf("the second: %d", status)
			}
		})
	}
}

// Connections that only wait keep nobody out: the one that has waited longest
// makes room for a new one.
func TestParkedConnectionsMakeRoomForNewOnes(t *testing.T) {
	t.Parallel()
	const most = 4
	g := start(t, setup{policy: testPolicy + "  limits: {maxConnections: 4}\n"})
	var waiting, fresh []net.Conn
	for range most {
		waiting = append(waiting, g.park(public))
	}
	if status := keep(t, waiting[0], public); status != http.StatusOK {
		t.Fatalf("the first that was parked: %d", status)
	}
	await(t, "it is parked again, now as the last", func() bool { return g.isParked() == most })
	for _, longest := range []net.Conn{waiting[1], waiting[2], waiting[3], waiting[0]} {
		conn := g.dial()
		if status := keep(t, conn, public); status != http.StatusOK {
			t.Fatalf("a new connection: %d", status)
		}
		if _, err := longest.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the one that waited longest: %v, want its end", err)
		}
		if n := g.sidecar.connections.Load(); n != most {
			t.Errorf("%d connections are open, want %d", n, most)
		}
		fresh = append(fresh, conn)
	}
	for _, conn := range fresh {
		conn.Close()
	}
	await(t, "all places are free", func() bool { return g.sidecar.connections.Load() == 0 && g.isParked() == 0 })
}

// Many may come and rest and make room at once; each place is given free once.
func TestPlacesAreCountedThoughAllComeAtOnce(t *testing.T) {
	t.Parallel()
	const most = 8
	g := start(t, setup{policy: testPolicy + "  limits: {maxConnections: 8}\n"})
	var group sync.WaitGroup
	for i := range 4 * most {
		group.Go(func() {
			for range 3 {
				conn, err := net.Dial("tcp", g.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, public)
				time.Sleep(restAfter + time.Duration(i)*10*time.Millisecond)
				_, _ = io.WriteString(conn, public) // its place may be another's by now
				if n := g.sidecar.connections.Load(); n < 0 {
					t.Errorf("%d connections are open", n)
				}
				conn.Close()
			}
		})
	}
	group.Wait()
	await(t, "all places are free", func() bool { return g.sidecar.connections.Load() == 0 && g.isParked() == 0 })
}

// A connection that is being turned away for a second has no place, or a flood of
// them would end connections that wait and admit nobody.
func TestConnectionsThatAreTurnedAwayTakeNoPlace(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open, away atomic.Int64
	l := &listener{
		Listener: raw, open: &open, away: &away, lot: newParking(parkTime),
		most: func() int64 { return 1 }, turned: func() string { return "id" },
	}
	open.Store(1) // the only place
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	conn, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the connection is being turned away", func() bool { return away.Load() > 0 })
	if n := open.Load(); n != 1 {
		t.Errorf("%d places are taken while it is turned away, want the one that was", n)
	}
	conn.Close()
	await(t, "it is gone", func() bool { return away.Load() == 0 })
	raw.Close()
	if err := <-ended; err == nil {
		t.Error("Accept let a connection in without room")
	}
}
