package sidecar

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
)

// Everybody in the cluster's network reaches the admin port: who fills it must
// neither keep the kubelet and the controller out nor take the guard's memory.
func TestACrowdedAdminPortStillAnswers(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	var crowd []net.Conn
	for range adminport.MaxConnections + 150 {
		conn, err := net.Dial("tcp", g.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, conn)
	}
	for _, path := range []string{"/readyz", "/healthz", "/state?nonce=n1", "/metrics"} {
		if got := g.private(path); got.status != 200 || got.header.Get("Connection") == "keep-alive" {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	gone := 0
	for _, conn := range crowd[:150] { // the oldest
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			gone++
		}
	}
	if gone != 150 {
		t.Errorf("%d of the 150 oldest connections had to leave, want all", gone)
	}
}
