package sidecar

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
)

// events is an agent that sends an event per value of next, until it is closed
// or the client goes; gone is closed then.
func events(next <-chan string, gone chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		out := http.NewResponseController(w)
		_ = out.Flush()
		for {
			select {
			case <-r.Context().Done():
				gone <- r.Context().Err()
				return
			case event, ok := <-next:
				if !ok {
					return
				}
				fmt.Fprintf(w, "data: %s\n\n", event)
				_ = out.Flush()
			}
		}
	})
}

// open sends a request with a token and returns the body of its answer as soon
// as the head is there.
func (g *guarded) open(ctx context.Context) *bufio.Reader {
	g.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.addr+"/events", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", bearer(teacher(g.t)))
	r.Header.Set("X-Stream", "1")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	return bufio.NewReader(res.Body)
}

func TestEventsArriveOneByOne(t *testing.T) {
	next, gone := make(chan string), make(chan error, 1)
	g := start(t, setup{agent: events(next, gone)})
	in := g.open(t.Context()) // returns before any event is sent
	for _, event := range []string{"first", "second"} {
		next <- event
		if line, err := in.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = in.ReadString('\n')
	}
	if n := g.metric(`gatepost_streams_active{kind="sse"}`); n != "1" {
		t.Errorf("active streams: %q, want 1", n)
	}
	close(next)
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q %v", rest, err)
	}
	await(t, "the end of the stream is counted", func() bool {
		return g.metric(`gatepost_streams_closed_total{cause="agent",kind="sse"}`) == "1" && g.metric(`gatepost_streams_active{kind="sse"}`) == "0"
	})
}

func TestClientThatLeavesReachesTheAgent(t *testing.T) {
	next, gone := make(chan string), make(chan error, 1)
	g := start(t, setup{agent: events(next, gone)})
	before := runtime.NumGoroutine()
	ctx, leave := context.WithCancel(t.Context())
	g.open(ctx)
	leave()
	select {
	case <-gone:
	case <-time.After(2 * time.Second):
		t.Fatal("the agent was not told within 2 s")
	}
	await(t, "the end of the stream is counted", func() bool {
		return g.metric(`gatepost_streams_closed_total{cause="client",kind="sse"}`) == "1"
	})
	awaitGoroutines(t, before)
}

func TestAgentThatDiesTruncatesTheAnswer(t *testing.T) {
	for name, c := range map[string]struct{ head, cause string }{
		"a stream of events":    {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n", "error"},
		"an answer in chunks":   {"Transfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n", ""},
		"an answer with length": {"Content-Length: 1000\r\n\r\ndata: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+c.head)
					time.Sleep(100 * time.Millisecond)
					conn.Close()
				}
			})})
			reply := g.raw("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
			if !strings.HasPrefix(reply, "HTTP/1.1 200 OK\r\n") || !strings.Contains(reply, "data: ") || strings.HasSuffix(reply, "0\r\n\r\n") {
				t.Errorf("answer:\n%q", reply)
			}
			await(t, "the truncation is counted", func() bool { return g.metric(`gatepost_upstream_errors_total{kind="truncated"}`) == "1" })
			if c.cause != "" && g.metric(`gatepost_streams_closed_total{cause="error",kind="sse"}`) != "1" {
				t.Error("the stream's end is not counted as an error")
			}
		})
	}
}

// An answer whose end is the connection's, as every client of HTTP/1.0 gets a
// stream, must not look complete when it is not: the connection is reset.
func TestUnframedAnswersThatAreCutAreReset(t *testing.T) {
	t.Parallel()
	dies := func(head string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+head)
				time.Sleep(100 * time.Millisecond)
				conn.Close()
			}
		})
	}
	const drained, stays = "the sidecar drains", "the agent ends an answer"
	for name, c := range map[string]struct {
		agent http.Handler
		reset bool
	}{
		"the agent dies in events":   {dies("Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n"), true},
		"the agent dies in chunks":   {dies("Transfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n"), true},
		"the token expires":          {ticking, true},
		drained:                      {ticking, true},
		stays:                        {dies("Transfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n0\r\n\r\n"), false},
		"an answer without a length": {dies("\r\ndata: "), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: c.agent, config: func(config *Config) { config.DrainTimeout = 300 * time.Millisecond }})
			text, _ := expiresIn(t, 3)
			conn := g.dial()
			fmt.Fprintf(conn, "GET /x HTTP/1.0\r\nHost: a\r\nX-Stream: 1\r\nX-Type: text/event-stream\r\nX-Lasts: 10s\r\nAuthorization: Bearer %s\r\n\r\n", text)
			in := bufio.NewReader(conn)
			if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
				t.Fatalf("%q %v", line, err)
			}
			if name == drained {
				_ = g.stop()
			}
			got, err := io.ReadAll(in)
			if !strings.Contains(string(got), "data: ") || c.reset != errors.Is(err, syscall.ECONNRESET) || !c.reset && err != nil {
				t.Errorf("%q, %v, want a reset: %v", got, err, c.reset)
			}
		})
	}
}

