package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// agent serves every connection by handle until the test ends.
func agent(t *testing.T, handle func(conn net.Conn, head string)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for {
					head, err := readHead(in)
					if err != nil {
						return
					}
					handle(conn, head)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func readHead(in *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := in.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

func guard(t *testing.T, upstream string) *live.Sidecar {
	t.Helper()
	return live.Start(t, live.Setup{Policy: policyText(t, "main", nil), Keys: newRing(t).files(t), Upstream: upstream})
}

// await waits a few seconds for ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within ten seconds", what)
		}
	}
}

// D9: when clients leave their streams, the agent's ends too, and nothing is
// left behind in the sidecar.
func TestClientsThatLeaveTheirStreams(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	upstream := agent(t, func(conn net.Conn, _ string) {
		open.Add(1)
		defer open.Add(-1)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
		_, _ = io.Copy(io.Discard, conn) // to its end
		_ = conn.Close()
	})
	g := guard(t, upstream)
	baseline := len(sockets(t, g.PID))
	const clients = 200
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := net.Dial("tcp", g.Address)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
		fmt.Fprintf(conn, "GET /public/events HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReader(conn)
		for line := ""; line != "data: 1\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := open.Load(); n != clients {
		t.Fatalf("%d streams are open at the agent, want %d", n, clients)
	}
	began := time.Now()
	for _, conn := range conns {
		_ = conn.Close()
	}
	await(t, "end of every stream at the agent", func() bool { return open.Load() == 0 })
	took := time.Since(began)
	await(t, "end of every connection of the sidecar", func() bool { return len(sockets(t, g.PID)) <= baseline })
	await(t, "count of no streams", func() bool { return g.Metric(`gatepost_streams_active{kind="sse"}`) == "0" })
	live.Figure("streams_left_by_clients", clients, "streams")
	live.Figure("streams_ended_at_agent_within", took.Round(time.Millisecond).Milliseconds(), "ms")
}

// sockets are the descriptors of a process that are sockets.
func sockets(t *testing.T, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(target, "socket:") {
			all = append(all, target)
		}
	}
	return all
}

// D10: what an agent breaks off is never sent a second time.
func TestBrokenPostsAreSentOnce(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	upstream := agent(t, func(conn net.Conn, head string) {
		if strings.HasPrefix(head, "POST ") {
			posts.Add(1)
			_ = conn.Close()
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	g := guard(t, upstream)
	token, err := newMint(t, newRing(t), time.Now()).token("{}")
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"a POST":                                     "Content-Length: 3\r\n",
		"a POST with an idempotency key":             "Content-Length: 3\r\nIdempotency-Key: 1\r\n",
		"a POST with an older idempotency key":       "Content-Length: 3\r\nX-Idempotency-Key: 1\r\n",
		"a POST in chunks":                           "Transfer-Encoding: chunked\r\n",
		"a POST without a body and with either name": "Content-Length: 0\r\nIdempotency-Key: 1\r\nX-Idempotency-Key: 2\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			body := map[bool]string{true: "3\r\nabc\r\n0\r\n\r\n", false: "abc"}[strings.Contains(header, "chunked")]
			if strings.Contains(header, "Content-Length: 0") {
				body = ""
			}
			const times = 20
			for range times { // the GET before makes a connection that the POST is sent on
				sent := "GET /public/x HTTP/1.1\r\nHost: a\r\n\r\nPOST /notes/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\n" + header + "\r\n" + body
				answers, _ := exchange(t, g.Address, []byte(sent), 2)
				if len(answers) != 2 || answers[0].status != http.StatusOK || answers[1].status != http.StatusBadGateway {
					t.Fatalf("answers %v", answers)
				}
			}
			if n := posts.Swap(0); n != times {
				t.Errorf("%d POSTs reached the agent, of %d", n, times)
			}
		})
	}
}
