//go:build cluster

package controller_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// fault says which call of a controller fails, and when.
type fault struct {
	call string // as callOf names it; empty: none fails
	nth  int    // of that name since the link was armed; the first is 1
	late bool   // after the API server carried it out; before it got there otherwise
}

func (f fault) String() string {
	if f.call == "" {
		return "no fault"
	}
	if f.late {
		return fmt.Sprintf("%s, number %d, its answer lost", f.call, f.nth)
	}
	return fmt.Sprintf("%s, number %d, never sent", f.call, f.nth)
}

// link is the way of one controller to the API server. Once a fault has struck
// nothing more gets through, as if the controller had been killed in that moment.
type link struct {
	next http.RoundTripper

	mu     sync.Mutex
	armed  bool
	fault  fault
	dead   bool
	calls  []string // since it was armed
	struck string   // the call at which it died
	died   chan struct{}
	hold   func(*http.Request)                 // called before a request goes out; nil: nothing holds it up
	heard  func(*http.Request, *http.Response) // called before an answer comes in; nil: as it is
}

func newLink() *link { return &link{died: make(chan struct{})} }

// arm numbers calls from here on, of which one shall fail.
func (l *link) arm(f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.fault, l.calls = true, f, nil
}

// sent are the calls since it was armed.
func (l *link) sent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// lastWords is the call at which it died, if it did.
func (l *link) lastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.struck
}

// cut ends the link.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kill("")
}

// kill is cut with the lock held.
func (l *link) kill(at string) {
	if !l.dead {
		l.dead, l.struck = true, at
		close(l.died)
	}
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(request *http.Request) (*http.Response, error) {
	late, open := l.admit(request)
	if !open {
		return nil, errFault
	}
	if l.hold != nil {
		l.hold(request)
	}
	response, err := l.next.RoundTrip(request)
	if err == nil && l.heard != nil {
		l.heard(request, response)
	}
	if !late {
		return response, err
	}
	if err == nil {
		response.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kill(callOf(request))
	return nil, errFault
}

// admit counts the request and says whether it goes out, and whether its answer
// is lost.
func (l *link) admit(request *http.Request) (late, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false, false
	}
	if !l.armed || request.URL.Query().Get("watch") != "" {
		return false, true
	}
	call := callOf(request)
	l.calls = append(l.calls, call)
	if call == l.fault.call {
		l.fault.nth--
	}
	if call != l.fault.call || l.fault.nth != 0 {
		return false, true
	}
	if !l.fault.late {
		l.kill(call)
	}
	return l.fault.late, l.fault.late
}

// callOf names a request without what differs from one run to the next.
func callOf(request *http.Request) string {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	for i, part := range parts {
		if part == "namespaces" && len(parts) > i+2 {
			parts = parts[i+2:]
			break
		}
	}
	if len(parts) > 1 && parts[0] == "events" {
		parts = parts[:1]
	}
	return request.Method + " " + strings.Join(parts, "/")
}
