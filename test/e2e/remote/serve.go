package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// connectTimeout bounds how long a request waits for a connection: an address
// that nobody answers at is one of the things that are looked for.
const connectTimeout = 3 * time.Second

// Serve makes the requests that it reads from in and writes their answers to
// out, until in ends. It returns when all of them have ended.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &server{out: json.NewEncoder(out), running: map[uint64]context.CancelFunc{}, client: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			MaxIdleConnsPerHost: 64,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	calls := json.NewDecoder(in)
	for {
		var c call
		if err := calls.Decode(&c); err != nil {
			stop()
			s.all.Wait()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading a request: %w", err)
		}
		s.handle(ctx, c)
	}
}

type server struct {
	client *http.Client
	all    sync.WaitGroup

	// Two locks: while an answer waits to be written, requests are still read.
	writing sync.Mutex
	out     *json.Encoder

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

func (s *server) handle(ctx context.Context, c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Cancel {
		if cancel, ok := s.running[c.ID]; ok {
			cancel()
		}
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	s.running[c.ID] = cancel
	s.all.Go(func() {
		err := s.do(ctx, c)
		end := piece{ID: c.ID, End: err == nil}
		if err != nil {
			end.Error = err.Error()
		}
		s.send(end)
		s.mu.Lock()
		defer s.mu.Unlock()
		cancel()
		delete(s.running, c.ID)
	})
}

// do makes one request and sends its answer, but for the end.
func (s *server) do(ctx context.Context, c call) error {
	request, err := http.NewRequestWithContext(ctx, c.Method, c.URL, bytes.NewReader(c.Body))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	if c.Header != nil {
		request.Header = c.Header
	}
	request.Host, request.Close = c.Host, c.Close
	response, err := s.client.Do(request)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		return outer.Err // the client at the other end says the rest once more
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	s.send(piece{ID: c.ID, Status: response.StatusCode, Header: response.Header})
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			s.send(piece{ID: c.ID, Data: buffer[:n]})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// send writes one piece. When the pipe is gone so is whoever waits for it, and
// Serve learns of that by the end of its input.
func (s *server) send(p piece) {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.out.Encode(p)
}
