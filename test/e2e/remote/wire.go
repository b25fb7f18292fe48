// Package remote makes HTTP requests from somewhere else: from another pod, or
// from a node. A Transport is an http.RoundTripper at this end of a pipe; Serve
// makes the requests at the other end, usually in a container that kubectl exec
// has joined:
//
//	transport := remote.NewTransport(stdoutOfKubectl, stdinOfKubectl)
//	client := &http.Client{Transport: transport}
//
// So tests are written against net/http, need no route into the cluster, and
// what they see is what a client at that place sees. Requests share the pipe as
// JSON lines, answers come back piece by piece as they arrive, and cancelling a
// request cancels it over there.
package remote

import "net/http"

// call is one line of the requests: begin a request, or cancel the one of that id.
type call struct {
	ID     uint64      `json:"id"`
	Cancel bool        `json:"cancel,omitempty"`
	Method string      `json:"method,omitempty"`
	URL    string      `json:"url,omitempty"`
	Host   string      `json:"host,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
	Close  bool        `json:"close,omitempty"` // the connection, after this request
}

// piece is one line of the answers: a head, then data, then the end. An error
// ends the answer wherever it is.
type piece struct {
	ID     uint64      `json:"id"`
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Data   []byte      `json:"data,omitempty"`
	End    bool        `json:"end,omitempty"`
	Error  string      `json:"error,omitempty"`
}

func (p piece) last() bool { return p.End || p.Error != "" }
