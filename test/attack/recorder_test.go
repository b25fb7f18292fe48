package attack

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// recorder is an agent that keeps what it gets, byte for byte.
type recorder struct {
	listener net.Listener
	keep     bool // every byte, for searching

	mu      sync.Mutex
	bytes   bytes.Buffer
	whole   int                  // complete requests
	arrived map[string][]request // by X-Forwarded-For, in order of arrival
	wrong   []string             // what was no canonical request, and why
	open    sync.WaitGroup
}

// record starts one on a free port.
func record(t testing.TB, keep bool) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{listener: listener, keep: keep, arrived: map[string][]request{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.open.Go(func() { r.serve(conn) })
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return r
}

func (r *recorder) address() string { return r.listener.Addr().String() }

// serve reads requests until the connection ends.
func (r *recorder) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := make([]byte, 64<<10)
	var pending []byte
	continued := false
	for {
		n, err := conn.Read(in)
		pending = append(pending, in[:n]...)
		r.note(in[:n])
		for len(pending) > 0 {
			got, length, wrong := reader{canonical: true}.next(pending)
			if wrong != nil && !errors.Is(wrong, errShort) {
				r.complain(wrong, pending)
				return
			}
			if wrong != nil {
				if got.head && !continued && len(got.values("Expect")) > 0 {
					continued = true
					_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
				}
				break
			}
			continued = false
			pending = bytes.Clone(pending[length:])
			r.add(got)
			if !r.answer(conn, &got) {
				r.tunnel(conn)
				return
			}
		}
		if err != nil {
			if got, _, _ := (reader{canonical: true}).next(pending); got.head {
				r.add(got) // the beginning of a request
			}
			return
		}
	}
}

// answer answers a request; false means that what follows is no HTTP.
func (r *recorder) answer(conn net.Conn, got *request) bool {
	if upgrade := got.values("Upgrade"); len(upgrade) > 0 {
		key := strings.Join(got.values("Sec-WebSocket-Key"), "")
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+upgrade[0]+"\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
		return false
	}
	body := "ok"
	if got.method == "HEAD" {
		body = ""
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\r\n"+body)
	return true
}

// tunnel keeps the bytes that follow a switch of protocols.
func (r *recorder) tunnel(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		some, err := in.ReadByte()
		if err != nil {
			return
		}
		r.note([]byte{some})
	}
}

func (r *recorder) note(b []byte) {
	if !r.keep {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.bytes.Write(b)
}

func (r *recorder) add(got request) {
	peer := strings.Join(got.values("X-Forwarded-For"), ", ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.whole {
		r.whole++
	}
	r.arrived[peer] = append(r.arrived[peer], got)
}

func (r *recorder) complain(why error, pending []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf("%v: %.500q", why, pending))
}

// take returns what came from this peer, and forgets it.
func (r *recorder) take(peer string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.arrived[peer]
	delete(r.arrived, peer)
	return got
}

// has reports whether the text has ever arrived.
func (r *recorder) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.bytes.Bytes(), []byte(text))
}

// count is how many complete requests have arrived.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

// complaints is what was no request.
func (r *recorder) complaints() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.wrong...)
}
