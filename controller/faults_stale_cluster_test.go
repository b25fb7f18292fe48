//go:build cluster

package controller_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/controller"
)

// deafness keeps from a controller what the watch of a resource tells, from the
// moment on in which it begins, as if its cache had fallen behind.
type deafness struct {
	resource string
	begun    atomic.Bool
}

// heard is for link.heard.
func (d *deafness) heard(request *http.Request, response *http.Response) {
	if request.URL.Query().Get("watch") != "" && strings.HasSuffix(request.URL.Path, "/"+d.resource) {
		response.Body = &muffled{ReadCloser: response.Body, deaf: &d.begun, request: request, closed: make(chan struct{})}
	}
}

// muffled is the answer to a watch.
type muffled struct {
	io.ReadCloser
	deaf    *atomic.Bool
	request *http.Request
	once    sync.Once
	closed  chan struct{}
}

// Read implements io.Reader.
func (m *muffled) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if !m.deaf.Load() {
		return n, err
	}
	select {
	case <-m.closed:
	case <-m.request.Context().Done():
	}
	return 0, io.EOF
}

// Close implements io.Closer.
func (m *muffled) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.ReadCloser.Close()
}

// A controller that was paused goes on beside its successor, and its cache still
// shows an earlier edition of the SigningKey. It sees a state that remembers a
// wish to rotate other than the one it knows of: that one is old, not new.
func TestAnOldWishIsNotGrantedAgain(t *testing.T) {
	alone(t)
	s := stories()["rotation"]
	run := newLane(t, s)
	run.stop()
	behind, late := &deafness{resource: "signingkeys"}, newLink()
	late.heard = behind.heard
	end := runController(t, late, controller.Config{WatchNamespaces: []string{run.key.Namespace}})
	defer end()
	run.link = late
	start := stateOf(t, run.key).Generation
	run.play(t, s, fault{})
	once := stateOf(t, run.key).Generation

	behind.begun.Store(true)
	run.start(t)
	run.play(t, s, fault{})
	time.Sleep(3 * time.Second) // for what might come of it
	if twice := stateOf(t, run.key).Generation; twice-once != once-start {
		t.Errorf("one wish took the keys from generation %d to %d, the next one to %d", start, once, twice)
	}
	run.settle(t, "beside a controller that is behind", "", len(run.policies))
}
