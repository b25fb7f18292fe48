package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// bytesAgent answers each request with the bytes that answer returns for its
// head, whatever HTTP says, and keeps the connection.
func bytesAgent(t *testing.T, answer func(*http.Request) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return
					}
					if _, err := io.WriteString(conn, answer(r)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// before puts the sidecar in front of an agent at this address.
func before(address string) func(*Config) {
	return func(c *Config) { c.Upstream = address }
}

func TestInterimAnswersAreNotPassedOn(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Gatepost-Decision: spoof\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
	for name, c := range map[string]struct{ interim, request string }{
		"hints":                       {hint, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
		"hints for HTTP 1.0":          {hint, "GET /health HTTP/1.0\r\nHost: a\r\n\r\n"},
		"a continue nobody asked for": {"HTTP/1.1 100 Continue\r\n\r\n", "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{config: before(bytesAgent(t, func(*http.Request) string {
				return c.interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
			}))})
			back := g.raw(c.request)
			if strings.Count(back, "HTTP/1.") != 1 || !strings.Contains(back, " 200 OK\r\n") || !strings.HasSuffix(back, "\r\n\r\nok") ||
				strings.Contains(back, "spoof") || strings.Contains(back, "Link") || strings.Contains(back, "Allow-Origin") {
				t.Errorf("answer:\n%s", back)
			}
		})
	}
}

// A client that sends faster and more than is discarded still has two seconds
// to read its answer.
func TestLargestUnwantedBodiesAreHeldBack(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	conn := g.dial()
	_, _ = fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", int64(1)<<30)
	began := time.Now()
	_, err := io.CopyN(conn, &repeater{block: make([]byte, 1<<16)}, 1<<30)
	if took := time.Since(began); err == nil || took < lingerTime-100*time.Millisecond {
		t.Errorf("the connection was cut after %v (%v), want %v", took, err, lingerTime)
	}
}

func TestWebSocketSaysWhoLeft(t *testing.T) {
	count := func(g *guarded, cause string) string {
		return g.metric(fmt.Sprintf(`gatepost_streams_closed_total{cause=%q,kind="websocket"}`, cause))
	}
	t.Run("the client", func(t *testing.T) {
		g := start(t, setup{agent: echo})
		for i, leave := range []func(*net.TCPConn) error{
			(*net.TCPConn).CloseWrite,
			(*net.TCPConn).Close,
			func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() },
		} {
			conn, _, res := g.handshake("", "Authorization", bearer(teacher(t)))
			if res.status != http.StatusSwitchingProtocols {
				t.Fatal(res.status)
			}
			tcp, _ := conn.(*net.TCPConn)
			if err := leave(tcp); err != nil {
				t.Fatal(err)
			}
			await(t, "the client's leaving is counted", func() bool { return count(g, "client") == fmt.Sprint(i+1) })
		}
		if n := count(g, "agent"); n != "" {
			t.Errorf("%s WebSockets ended by the agent", n)
		}
	})
	t.Run("the agent", func(t *testing.T) {
		g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbye")
				conn.Close()
			}
		})})
		conn, in, _ := g.handshake("", "Authorization", bearer(teacher(t)))
		_, _ = io.ReadAll(in)
		conn.Close()
		await(t, "the agent's leaving is counted", func() bool { return count(g, "agent") == "1" })
		if n := count(g, "client"); n != "" {
			t.Errorf("%s WebSockets ended by the client", n)
		}
	})
}