func TestLargeUpload(t *testing.T) {
	const size = 64 << 20
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	want := sha256.New()
	for range size / len(block) {
		want.Write(block)
	}
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		fmt.Fprintf(w, "%d %v %x", n, err, hash.Sum(nil))
	})})
	for name, known := range map[string]bool{"of known length": true, "in chunks": false} {
		t.Run(name, func(t *testing.T) {
			body := io.LimitReader(&repeater{block: block}, size)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.addr+"/x", body)
			if err != nil {
				t.Fatal(err)
			}
			if known {
				r.ContentLength = size
			}
			r.Header.Set("Authorization", bearer(teacher(t)))
			r.Header.Set("X-Unrecorded", "1")
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			if got := fmt.Sprintf("%d <nil> %x", size, want.Sum(nil)); string(text) != got {
				t.Errorf("the agent says %s, want %s", text, got)
			}
		})
	}
}

// repeater reads one block over and over.
type repeater struct {
	block []byte
	at    int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// The agent may answer while the upload goes on, and both directions flow.
func TestBothDirectionsAtOnce(t *testing.T) {
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		_ = out.EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		w.WriteHeader(http.StatusOK)
		_ = out.Flush()
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			_ = out.Flush()
		}
	})})
	conn := g.dial()
	fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nX-Stream: 1\r\nTransfer-Encoding: chunked\r\nAuthorization: %s\r\n\r\n", bearer(teacher(t)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for i := range 3 {
		fmt.Fprintf(conn, "2\r\n%d\n\r\n", i)
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q %v", rest, err)
	}
}

func TestDrainLetsStreamsEnd(t *testing.T) {
	next, gone := make(chan string), make(chan error, 1)
	g := start(t, setup{agent: events(next, gone)})
	body := g.open(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.stop() }()
	await(t, "readiness is off", func() bool { return g.private("/readyz").status == 503 })
	await(t, "new connections are refused", func() bool {
		res, err := http.Get("http://" + g.addr + "/health")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
	next <- "still there"
	close(next)
	if text, err := io.ReadAll(body); err != nil || string(text) != "data: still there\n\n" {
		t.Errorf("the stream ended with %q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestDrainCutsOffWhatDoesNotEnd(t *testing.T) {
	next, gone := make(chan string), make(chan error, 1)
	g := start(t, setup{agent: events(next, gone), config: func(c *Config) { c.DrainTimeout = 300 * time.Millisecond }})
	body := g.open(t.Context())
	began := time.Now()
	if err := g.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("draining took %v", took)
	}
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the stream that was cut off ended as if it were complete")
	}
	<-gone
}

func TestDrainIsAskedForOnTheAdminPort(t *testing.T) {
	g := start(t, setup{})
	if got := g.private("/readyz"); got.status != 200 {
		t.Fatalf("readyz: %d", got.status)
	}
	if got := g.private("/drain"); got.status != 405 {
		t.Errorf("GET /drain: %d, want 405", got.status)
	}
	if err := adminport.Drain(t.Context(), g.admin); err != nil {
		t.Fatal(err)
	}
	if got := g.private("/readyz"); got.status != 503 || got.body != "draining\n" {
		t.Errorf("readyz after drain: %d %q", got.status, got.body)
	}
	if got := g.private("/healthz"); got.status != 200 {
		t.Errorf("healthz after drain: %d", got.status)
	}
	if got := g.do("GET", "/health", nil); got.status != 200 {
		t.Errorf("a request while not ready: %d, want 200", got.status)
	}
}
