package agno_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// tap is a wire between browser and sidecar that records what the browser sends and
// changes nothing.
type tap struct {
	address string

	mu    sync.Mutex
	sent  []*bytes.Buffer // one per connection
	conns []net.Conn
}

// newTap opens a wire to the address.
func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tap{address: l.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			browser, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { w.join(browser, to) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		for _, conn := range w.conns {
			_ = conn.Close()
		}
		w.mu.Unlock()
		open.Wait()
	})
	return w
}

// join copies both ways until either side closes.
func (w *tap) join(browser net.Conn, to string) {
	defer func() { _ = browser.Close() }()
	sidecar, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = sidecar.Close() }()
	record := &bytes.Buffer{}
	w.mu.Lock()
	w.sent, w.conns = append(w.sent, record), append(w.conns, browser, sidecar)
	w.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(browser, sidecar)
		_ = browser.Close()
	})
	_, _ = io.Copy(io.MultiWriter(sidecar, locked{w, record}), browser)
	_ = sidecar.Close()
	back.Wait()
}

// locked writes into a record under its tap's lock.
type locked struct {
	w  *tap
	to *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.to.Write(p)
}

// requests are the heads of all requests sent so far.
func (w *tap) requests() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*http.Request
	for _, record := range w.sent {
		in := bufio.NewReader(bytes.NewReader(record.Bytes()))
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, r.Body)
			all = append(all, r)
		}
	}
	return all
}
