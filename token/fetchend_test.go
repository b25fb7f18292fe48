package token_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/token"
)

// stallingServer accepts connections, says one thing on each and then nothing
// more, until the client closes them. It counts those that are open.
func stallingServer(t *testing.T, says string) (address string, accepted, open *atomic.Int64) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	accepted, open = new(atomic.Int64), new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 4<<10)) // whoever answers unasked is not listened to
				_, _ = io.WriteString(conn, says)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listener.Addr().String(), accepted, open
}

// descriptors is how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("SKIPPED: open files cannot be counted here: %v", err)
	}
	return len(entries)
}

// TestFetchesLeaveNothing is D5: when a fetch has ended, so have its connections,
// wherever the server let it wait, although the feed lives on.
func TestFetchesLeaveNothing(t *testing.T) {
	const fetches = 12
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct{ scheme, says string }{
		"no answer to the client's hello": {"https://", ""},
		"half a TLS record":               {"https://", "\x16\x03\x03\x40\x00\x02"},
		"no head":                         {"http://", ""},
		"half a head":                     {"http://", head},
		"half a body":                     {"http://", head + "Content-Length: 1000\r\n\r\n{"},
		"half a body of a redirect":       {"http://", "HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 1000\r\n\r\n{"},
	} {
		t.Run(name, func(t *testing.T) {
			address, accepted, open := stallingServer(t, tc.says)
			goroutines, files := runtime.NumGoroutine(), descriptors(t)
			if got := token.FetchTimes(t.Context(), tc.scheme+address+"/jwks", fetches, 50*time.Millisecond); got != token.FetchFailed {
				t.Errorf("result = %q", got)
			}
			if accepted.Load() == 0 {
				t.Fatal("nobody connected: this test proves nothing")
			}
			deadline := time.Now().Add(5 * time.Second)
			for open.Load() > 0 || runtime.NumGoroutine() > goroutines || descriptors(t) > files {
				if time.Now().After(deadline) {
					t.Fatalf("5s after %d fetches: %d connections are open, goroutines %d -> %d, files %d -> %d", fetches,
						open.Load(), goroutines, runtime.NumGoroutine(), files, descriptors(t))
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// TestFetchReadsLittle is D5: what a server may send counts on the wire, so that
// a short text in a long form is refused as well.
func TestFetchReadsLittle(t *testing.T) {
	document, err := token.PublicJWKS([]token.Key{generate(t, "ES256", "k1")})
	must(t, err)
	inChunks := func(size int) string {
		var wire strings.Builder
		wire.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for text := string(document) + strings.Repeat(" ", 600_000); text != ""; {
			chunk := text[:min(size, len(text))]
			text = text[len(chunk):]
			fmt.Fprintf(&wire, "%x\r\n%s\r\n", len(chunk), chunk)
		}
		return wire.String() + "0\r\n\r\n"
	}
	for name, tc := range map[string]struct {
		says string
		want token.FetchResult
	}{
		"chunks of a KiB":           {inChunks(1 << 10), token.FetchOK},
		"chunks of a byte":          {inChunks(1), token.FetchTooLarge},
		"a flood of interim heads":  {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 100_000), token.FetchFailed},
		"a trailer that never ends": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 1_000_000), token.FetchFailed},
	} {
		t.Run(name, func(t *testing.T) {
			address, _, _ := stallingServer(t, tc.says)
			if got := token.FetchTimes(t.Context(), "http://"+address+"/jwks", 1, 4*time.Second); got != tc.want {
				t.Errorf("result = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestFetchSpeaksHTTP1: key servers are asked over HTTP/1.1, whatever else they
// speak, and a mebibyte fits over TLS too.
func TestFetchSpeaksHTTP1(t *testing.T) {
	document, err := token.PublicJWKS([]token.Key{generate(t, "ES256", "k1")})
	must(t, err)
	var proto atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		_, _ = io.WriteString(w, string(document)+strings.Repeat(" ", 1<<20-len(document)))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if got := fetchOnce(t, token.WithRoots(token.RemotesConfig{}, roots), insecure(server.URL)); got.Result != token.FetchOK {
		t.Errorf("result = %q (%v)", got.Result, got.Err)
	}
	wantEqual(t, "protocol", proto.Load(), "HTTP/1.1")
}
