package sidecar

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const webSocketKey = "dGhlIHNhbXBsZSBub25jZQ=="

// echo is an agent that takes WebSocket handshakes and sends back every byte;
// the frames themselves are no business of a proxy.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if !isWebSocket(r) {
		http.Error(w, "no handshake", http.StatusUpgradeRequired)
		return
	}
	hash := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nX-Auth-Seen: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(hash[:]), r.Header.Get("X-Auth-Subject"))
	_, _ = io.Copy(conn, buffered)
})

// handshake opens a WebSocket and returns the connection after the answer.
func (g *guarded) handshake(early string, header ...string) (net.Conn, *bufio.Reader, reply) {
	g.t.Helper()
	return g.handshakeOn("/ws", early, header...)
}

// handshakeOn opens one on a path.
func (g *guarded) handshakeOn(path, early string, header ...string) (net.Conn, *bufio.Reader, reply) {
	g.t.Helper()
	conn := g.dial()
	var b strings.Builder
	b.WriteString("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + webSocketKey + "\r\n")
	for i := 0; i < len(header); i += 2 {
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	_, _ = io.WriteString(conn, b.String()+"\r\n"+early)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	got := reply{status: res.StatusCode, header: res.Header}
	if got.status != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body)
		got.body = string(body)
	}
	return conn, in, got
}

func TestWebSocketEchoes(t *testing.T) {
	g := start(t, setup{agent: echo})
	conn, in, res := g.handshake("", "Authorization", bearer(teacher(t)))
	if res.status != http.StatusSwitchingProtocols || res.header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || res.header.Get("X-Auth-Seen") != "u-1" {
		t.Fatalf("%v", res)
	}
	frame := bytes.Repeat([]byte("\x82\x7e\x10\x00 some bytes \n\r\n\r\n with line ends \x00"), 5000)
	go func() { _, _ = conn.Write(frame) }()
	back := make([]byte, len(frame))
	if _, err := io.ReadFull(in, back); err != nil || !bytes.Equal(back, frame) {
		t.Fatalf("the echo differs: %v", err)
	}
	if n := g.metric(`gatepost_streams_active{kind="websocket"}`); n != "1" {
		t.Errorf("active WebSockets: %q, want 1", n)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after closing: %q %v", rest, err)
	}
	await(t, "the WebSocket's end is counted", func() bool { return g.metric(`gatepost_streams_active{kind="websocket"}`) == "0" })
}

func TestWebSocketBytesSentEarlyAreNotLost(t *testing.T) {
	g := start(t, setup{agent: echo})
	_, in, res := g.handshake("early bytes", "Authorization", bearer(teacher(t)))
	back := make([]byte, len("early bytes"))
	if _, err := io.ReadFull(in, back); res.status != http.StatusSwitchingProtocols || err != nil || string(back) != "early bytes" {
		t.Errorf("%d %q %v", res.status, back, err)
	}
}

func TestWebSocketHandshakesAreJudged(t *testing.T) {
	g := start(t, setup{agent: echo})
	auth := []string{"Authorization", bearer(teacher(t))}
	for name, c := range map[string]struct {
		header []string
		status int
		detail string
	}{
		"without a token":           {nil, 401, "Not authenticated"},
		"of an allowed origin":      {append(auth, "Origin", appOrigin), 101, ""},
		"of another origin":         {append(auth, "Origin", "https://evil.example"), 403, "Origin not allowed"},
		"of the opaque origin":      {append(auth, "Origin", "null"), 403, "Origin not allowed"},
		"of a program":              {auth, 101, ""},
		"of two origins":            {append(auth, "Origin", appOrigin, "Origin", "https://evil.example"), 403, "Origin not allowed"},
		"of another, without token": {[]string{"Origin", "https://evil.example"}, 403, "Origin not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, res := g.handshake("", c.header...)
			if res.status != c.status {
				t.Fatalf("status %d, want %d", res.status, c.status)
			}
			if c.status == 101 {
				return
			}
			if !strings.Contains(res.body, c.detail) || c.status == 403 && res.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %v", res.body, res.header)
			}
		})
	}
}

func TestWebSocketEndsWithTheAgent(t *testing.T) {
	g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbye")
			conn.Close()
		}
	})})
	_, in, res := g.handshake("", "Authorization", bearer(teacher(t)))
	if rest, err := io.ReadAll(in); res.status != http.StatusSwitchingProtocols || err != nil || string(rest) != "bye" {
		t.Errorf("%d %q %v", res.status, rest, err)
	}
}

func TestDrainCutsOffWebSockets(t *testing.T) {
	g := start(t, setup{agent: echo, config: func(c *Config) { c.DrainTimeout = 300 * time.Millisecond }})
	_, in, res := g.handshake("", "Authorization", bearer(teacher(t)))
	if res.status != http.StatusSwitchingProtocols {
		t.Fatal(res.status)
	}
	if err := g.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the WebSocket is still open")
	}
	if !strings.Contains(g.logs.String(), `"stream_end":"drain"`) {
		t.Errorf("the log does not say why the WebSocket ended:\n%s", g.logs)
	}
}

// One side may end its direction while the other goes on, and close frames pass
// as they are: the guard is no party to the WebSocket.
func TestWebSocketsEndAsTheirSidesSay(t *testing.T) {
	type side struct {
		conn *net.TCPConn
		in   io.Reader
	}
	ours, theirs := frame(8, "\x0f\xa1bye"), frame(8, "\x03\xf3") // 4001 and 1011
	for name, leaves := range map[string]func(client, agent side) (first, second side){
		"the client leaves first": func(client, agent side) (side, side) { return client, agent },
		"the agent leaves first":  func(client, agent side) (side, side) { return agent, client },
	} {
		t.Run(name, func(t *testing.T) {
			joined, done := make(chan side), make(chan struct{})
			g := start(t, setup{agent: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, buffered, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				tcp, _ := conn.(*net.TCPConn)
				joined <- side{tcp, buffered}
				<-done
			})})
			defer close(done)
			conn, in, res := g.handshake("", "Authorization", bearer(teacher(t)))
			if res.status != http.StatusSwitchingProtocols {
				t.Fatal(res.status)
			}
			tcp, _ := conn.(*net.TCPConn)
			first, second := leaves(side{tcp, in}, <-joined)
			_, _ = first.conn.Write(ours)
			if err := first.conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(second.in); err != nil || !bytes.Equal(got, ours) {
				t.Errorf("the other side got %q, %v, want %q and the end", got, err, ours)
			}
			_, _ = second.conn.Write(theirs) // its own direction is still open
			if err := second.conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(first.in); err != nil || !bytes.Equal(got, theirs) {
				t.Errorf("the first got back %q, %v, want %q and the end", got, err, theirs)
			}
		})
	}
}
