package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// ErrPipe is wrapped by the errors of requests that were under way, or asked
// for, when the pipe was gone: they say nothing about the server.
var ErrPipe = errors.New("the pipe to the remote caller is gone")

// Transport is an http.RoundTripper whose requests are made by Serve at the
// other end of a pipe. Request bodies are read whole first; answers are streamed.
type Transport struct {
	// Two locks: while a request waits to be written, answers are still read.
	writing sync.Mutex
	out     *json.Encoder

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]*answer
	broken  error // not nil: why the pipe cannot be used any more
}

// NewTransport returns a Transport that writes requests to out and reads
// answers from in until in ends.
func NewTransport(in io.Reader, out io.Writer) *Transport {
	t := &Transport{out: json.NewEncoder(out), waiting: map[uint64]*answer{}}
	go t.receive(in)
	return t
}

// RoundTrip makes the request at the other end. An error that comes from there
// is passed on as text.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := call{Method: r.Method, URL: r.URL.String(), Host: r.Host, Header: r.Header, Close: r.Close}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("reading the request body: %w", err)
		}
		c.Body = body
	}
	a, err := t.begin(r.Context(), c)
	if err != nil {
		return nil, err
	}
	head, err := a.next()
	if err != nil {
		a.stop()
		return nil, err
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", head.Status, http.StatusText(head.Status)),
		StatusCode: head.Status, Header: head.Header, Body: a, ContentLength: -1,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}, nil
}

func (t *Transport) begin(ctx context.Context, c call) (*answer, error) {
	a, err := t.expect(ctx)
	if err != nil {
		return nil, err
	}
	c.ID = a.id
	if err := t.write(c); err != nil {
		t.forget(a.id)
		return nil, fmt.Errorf("%w: sending a request: %w", ErrPipe, err)
	}
	return a, nil
}

// expect makes room for an answer.
func (t *Transport) expect(ctx context.Context) (*answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return nil, t.broken
	}
	t.next++
	a := &answer{ctx: ctx, transport: t, id: t.next, more: make(chan struct{}, 1)}
	t.waiting[a.id] = a
	return a, nil
}

// forget says whether the answer was still expected.
func (t *Transport) forget(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.waiting[id]
	delete(t.waiting, id)
	return ok
}

func (t *Transport) write(c call) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.out.Encode(c)
}

// cancel gives up a request.
func (t *Transport) cancel(id uint64) {
	if t.forget(id) {
		_ = t.write(call{ID: id, Cancel: true}) // a broken pipe ends all of them anyway
	}
}

func (t *Transport) receive(in io.Reader) {
	pieces := json.NewDecoder(in)
	for {
		var p piece
		if err := pieces.Decode(&p); err != nil {
			t.fail(fmt.Errorf("%w: %w", ErrPipe, err))
			return
		}
		t.mu.Lock()
		a := t.waiting[p.ID]
		if p.last() {
			delete(t.waiting, p.ID)
		}
		t.mu.Unlock()
		if a != nil {
			a.add(p)
		}
	}
}

func (t *Transport) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = err
	for id, a := range t.waiting {
		delete(t.waiting, id)
		a.fail(err)
	}
}

// answer is one answer as it arrives: the head by next, then the body by Read.
type answer struct {
	ctx       context.Context // of the request: the body is read after the call, as with net/http
	transport *Transport
	id        uint64
	more      chan struct{} // capacity one: something was added

	mu     sync.Mutex // guards what follows
	pieces []piece
	broken error

	data bytes.Reader // what Read has begun
}

func (a *answer) add(p piece) {
	a.mu.Lock()
	a.pieces = append(a.pieces, p)
	a.mu.Unlock()
	a.signal()
}

func (a *answer) fail(err error) {
	a.mu.Lock()
	a.broken = err
	a.mu.Unlock()
	a.signal()
}

func (a *answer) signal() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// next returns the next piece, io.EOF after the last.
func (a *answer) next() (piece, error) {
	for {
		if p, ok, err := a.take(); ok || err != nil {
			return p, err
		}
		select {
		case <-a.more:
		case <-a.ctx.Done():
			a.stop()
			return piece{}, a.ctx.Err()
		}
	}
}

func (a *answer) take() (piece, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pieces) == 0 {
		return piece{}, false, a.broken
	}
	p := a.pieces[0]
	if p.Error != "" {
		return piece{}, false, errors.New(p.Error)
	}
	if p.End {
		return piece{}, false, io.EOF
	}
	a.pieces = a.pieces[1:]
	return p, true, nil
}

// Read reads the body.
func (a *answer) Read(into []byte) (int, error) {
	for a.data.Len() == 0 {
		p, err := a.next()
		if err != nil {
			return 0, err
		}
		a.data.Reset(p.Data)
	}
	return a.data.Read(into)
}

// Close gives up what has not been read.
func (a *answer) Close() error {
	a.stop()
	return nil
}

func (a *answer) stop() { a.transport.cancel(a.id) }
