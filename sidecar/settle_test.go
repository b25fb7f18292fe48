package sidecar

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// A client that asks on and on and reads nothing holds its connection's place for a
// while, and not for ever.
func TestWhoReadsNoAnswerLosesTheConnection(t *testing.T) {
	for name, request := range map[string]string{
		"of the agent's, without a credential": public,
		"of the agent's, to a probe":           "GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
		"of ours, to who has no credential":    "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
		"of ours, to a page's question":        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		"of ours, to a body that is not read":  "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{})
			g.sidecar.takeTime = 2 * time.Second
			g.narrow()
			conn := g.dial()
			if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
				t.Fatal(err)
			}
			asked := make(chan error, 1)
			go func() {
				many := strings.Repeat(request, 500)
				for {
					if _, err := io.WriteString(conn, many); err != nil {
						asked <- err
						return
					}
				}
			}()
			if err := <-asked; errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection goes on though nobody reads")
			}
			await(t, "its place is free", func() bool { return g.sidecar.connections.Load() == 0 })
		})
	}
}

// narrow has the sidecar listen where little is on its way to a client that does not
// read.
func (g *guarded) narrow() {
	g.t.Helper()
	l, err := g.sidecar.bindAddress(g.t.Context(), "127.0.0.1:0", 0)
	if err != nil {
		g.t.Fatal(err)
	}
	g.addr, l.Listener = l.Addr().String(), narrow{l.Listener}
	server := g.sidecar.newServer()
	go func() { _ = server.Serve(l) }() // it ends with the test
	g.t.Cleanup(func() { _ = server.Close() })
}

// narrow hands out connections that take few bytes before they are read.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(4 << 10)
	}
	return conn, err
}

// The time is for the end of one answer: what comes later on the connection has its own.
func TestWhoReadsItsAnswersHasTime(t *testing.T) {
	t.Parallel()
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 2 {
			_, _ = io.WriteString(w, "some ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * time.Second)
		}
	})})
	g.sidecar.takeTime = 3 * time.Second
	conn := g.dial()
	for _, c := range []struct {
		request string
		status  int
	}{
		{"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", http.StatusUnauthorized},
		{public, http.StatusOK}, // takes longer than that
		{"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", http.StatusUnauthorized},
	} {
		if status := keep(t, conn, c.request); status != c.status {
			t.Fatalf("%.12s: %d, want %d", c.request, status, c.status)
		}
	}
}
