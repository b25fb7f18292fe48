package sidecar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// expiring is testPolicy with a rule on streams, and without leeway.
func expiring(rule string) string {
	policy := strings.Replace(testPolicy, "algorithms: [HS256],", "algorithms: [HS256], clockSkew: 0s,", 1)
	return policy + "  streaming: {" + rule + "}\n"
}

// expiresIn mints a token that lives for between seconds-1 and seconds.
func expiresIn(t *testing.T, seconds int) (text string, at time.Time) {
	t.Helper()
	at = time.Now().Add(time.Duration(seconds) * time.Second).Truncate(time.Second)
	return mint(t, map[string]any{"role": "teacher", "exp": at.Unix()}), at
}

// ticking is an agent that goes on and on: every 50 ms a line, of the content
// type and for the time that the request names.
var ticking = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("X-Type"))
	if length := r.Header.Get("X-Length"); length != "" {
		w.Header().Set("Content-Length", length)
	}
	lasts, _ := time.ParseDuration(r.Header.Get("X-Lasts"))
	for end := time.Now().Add(lasts); time.Now().Before(end) && r.Context().Err() == nil; time.Sleep(50 * time.Millisecond) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
	}
	if r.Header.Get("X-Length") != "" {
		_, _ = io.WriteString(w, "the end")
	}
})

// tick asks a ticking agent and returns everything that comes, and when it ended.
func (g *guarded) tick(text, kind, lasts string) (reply string, ended time.Time) {
	g.t.Helper()
	reply = g.raw("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + text + "\r\nX-Stream: 1\r\nX-Type: " + kind + "\r\nX-Lasts: " + lasts + "\r\n\r\n")
	return reply, time.Now()
}

func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule, kind, counted string
		after               time.Duration // exp; negative: the agent ends it
		seconds             int           // until then
	}{
		"events, Continue":             {"onTokenExpiry: Continue", "text/event-stream", "sse", -1, 1},
		"events, nothing said":         {"grace: 1s", "text/event-stream", "sse", -1, 1},
		"events, Close":                {"onTokenExpiry: Close", "text/event-stream", "sse", 0, 2},
		"lines in chunks, Close":       {"onTokenExpiry: Close", "application/x-ndjson", "chunked", 0, 2},
		"events, CloseAfterGrace":      {"onTokenExpiry: CloseAfterGrace, grace: 1s", "text/event-stream", "sse", time.Second, 2},
		"events, Close within leeway":  {"onTokenExpiry: Close", "text/event-stream", "sse", 2 * time.Second, 1},
		"events, begun within leeway":  {"onTokenExpiry: Close", "text/event-stream", "sse", 2 * time.Second, 0},
		"events, of a token known":     {"onTokenExpiry: Close", "text/event-stream", "sse", 0, 2},
		"events, Close but for Audit":  {"onTokenExpiry: Close", "text/event-stream", "sse", -1, 1},
		"events, the grace is default": {"onTokenExpiry: CloseAfterGrace", "text/event-stream", "sse", -1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := expiring(c.rule)
			if strings.Contains(name, "leeway") {
				policy = strings.Replace(policy, "clockSkew: 0s", "clockSkew: 2s", 1)
			}
			if strings.Contains(name, "Audit") {
				policy = strings.Replace(policy, "spec:\n", "spec:\n  mode: Audit\n", 1)
			}
			g := start(t, setup{policy: policy, agent: ticking})
			text, expires := expiresIn(t, c.seconds)
			if strings.Contains(name, "known") {
				g.tick(text, "text/plain", "1ms")
			}
			reply, ended := g.tick(text, c.kind, "4s")
			whole := strings.HasSuffix(reply, "0\r\n\r\n")
			cause := "agent"
			if c.after >= 0 {
				cause = "token_expired"
				if early := expires.Add(c.after).Sub(ended); early > 0 || whole {
					t.Errorf("it ended %v early, with a closing chunk: %v", early, whole)
				}
			} else if !whole {
				t.Errorf("the stream was cut")
			}
			if !strings.Contains(reply, "data: 1") {
				t.Errorf("nothing came before the end:\n%s", reply)
			}
			outlived := map[string]string{"agent": "1", "token_expired": ""}[cause]
			await(t, "its end is counted", func() bool {
				return g.metric(`gatepost_streams_closed_total{cause="`+cause+`",kind="`+c.counted+`"}`) == "1" &&
					g.metric(`gatepost_stream_outlived_token_total{kind="`+c.counted+`"}`) == outlived &&
					strings.Contains(g.logs.String(), `"stream_end":"`+cause+`"`) && g.metric(`gatepost_upstream_errors_total{kind="truncated"}`) == ""
			})
		})
	}
}

