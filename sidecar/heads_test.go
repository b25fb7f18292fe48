package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// many sends text on n connections, leaves them open, and returns how many were
// answered, by status.
func (g *guarded) many(n int, text string) (answered map[int]int, hangUp func()) {
	g.t.Helper()
	answered = make(map[int]int)
	conns := make([]net.Conn, n)
	var lock sync.Mutex
	var all sync.WaitGroup
	for i := range conns {
		conns[i] = g.dial()
		_, _ = io.WriteString(conns[i], text)
		all.Go(func() {
			_ = conns[i].SetReadDeadline(time.Now().Add(3 * time.Second))
			res, err := http.ReadResponse(bufio.NewReader(conns[i]), nil)
			if err != nil {
				return // it is held
			}
			res.Body.Close()
			lock.Lock()
			defer lock.Unlock()
			answered[res.StatusCode]++
			if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
				g.t.Error("a 503 without Retry-After")
			}
		})
	}
	all.Wait()
	return answered, func() {
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// Clients that hold large heads, begun or complete, cannot together hold more
// than there is, and take nothing away from ordinary requests.
func TestLargeHeadsHaveABoundInSum(t *testing.T) {
	var lines strings.Builder
	for i := range 480 {
		fmt.Fprintf(&lines, "X-%03d: %s\r\n", i, strings.Repeat("v", 110))
	}
	for name, text := range map[string]string{
		"heads without an end":                    "GET /public HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 64_000),
		"requests whose bodies never come":        "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n" + lines.String() + "\r\na",
		"requests of a target that is never read": "POST /public?" + strings.Repeat("q", 30_000) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nX: " + strings.Repeat("v", 30_000) + "\r\n\r\na",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{})
			answered, hangUp := g.many(650, text)
			if answered[http.StatusServiceUnavailable] == 0 || len(answered) > 1 {
				t.Errorf("of 650 connections, these were answered, by status: %v, want some 503", answered)
			}
			if r := g.do(http.MethodGet, "/public", nil); r.status != http.StatusOK {
				t.Errorf("an ordinary request meanwhile: %d", r.status)
			}
			if name != "heads without an end" {
				if used := g.sidecar.served.Used(); used > servedHeads {
					t.Errorf("%d bytes are booked, of %d", used, servedHeads)
				}
			}
			hangUp()
			await(t, "all is given back", func() bool { return g.sidecar.served.Used() == 0 && g.sidecar.begun.Used() == 0 })
			if r := g.do(http.MethodGet, "/public", nil, "X-Large", strings.Repeat("a", 50_000)); r.status != http.StatusOK {
				t.Errorf("a large request afterwards: %d", r.status)
			}
		})
	}
}
