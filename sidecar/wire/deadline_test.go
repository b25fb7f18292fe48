package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowly writes each text after its pause.
func slowly(conn net.Conn, steps ...any) {
	for i := 0; i < len(steps); i += 2 {
		pause, _ := steps[i].(time.Duration)
		text, _ := steps[i+1].(string)
		time.Sleep(pause)
		_, _ = io.WriteString(conn, text)
	}
}

// However little is left of the time to wait for a request: its head has its
// own from its first byte, no less and no more.
func TestAHeadHasItsOwnTimeFromItsFirstByte(t *testing.T) {
	const whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		steps []any
		after time.Duration // when a read ends
		late  bool          // with a timeout
	}{
		"a head at once":                        {[]any{900 * time.Millisecond, whole}, 900 * time.Millisecond, false},
		"nothing":                               {nil, time.Second, true},
		"half a head, the rest within its time": {[]any{900 * time.Millisecond, whole[:9], 9 * time.Second, whole[9:]}, 9900 * time.Millisecond, false},
		"half a head and nothing more":          {[]any{900 * time.Millisecond, whole[:9]}, 10900 * time.Millisecond, true},
		"byte after byte":                       {[]any{900 * time.Millisecond, "G", 5 * time.Second, "E", 4 * time.Second, "T"}, 10900 * time.Millisecond, true},
		"an empty line and nothing more":        {[]any{900 * time.Millisecond, "\r\n"}, time.Second, true},
		"an empty line that ends later":         {[]any{900 * time.Millisecond, "\r", time.Second, "\n"}, 1900 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				conn := NewConn(server, Config{})
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				var group sync.WaitGroup
				defer group.Wait()
				group.Go(func() { slowly(client, c.steps...) })
				defer server.Close() // before it is waited for
				began := time.Now()
				n, err := conn.Read(make([]byte, 4096))
				var late net.Error
				if took := time.Since(began); took != c.after || c.late != (errors.As(err, &late) && late.Timeout()) || c.late == (n == len(whole)) {
					t.Errorf("%d bytes, %v after %v, want late: %v after %v", n, err, took, c.late, c.after)
				}
			})
		})
	}
}

// A head's time holds nobody who wants to interrupt the read.
func TestABegunHeadIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		conn := NewConn(server, Config{})
		go slowly(client, time.Duration(0), "GET / HT")
		time.AfterFunc(time.Second, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		began := time.Now()
		_, err := conn.Read(make([]byte, 4096))
		var late net.Error
		if took := time.Since(began); took != time.Second || !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("%v after %v, want a timeout after a second", err, took)
		}
	})
}