// Answers whose length is known are no streams, and the connection of a short
// one is as good as before when its token has expired.
func TestOrdinaryAnswersOutliveTheirToken(t *testing.T) {
	t.Parallel()
	g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: ticking})
	text, expires := expiresIn(t, 1)
	conn := g.dial()
	for i := range 2 {
		fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nX-Length: 7\r\n\r\n", text)
		answer := make([]byte, 4096)
		n, err := io.ReadAtLeast(conn, answer, 1)
		if want := []string{"HTTP/1.1 200 ", "HTTP/1.1 401 "}[i]; err != nil || !strings.HasPrefix(string(answer[:n]), want) {
			t.Fatalf("request %d: %q %v, want %s", i, answer[:n], err, want)
		}
		time.Sleep(time.Until(expires.Add(1500 * time.Millisecond))) // beyond any deadline set for the first
	}
	text, expires = expiresIn(t, 1)
	length := 9*1000 + len("the end")
	reply := g.raw(fmt.Sprintf("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer %s\r\nX-Length: %d\r\nX-Lasts: 2s\r\n\r\n", text, length))
	if time.Now().Before(expires) || !strings.Contains(reply, "data: 1") {
		t.Errorf("the download did not outlast its token: %q", reply)
	}
	if n := g.metric(`gatepost_streams_closed_total{cause="token_expired",kind="chunked"}`); n != "" {
		t.Errorf("%s streams ended for their token", n)
	}
}

// A client that reads nothing cannot hold its stream open.
func TestStreamsEndThoughNobodyReads(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	block := bytes.Repeat([]byte("data: 0123456789\n\n"), 1<<12)
	g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := w.Write(block); err != nil {
				close(gone)
				return
			}
		}
	})})
	text, _ := expiresIn(t, 2)
	conn := g.dial()
	fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: a\r\nX-Stream: 1\r\nAuthorization: Bearer %s\r\n\r\n", text)
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the agent still sends")
	}
	await(t, "the end is counted", func() bool {
		return g.metric(`gatepost_streams_closed_total{cause="token_expired",kind="sse"}`) == "1"
	})
}

func TestEndedStreamsLeaveNothing(t *testing.T) {
	g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: ticking})
	g.do("GET", "/health", nil)
	before := runtime.NumGoroutine()
	text, _ := expiresIn(t, 2)
	ended := make(chan struct{})
	for range 50 {
		go func() {
			defer func() { ended <- struct{}{} }()
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: a\r\nX-Stream: 1\r\nX-Type: text/event-stream\r\nX-Lasts: 1m\r\nAuthorization: Bearer %s\r\n\r\n", text)
			_, _ = io.Copy(io.Discard, conn)
		}()
	}
	for range 50 {
		<-ended
	}
	await(t, "the ends are counted", func() bool {
		return g.metric(`gatepost_streams_closed_total{cause="token_expired",kind="sse"}`) == "50"
	})
	awaitGoroutines(t, before)
}

// frame is one frame of a server's.
func frame(opcode byte, payload string) []byte {
	head := []byte{0x80 | opcode, byte(len(payload))}
	switch {
	case len(payload) > 0xffff:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(payload)))
	case len(payload) > 125:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	}
	return append(head, payload...)
}

// talks is an agent that takes a WebSocket, sends some bytes and then holds on;
// what it gets goes to heard when the other side ends.
func talks(says []byte, heard chan<- string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = conn.Write(says)
		got, _ := io.ReadAll(buffered)
		heard <- string(got)
	})
}

func TestWebSocketsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	hello, long := frame(1, "hello"), frame(2, strings.Repeat("x", 70000))
	farewell := string(frame(8, "\x03\xf0Token has expired"))
	for name, c := range map[string]struct {
		says []byte
		end  string // what the client gets after that
	}{
		"before any frame":       {nil, farewell},
		"between frames":         {append(hello, long...), farewell},
		"within a frame":         {append(hello, long[:1000]...), ""},
		"within a frame's head":  {append(hello, long[:3]...), ""},
		"after the agent's last": {append(hello, frame(8, "\x03\xe8")...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan string, 1)
			g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: talks(c.says, heard)})
			text, expires := expiresIn(t, 2)
			conn, in, res := g.handshake("", "Authorization", bearer(text))
			if res.status != http.StatusSwitchingProtocols {
				t.Fatal(res.status)
			}
			_, _ = io.WriteString(conn, "before")
			got := make([]byte, len(c.says))
			if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, c.says) {
				t.Fatalf("of what the agent says: %v", err)
			}
			rest := make([]byte, len(c.end)+1)
			n, _ := io.ReadFull(in, rest)
			if string(rest[:n]) != c.end || time.Now().Before(expires) {
				t.Errorf("at the end %q, want %q; early: %v", rest[:n], c.end, time.Until(expires))
			}
			_, _ = io.WriteString(conn, "after") // may fail: nobody wants it
			if text := <-heard; text != "before" {
				t.Errorf("the agent got %q", text)
			}
			conn.Close()
			await(t, "its end is counted", func() bool {
				return g.metric(`gatepost_streams_closed_total{cause="token_expired",kind="websocket"}`) == "1" && g.metric(`gatepost_streams_active{kind="websocket"}`) == "0"
			})
		})
	}
}

// Frames are followed the same however they are cut into pieces.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(1, "a"), frame(8, "bye")...), uint8(1))
	f.Add(append(frame(2, strings.Repeat("x", 300)), 0x81), uint8(7))
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 'x'}, uint8(3))
	f.Add([]byte{0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var whole, pieces frames
		whole.follow(data)
		for rest := data; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			pieces.follow(rest[:n])
			rest = rest[n:]
		}
		if whole != pieces {
			t.Errorf("%+v in one, %+v in pieces", whole, pieces)
		}
		var again frames
		if again.follow(frame(2, string(data))); !again.between() {
			t.Errorf("not between frames after one: %+v", again)
		}
	})
}

// A client hears why its WebSocket ended though both sides are talking: the
// agent's frames stop before the farewell, and what the client still sends does
// not take it away.
func TestFarewellsAreHeard(t *testing.T) {
	t.Parallel()
	word := frame(1, "word")
	g := start(t, setup{policy: expiring("onTokenExpiry: Close"), agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		go func() { _, _ = io.Copy(io.Discard, buffered) }()
		for {
			if _, err := conn.Write(word); err != nil {
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	})})
	text, _ := expiresIn(t, 2)
	conn, in, res := g.handshake("", "Authorization", bearer(text))
	if res.status != http.StatusSwitchingProtocols {
		t.Fatal(res.status)
	}
	go func() {
		for block := make([]byte, 4096); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	var heard []byte
	for piece := make([]byte, 4096); ; {
		n, err := in.Read(piece)
		if heard = append(heard, piece[:n]...); err != nil {
			break
		}
	}
	farewell := frame(8, "\x03\xf0Token has expired")
	if words, ok := bytes.CutSuffix(heard, farewell); !ok || len(bytes.ReplaceAll(words, word, nil)) > 0 {
		t.Errorf("the last bytes were %q, want whole frames and %q", heard[max(0, len(heard)-60):], farewell)
	}
}

// After a farewell nothing of the agent's is written, and closing waits for the
// client.
func TestNothingFollowsAFarewell(t *testing.T) {
	ours, theirs := net.Pipe()
	heard := make(chan []byte)
	go func() {
		got, _ := io.ReadAll(theirs)
		heard <- got
	}()
	waited := false
	w := &response{goodbye: func() { waited = true }}
	taken := &hijackedConn{Conn: ours, response: w}
	taken.begun.Store(true)
	w.socket.Store(taken)
	word := frame(1, "word")
	if _, err := taken.Write(word); err != nil {
		t.Fatal(err)
	}
	w.farewell()
	if n, err := taken.Write(word); n != 0 || err == nil {
		t.Errorf("%d bytes written after the farewell, %v", n, err)
	}
	w.farewell() // a second changes nothing
	if err := taken.Close(); err != nil || !waited {
		t.Errorf("closed with %v, waited for the client: %v", err, waited)
	}
	if got, want := <-heard, append(word, frame(8, "\x03\xf0Token has expired")...); !bytes.Equal(got, want) {
		t.Errorf("the client heard %q, want %q", got, want)
	}
}
