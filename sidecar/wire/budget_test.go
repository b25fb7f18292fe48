package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// largeHead is a head of 12 KiB without its end.
var largeHead = "GET /a HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 12<<10)

// begin sends text to a Conn, which waits for more, and returns what its reader
// came to once more is sent or the client is gone.
func begin(t *testing.T, config Config, text string) (client net.Conn, conn *Conn, outcome <-chan got) {
	t.Helper()
	client, server := tcp(t)
	conn = NewConn(server, config)
	result := make(chan got, 1)
	go func() {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		switch refusal, ok := Refused(orEmpty(r)); {
		case err != nil:
			result <- got{Why: "failed"}
		case ok:
			result <- got{Status: refusal.Status, Why: refusal.Why}
		default:
			result <- got{Method: r.Method, Target: r.RequestURI}
		}
	}()
	_, _ = io.WriteString(client, text)
	return client, conn, result
}

func orEmpty(r *http.Request) *http.Request {
	if r == nil {
		return &http.Request{}
	}
	return r
}

// booked waits until so many bytes of the budget are taken.
func booked(t *testing.T, b *Budget, from, to int64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		used := b.Used()
		if from <= used && used <= to {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are booked, want %d to %d", used, from, to)
		}
	}
}

func TestConnsShareWhatTheyHoldOfHeads(t *testing.T) {
	budget := NewBudget(16 << 10)
	config := Config{Heads: budget}
	first, _, firstOutcome := begin(t, config, largeHead)
	booked(t, budget, 8<<10, 16<<10)

	_, _, outcome := begin(t, config, largeHead)
	if o := <-outcome; o.Status != noSpace.status || o.Why != noSpace.why {
		t.Errorf("a large head while another is held: %+v, want 503", o)
	}
	_, _, outcome = begin(t, config, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
	if o := <-outcome; o.Target != "/small" {
		t.Errorf("an ordinary head while a large one is held: %+v", o)
	}

	_, _ = io.WriteString(first, "\r\n\r\n")
	if o := <-firstOutcome; o.Target != "/a" {
		t.Errorf("the large head that was held: %+v", o)
	}
	booked(t, budget, 0, 0)
	_, _, outcome = begin(t, config, largeHead+"\r\n\r\n")
	if o := <-outcome; o.Target != "/a" {
		t.Errorf("a large head after that: %+v", o)
	}
	booked(t, budget, 0, 0)
}

func TestConnGivesBackWhatItHeld(t *testing.T) {
	for name, end := range map[string]func(client net.Conn, conn *Conn){
		"closed by the client and then by us": func(client net.Conn, conn *Conn) { client.Close(); conn.Close() },
		"closed by us":                        func(_ net.Conn, conn *Conn) { conn.Close() },
		"closed by us twice":                  func(_ net.Conn, conn *Conn) { conn.Close(); conn.Close() },
		"refused in the end":                  func(client net.Conn, _ *Conn) { _, _ = io.WriteString(client, "\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			budget := NewBudget(1 << 20)
			client, conn, outcome := begin(t, Config{Heads: budget}, largeHead)
			booked(t, budget, 8<<10, 12<<10)
			end(client, conn)
			<-outcome
			booked(t, budget, 0, 0)
		})
	}
}

// Nothing that is read beyond a body may be lost, however small the budget.
func TestConnRefusesWhatItHadNoRoomFor(t *testing.T) {
	client, server := tcp(t)
	conn := NewConn(server, Config{Heads: NewBudget(0)})
	behind := "GET /b HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", 9000) + "\r\n\r\n"
	go func() {
		_, _ = io.WriteString(client, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(client, "1\r\na\r\n0\r\n\r\n"+behind)
	}()
	in := bufio.NewReaderSize(conn, 32<<10)
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r.Body); string(text) != "a" || err != nil {
		t.Fatalf("the first body: %q, %v", text, err)
	}
	r, err = http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if refusal, _ := Refused(r); refusal.Status != http.StatusServiceUnavailable {
		t.Errorf("the head behind it came to %s %s, %+v, want 503", r.Method, r.RequestURI, refusal)
	}
}

func TestBudget(t *testing.T) {
	var zero Budget
	if zero.Take(1) || !zero.Take(0) {
		t.Error("the zero Budget gives something, or refuses nothing at all")
	}
	var unbounded *Budget
	if !unbounded.Take(1 << 60) {
		t.Error("a nil Budget has a bound")
	}
	b := NewBudget(10)
	if !b.Take(6) || b.Take(5) || !b.Take(4) || b.Used() != 10 {
		t.Errorf("of 10 bytes, %d are taken", b.Used())
	}
	if b.Give(10); b.Used() != 0 {
		t.Errorf("of 10 bytes given back, %d are left", b.Used())
	}
}
