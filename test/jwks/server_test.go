package jwks_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

// keyServer is a key server that is good or in its bad state.
type keyServer struct {
	address string
	bad     http.HandlerFunc // nil: it does not even listen
	held    chan struct{}    // nothing is answered before it is closed

	mu       sync.Mutex
	good     bool
	set      []byte // of the good answer
	fetched  []time.Time
	listener *http.Server
}

// newServer is in its bad state.
func newServer(t *testing.T, held chan struct{}, bad http.HandlerFunc) *keyServer {
	t.Helper()
	s := &keyServer{address: live.FreeAddress(t), bad: bad, held: held}
	t.Cleanup(s.close)
	if bad != nil {
		s.open(t)
	}
	return s
}

func (s *keyServer) open(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.address)
	if err != nil {
		t.Error(err)
		return
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.mu.Lock()
	s.listener = server
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

func (s *keyServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.fetched = append(s.fetched, time.Now())
	s.mu.Unlock()
	select {
	case <-s.held:
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	good, set := s.good, s.set
	s.mu.Unlock()
	if good || r.URL.Path == "/moved" {
		_, _ = w.Write(set)
		return
	}
	s.bad(w, r)
}

// recover makes the server good with these keys.
func (s *keyServer) recover(t *testing.T, keys ...token.Key) {
	t.Helper()
	set := setOf(t, keys...)
	s.mu.Lock()
	s.good, s.set = true, set
	s.mu.Unlock()
	if s.bad == nil {
		s.open(t)
	}
}

// fail puts the server back into its bad state.
func (s *keyServer) fail() {
	s.mu.Lock()
	s.good = false
	s.mu.Unlock()
	if s.bad == nil {
		s.close()
	}
}

// fetches is how often the server was asked.
func (s *keyServer) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetched)
}

// mostWithin is the largest number of fetches in any span of this length.
func (s *keyServer) mostWithin(span time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 0
	for i := range s.fetched {
		last := i
		for last < len(s.fetched) && s.fetched[last].Sub(s.fetched[i]) < span {
			last++
		}
		most = max(most, last-i)
	}
	return most
}

func setOf(t *testing.T, keys ...token.Key) []byte {
	t.Helper()
	set, err := token.PublicJWKS(keys)
	if err != nil {
		t.Error(err)
	}
	return set
}

// badStates are what a key server does instead of answering well. The set is an
// attacker's: whoever believes a bad answer believes him.
func badStates(t *testing.T, set []byte, elsewhere string) map[string]http.HandlerFunc {
	t.Helper()
	return map[string]http.HandlerFunc{
		"down": nil,
		"slow": func(w http.ResponseWriter, r *http.Request) {
			for i := range set {
				_, _ = w.Write(set[i : i+1])
				_ = http.NewResponseController(w).Flush()
				if !pause(r.Context(), 300*time.Millisecond) {
					return
				}
			}
		},
		"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(set)
		},
		"garbage":           garbage(),
		"empty":             func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"200mb":             func(w http.ResponseWriter, _ *http.Request) { pour(w, set) },
		"gzip_bomb":         gzipBomb(set),
		"rotating":          rotating(t),
		"redirect_same":     http.RedirectHandler("/moved", http.StatusFound).ServeHTTP,
		"redirect_cross":    http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect).ServeHTTP,
		"redirect_metadata": http.RedirectHandler("http://169.254.169.254/jwks", http.StatusMovedPermanently).ServeHTTP,
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// garbage answers something else that is no key set each time.
func garbage() http.HandlerFunc {
	answers := []string{
		"<html><body>Bad Gateway</body></html>",
		`{"keys":[` + strings.Repeat("{},", 300_000) + `{}]}`,
		strings.Repeat("[", 1<<20),
		`{"keys":[` + strings.Repeat("0,", 500_000) + `0]}`,
		`{"keys":` + strings.Repeat(`{"keys":`, 10_000),
		"\x00\xff\xfe",
	}
	var count atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answers[int(count.Add(1)-1)%len(answers)])
	}
}

// rotating answers with a key of its own each time, which signs nothing.
func rotating(t *testing.T) http.HandlerFunc {
	t.Helper()
	sets := make([][]byte, 8)
	for i := range sets {
		sets[i] = setOf(t, generate(t, fmt.Sprint("turn-", i)))
	}
	var count atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sets[int(count.Add(1))%len(sets)]) }
}

// pour sends the set and then blanks, 200 MiB in all, without saying so before.
func pour(w http.ResponseWriter, set []byte) {
	_, _ = w.Write(set)
	blanks := bytes.Repeat([]byte(" "), 1<<20)
	for range 200 {
		if _, err := w.Write(blanks); err != nil {
			return
		}
	}
}

// gzipBomb is the set and a gibibyte of blanks, in about a mebibyte.
func gzipBomb(set []byte) http.HandlerFunc {
	packed := bytes.NewBuffer(zipped(set))
	blanks := zipped(bytes.Repeat([]byte(" "), 1<<20))
	for range 1024 {
		packed.Write(blanks) // gzip members one after another are one text
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

func zipped(data []byte) []byte {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(data)
	_ = zip.Close()
	return packed.Bytes()
}
