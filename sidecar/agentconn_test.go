package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

// own answers with what the request named.
func own(r *http.Request) string {
	id := r.Header.Get("X-Id")
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
}

// Whatever an agent appends to its answers, every client gets its own answer.
func TestSurplusOfTheAgentReachesNobody(t *testing.T) {
	for name, surplus := range map[string]func(*http.Request) string{
		"an answer more": func(r *http.Request) string {
			if r.URL.Path == "/public" {
				return own(r) + evil
			}
			return own(r)
		},
		"an answer more to no body": func(r *http.Request) string {
			if r.URL.Path == "/public" {
				return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + evil
			}
			return own(r)
		},
		"an answer in the body of 204": func(r *http.Request) string {
			if r.URL.Path == "/public" {
				return "HTTP/1.1 204 No Content\r\n\r\n" + evil
			}
			return own(r)
		},
		"chunks and half an answer": func(r *http.Request) string {
			id := r.Header.Get("X-Id")
			chunks := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(id), id)
			if r.URL.Path == "/public" {
				return chunks + evil[:20]
			}
			return chunks
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{config: before(bytesAgent(t, surplus))})
			var clients sync.WaitGroup
			var wrong atomic.Pointer[string]
			for k := range 24 {
				clients.Go(func() {
					target := []string{"/public", "/health"}[k%2]
					for i := range 100 {
						id := fmt.Sprintf("client %d, request %d", k, i)
						status, body := get(g.addr, target, id)
						if body != id && (k%2 == 1 || body != "") {
							text := fmt.Sprintf("%s of %s got %d %q", target, id, status, body)
							wrong.Store(&text)
							return
						}
					}
				})
			}
			clients.Wait()
			if text := wrong.Load(); text != nil {
				t.Error(*text)
			}
		})
	}
}

// get asks on a connection of its own; it is for many goroutines.
func get(address, target, id string) (status int, body string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err.Error()
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nX-Id: %s\r\nConnection: close\r\n\r\n", target, id)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// countingAgent counts connections; after each answer it sends what late gives,
// a while later.
func countingAgent(t *testing.T, answer func(*http.Request) string, late string) (address string, opened *atomic.Int64) {
	t.Helper()
	opened = new(atomic.Int64)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			for {
				_, _ = io.WriteString(conn, answer(r))
				if late != "" {
					time.Sleep(20 * time.Millisecond)
					_, _ = io.WriteString(conn, late)
				}
				if r, err = http.ReadRequest(buffered.Reader); err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().String(), opened
}

// Bytes that come between requests end the connection, and the next request
// goes out on another.
func TestBytesBetweenRequestsEndTheConnection(t *testing.T) {
	address, opened := countingAgent(t, own, evil)
	g := start(t, setup{config: before(address)})
	for i, method := range []string{"GET", "POST", "GET"} {
		id := fmt.Sprint("request ", i)
		got := g.do(method, "/x", strings.NewReader("body"), "Authorization", bearer(teacher(t)), "X-Id", id)
		if got.status != 200 || got.body != id {
			t.Errorf("%s: %d %q, want %q", method, got.status, got.body, id)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestConnectionsToAgentsAreKept(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for name, answer := range map[string]string{
		"a length":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"no body":         "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
		"chunks":          "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-T: v\r\n\r\n",
		"a large body":    "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + large,
		"a large chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + large + "\r\n0\r\n\r\n",
		"a large head":    "HTTP/1.1 200 OK\r\nX-Filler: " + large + "\r\nContent-Length: 2\r\n\r\nok",
		"interim answers": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			address, opened := countingAgent(t, func(*http.Request) string { return answer }, "")
			g := start(t, setup{config: before(address)})
			for range 20 {
				if got := g.do("POST", "/x", strings.NewReader("body"), "Authorization", bearer(teacher(t))); got.status >= 300 {
					t.Fatalf("%d %s", got.status, got.body)
				}
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("%d connections for 20 requests, want 1", n)
			}
		})
	}
}

// What could end in two places is no answer.
func TestUncertainAnswersAreRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"length and coding":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"two lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello",
		"another coding":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"a folded length":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n 0\r\n\r\nabc",
		"bare line feeds":         "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
		"no status":               "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
		"a flood of interim ones": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1000) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{config: before(bytesAgent(t, func(*http.Request) string { return answer }))})
			if got := g.do("GET", "/health", nil); got.status != http.StatusBadGateway || got.body != `{"detail":"Agent unavailable"}` {
				t.Errorf("%d %q", got.status, got.body)
			}
			if n := g.metric(`gatepost_upstream_errors_total{kind="protocol"}`); n != "1" {
				t.Errorf("upstream errors of kind protocol: %q, want 1", n)
			}
		})
	}
}

// FuzzReception holds that an answer ends here exactly where net/http ends it,
// in whatever pieces it comes.
func FuzzReception(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: v\r\n\r\nHTTP",
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 304 x\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nokk",
		"HTTP/1.1 200\r\nContent-Length : 2\r\ncontent-length:\t0\r\n\r\nok",
	} {
		f.Add(seed, false, 3)
		f.Add(seed, true, 1000)
	}
	f.Fuzz(func(t *testing.T, text string, head bool, piece int) {
		var whole, pieces reception
		whole.begin(head)
		pieces.begin(head)
		taken, err := whole.take([]byte(text))
		at := 0
		var failed error
		for size := max(1, piece); at < len(text) && failed == nil && !pieces.ended(); {
			var n int
			n, failed = pieces.take([]byte(text[at:min(len(text), at+size)]))
			at += n
		}
		if (err == nil) != (failed == nil) || whole.ended() != pieces.ended() || err == nil && at != taken {
			t.Fatalf("at once: %d %v, in pieces: %d %v", taken, err, at, failed)
		}
		if err != nil || !whole.ended() {
			return
		}
		if read, ok := netHTTPReads(text, head); ok && read != taken {
			t.Errorf("ends after %d bytes, for net/http after %d", taken, read)
		}
	})
}

// netHTTPReads is how many bytes net/http takes for one answer, if it takes it.
func netHTTPReads(text string, head bool) (n int, ok bool) {
	request := &http.Request{Method: http.MethodGet}
	if head {
		request.Method = http.MethodHead
	}
	source := strings.NewReader(text)
	in := bufio.NewReader(source)
	for {
		res, err := http.ReadResponse(in, request)
		if err != nil {
			return 0, false
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil {
			return 0, false
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return len(text) - source.Len() - in.Buffered(), true
		}
	}
}
