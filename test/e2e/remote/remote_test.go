package remote_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/e2e/remote"
)

// pair returns a client whose requests are made at the other end of two pipes,
// and a function that cuts the pipes.
func pair(t *testing.T) (*http.Client, func()) {
	t.Helper()
	requestsIn, requestsOut := io.Pipe()
	answersIn, answersOut := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := remote.Serve(t.Context(), requestsIn, answersOut)
		_ = answersOut.Close()
		served <- err
	}()
	t.Cleanup(func() {
		_ = requestsOut.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: remote.NewTransport(answersIn, requestsOut)}
	return client, func() { _ = requestsOut.Close() }
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.Do(request)
}

func TestARequestArrivesAsItWasMade(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", strings.Join(r.Header.Values("X-Two"), "+")+" "+r.Host)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	t.Cleanup(server.Close)
	client, _ := pair(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/a%2fb?x=%31", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"X-Two": {"1", "2"}}
	request.Host = "agent.example"
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(body), "POST /a%2fb?x=%31 hello"; got != want || response.StatusCode != http.StatusTeapot {
		t.Errorf("%d %q, want 418 %q", response.StatusCode, got, want)
	}
	if got, want := response.Header.Get("X-Seen"), "1+2 agent.example"; got != want {
		t.Errorf("X-Seen = %q, want %q", got, want)
	}
}

func TestAStreamComesPieceByPiece(t *testing.T) {
	next := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	client, _ := pair(t)
	response, err := get(t, client, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for n := range 3 { // the server does not go on before the line has been seen here
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", n) {
			t.Fatalf("line %d: %q, %v", n, lines.Text(), lines.Err())
		}
		next <- struct{}{}
	}
	if lines.Scan() {
		t.Errorf("more than was sent: %q", lines.Text())
	}
}

func TestGivingUpReachesTheServer(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	t.Cleanup(server.Close)
	client, _ := pair(t)
	response, err := get(t, client, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server still waits")
	}
}

func TestADeadlineEndsARequest(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	client, _ := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(request); !errors.Is(err, context.DeadlineExceeded) { //nolint:bodyclose // there is none
		t.Errorf("error %v, want a passed deadline", err)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	client, cut := pair(t)
	if _, err := get(t, client, closed.URL); err == nil || !strings.Contains(err.Error(), "connection refused") { //nolint:bodyclose // there is none
		t.Errorf("nobody listens: error %v", err)
	}
	cut()
	for range 100 { // the other end notices, and closes its side
		if _, err := get(t, client, closed.URL); errors.Is(err, remote.ErrPipe) { //nolint:bodyclose // there is none
			return
		}
	}
	t.Error("the pipe is gone and no error says so")
}

func TestManyAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	client, _ := pair(t)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			path := fmt.Sprintf("/%d", n)
			response, err := get(t, client, server.URL+path)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err != nil || string(body) != path {
				t.Errorf("%q, %v, want %q", body, err, path)
			}
		})
	}
	all.Wait()
}
