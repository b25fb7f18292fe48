package sidecar

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// slow is an agent that answers late, and tells what became of bodies.
func slow(bodies chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		bodies <- err
		time.Sleep(500 * time.Millisecond)
		_, _ = io.WriteString(w, "from the agent")
	})
}

// halfClosed sends bytes, ends its direction, and returns all that comes back.
func (g *guarded) halfClosed(text string) string {
	g.t.Helper()
	conn := g.dial()
	_, _ = io.WriteString(conn, text)
	tcp, _ := conn.(*net.TCPConn)
	if err := tcp.CloseWrite(); err != nil {
		g.t.Fatal(err)
	}
	back, _ := io.ReadAll(conn)
	return string(back)
}

// Whoever ends its direction gets the agent's answer or none, and an upload
// that was cut looks like a success to nobody.
func TestNoAnswerIsMadeUpForAClientThatHalfCloses(t *testing.T) {
	bodies := make(chan error, 1)
	g := start(t, setup{agent: slow(bodies)})
	auth := "Authorization: " + bearer(teacher(t)) + "\r\n"
	for name, c := range map[string]struct {
		text string
		cut  bool
	}{
		"a GET":                     {"GET /x HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\n" + auth + "\r\n", false},
		"an exempt GET":             {"GET /health HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\n\r\n", false},
		"a GET of HTTP 1.0":         {"GET /health HTTP/1.0\r\nHost: a\r\nX-Unrecorded: 1\r\n\r\n", false},
		"a POST":                    {"POST /x HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\nContent-Length: 3\r\n" + auth + "\r\nabc", false},
		"a POST that is cut":        {"POST /x HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\nContent-Length: 100\r\n" + auth + "\r\nabc", true},
		"a chunked POST cut within": {"POST /x HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\nTransfer-Encoding: chunked\r\n" + auth + "\r\n5\r\nab", true},
		"a chunked POST cut after":  {"POST /x HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\nTransfer-Encoding: chunked\r\n" + auth + "\r\n2\r\nab\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			if back := g.halfClosed(c.text); back != "" && !strings.HasSuffix(back, "from the agent") {
				t.Errorf("answer:\n%s", back)
			}
			select {
			case err := <-bodies:
				if c.cut && err == nil {
					t.Error("the agent took a body that was cut for a whole one")
				}
			case <-time.After(time.Second): // the agent need not be asked at all
			}
		})
	}
	if n := g.metric(`gatepost_http_request_duration_seconds_count{code_class="2xx"}`); n != "" {
		t.Errorf("%s answers are counted as successes", n)
	}
}

// What is wrong with a client's body is the client's error, never the agent's.
func TestMalformedBodiesAreTheClientsError(t *testing.T) {
	g := start(t, setup{})
	chunked := func(body string) string {
		return "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: " + bearer(teacher(t)) + "\r\n\r\n" + body
	}
	for name, text := range map[string]string{
		"a chunk without a size":       chunked("z\r\nab\r\n0\r\n\r\n"),
		"a chunk longer than it says":  chunked("1\r\nabcd\r\n0\r\n\r\n"),
		"more extensions than content": chunked(strings.Repeat("1;"+strings.Repeat("e", 200)+"\r\nx\r\n", 200) + "0\r\n\r\n"),
		"a trailer without a colon":    chunked("1\r\nx\r\n0\r\nnocolon\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				if back := g.raw(text); !strings.HasPrefix(back, "HTTP/1.1 400 ") || !strings.HasSuffix(back, `{"detail":"Invalid request"}`) {
					t.Fatalf("answer:\n%s", back)
				}
			}
		})
	}
	for _, kind := range []string{"connect", "timeout", "reset", "protocol", "truncated"} {
		if n := g.metric(fmt.Sprintf("gatepost_upstream_errors_total{kind=%q}", kind)); n != "" {
			t.Errorf("%s errors of kind %s are the agent's", n, kind)
		}
	}
}
