package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// tcp returns both ends of a TCP connection.
func tcp(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// refusedHead reads the stand-in of a refused head from conn.
func refusedHead(t *testing.T, conn net.Conn) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Refused(r); !ok {
		t.Fatalf("%s %s was not refused", r.Method, r.RequestURI)
	}
}

func TestConnDiscardsWhatFollowsARefusedHead(t *testing.T) {
	const sent = 3 << 20
	client, server := tcp(t)
	conn := NewConn(server, Config{})
	go func() {
		_, _ = io.WriteString(client, "GET /\r\n\r\n")
		_, _ = client.Write(make([]byte, sent))
		client.Close()
	}()
	refusedHead(t, conn)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the refused head: %d bytes, %v, want the end", n, err)
	}
	if conn.discarded > sent || conn.discarded < sent-4096 { // some came with the head
		t.Errorf("%d of %d bytes were discarded", conn.discarded, sent)
	}
}

func TestConnIsInterruptedWhileItDiscards(t *testing.T) {
	for name, flood := range map[string]bool{"a silent client": false, "a client that never stops": true} {
		t.Run(name, func(t *testing.T) {
			client, server := tcp(t)
			conn := NewConn(server, Config{})
			_, _ = io.WriteString(client, "GET /\r\n\r\n")
			refusedHead(t, conn)
			if flood {
				go func() {
					for {
						if _, err := client.Write(make([]byte, 1<<16)); err != nil {
							return
						}
					}
				}()
			}
			time.AfterFunc(50*time.Millisecond, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
			_, err := conn.Read(make([]byte, 1))
			var late net.Error
			if !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("interrupted: %v, want a timeout", err)
			}
			client.Close()
		})
	}
}
