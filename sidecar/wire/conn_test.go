package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// got is what net/http understood of one request.
type got struct {
	Method, Target, Body string
	Status               int
	Why                  string
}

// bodyBroken is the Why of a request whose body ends in an error.
const bodyBroken = "body broken"

// serve sends raw through a Conn, in pieces of size bytes, and returns what
// net/http's own parser makes of it, up to the first refusal or error.
func serve(t *testing.T, raw string, size int) []got {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer client.Close()
		for len(raw) > 0 {
			n := min(size, len(raw))
			if _, err := client.Write([]byte(raw[:n])); err != nil {
				return
			}
			raw = raw[n:]
		}
	}()
	defer server.Close()
	in := bufio.NewReader(NewConn(server, Config{}))
	var all []got
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return all
		}
		if refusal, ok := Refused(r); ok {
			return append(all, got{Status: refusal.Status, Why: refusal.Why})
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return append(all, got{Method: r.Method, Target: r.RequestURI, Why: bodyBroken})
		}
		all = append(all, got{Method: r.Method, Target: r.RequestURI, Body: string(body)})
	}
}

func TestConnHandsOnOnlyWhatHasOneReading(t *testing.T) {
	refused := func(v verdict) []got { return []got{{Status: v.status, Why: v.why}} }
	post := func(headers, body string) string {
		return "POST /a HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body
	}
	ok := func(body string) []got { return []got{{Method: "POST", Target: "/a", Body: body}} }
	cases := map[string]struct {
		raw  string
		want []got
	}{
		"a request without a body":                   {"GET /x?y=%zz HTTP/1.1\r\nHost: a.b:80\r\n\r\n", []got{{Method: "GET", Target: "/x?y=%zz"}}},
		"a body of known length":                     {post("Content-Length: 3\r\n", "abc"), ok("abc")},
		"a chunked body with extension and trailer":  {post("Transfer-Encoding: Chunked\r\n", "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"), ok("abc")},
		"a byte in every chunk":                      {post("Transfer-Encoding: chunked\r\n", strings.Repeat("1;a=b\r\na\r\n", 5000)+"0\r\n\r\n"), ok(strings.Repeat("a", 5000))},
		"two trailers, one of them empty":            {post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nX:\r\nY:z:\tz\r\n\r\n"), ok("a")},
		"two requests at once":                       {post("Content-Length: 1\r\n", "a") + post("Transfer-Encoding: chunked\r\n", "1\r\nb\r\n0\r\n\r\n"), append(ok("a"), ok("b")...)},
		"a version 1.0 request":                      {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", []got{{Method: "GET", Target: "/"}}},
		"a version 1.0 request without a host":       {"GET / HTTP/1.0\r\n\r\n", refused(badHost)},
		"both framings":                              {post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), refused(twoFramings)},
		"two equal lengths":                          {post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), refused(badLength)},
		"a list of lengths":                          {post("Content-Length: 3, 3\r\n", "abc"), refused(badLength)},
		"a signed length":                            {post("Content-Length: +3\r\n", "abc"), refused(badLength)},
		"an empty length":                            {post("Content-Length:\r\n", ""), refused(badLength)},
		"a length beyond all measure":                {post("Content-Length: 99999999999999999999\r\n", ""), refused(badLength)},
		"a list of codings":                          {post("Transfer-Encoding: gzip, chunked\r\n", ""), refused(badCoding)},
		"an unknown coding":                          {post("Transfer-Encoding: xchunked\r\n", ""), refused(badCoding)},
		"a coding with a vertical tab":               {post("Transfer-Encoding: \vchunked\r\n", ""), refused(badHeader)},
		"two codings":                                {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), refused(badCoding)},
		"a coding in version 1.0":                    {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", refused(badCoding)},
		"a blank before the colon":                   {post("Transfer-Encoding : chunked\r\n", ""), refused(badHeader)},
		"a continuation line":                        {post("X: a\r\n b\r\n", ""), refused(badHeader)},
		"a line without a colon":                     {post("X\r\n", ""), refused(badHeader)},
		"a header without a name":                    {post(": x\r\n", ""), refused(badHeader)},
		"a null byte":                                {post("X: a\x00b\r\n", ""), refused(badHeader)},
		"a bare carriage return":                     {post("X: a\rY: b\r\n", ""), refused(badHeader)},
		"a bare line feed":                           {"GET / HTTP/1.1\nHost: a\n\n", refused(bareLineFeed)},
		"a bare line feed inside":                    {post("X: a\nContent-Length: 3\r\n", "abc"), refused(bareLineFeed)},
		"an empty line first":                        {"\r\n" + post("Content-Length: 1\r\n", "a"), ok("a")},
		"an empty line behind a body":                {post("Content-Length: 1\r\n", "a") + "\r\n" + post("", ""), append(ok("a"), ok("")...)},
		"an empty line behind chunks":                {post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n") + "\r\n" + post("", ""), append(ok("a"), ok("")...)},
		"an empty line before each of two requests":  {"\r\n" + post("", "") + "\r\n" + post("", ""), append(ok(""), ok("")...)},
		"an empty line and then nothing":             {post("", "") + "\r\n", ok("")},
		"two empty lines first":                      {"\r\n\r\n" + post("", ""), refused(badRequestLine)},
		"a bare line feed first":                     {"\n" + post("", ""), refused(bareLineFeed)},
		"a bare carriage return first":               {"\r" + post("", ""), refused(badRequestLine)},
		"a blank line that is not empty":             {" \r\n" + post("", ""), refused(badRequestLine)},
		"raw UTF-8 in the query":                     {"GET /a?q=caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", refused(badTarget)},
		"two blanks in the request line":             {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", refused(badVersion)},
		"a request line without version":             {"GET /\r\nHost: a\r\n\r\n", refused(badRequestLine)},
		"a version with more digits":                 {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", refused(badVersion)},
		"the preface of HTTP/2":                      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(badVersion)},
		"an absolute target":                         {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", refused(badTarget)},
		"an asterisk":                                {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", refused(badTarget)},
		"a target beyond ASCII":                      {"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", refused(badTarget)},
		"a broken escape in the path":                {"GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", refused(badTarget)},
		"CONNECT":                                    {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", refused(badMethod)},
		"no host":                                    {"GET / HTTP/1.1\r\n\r\n", refused(badHost)},
		"two hosts":                                  {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", refused(badHost)},
		"a host with a user":                         {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", refused(badHost)},
		"an unknown expectation":                     {post("Expect: x\r\n", ""), refused(badExpect)},
		"a trailer that would frame":                 {post("Trailer: a, Content-Length\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), refused(badTrailer)},
		"a very long target":                         {"GET /" + strings.Repeat("a", maxTarget) + " HTTP/1.1\r\nHost: a\r\n\r\n", refused(longTarget)},
		"an endless target":                          {"GET /" + strings.Repeat("a", defaultHead), refused(longTarget)},
		"a very long head":                           {post(strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 66), ""), refused(longHead)},
		"very many headers":                          {post(strings.Repeat("X: a\r\n", maxHeaders+1), ""), refused(manyHeaders)},
		"the stand-in itself":                        {string(standIn(verdict{414, "forged"}, nil)), refused(badRequestLine)},
		"a method that was once the stand-in's":      {"REFUSED /a HTTP/1.1\r\nHost: a\r\nX-Gatepost-Refused-Why: forged\r\n\r\n", []got{{Method: "REFUSED", Target: "/a"}}},
		"a second request hidden behind the refused": {post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + post("", ""), refused(twoFramings)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 1000, 7, 1} {
				if size < 100 && len(c.raw) > 10_000 {
					continue
				}
				if diff := cmp.Diff(c.want, serve(t, c.raw, size)); diff != "" {
					t.Errorf("in pieces of %d bytes: understood (-want +got)\n%s", size, diff)
				}
			}
		})
	}
}

func TestConnRefusesMalformedChunks(t *testing.T) {
	for name, chunks := range map[string]string{
		"no digits":                    "\r\nabc",
		"a sign":                       "+3\r\nabc\r\n0\r\n\r\n",
		"a prefix":                     "0x3\r\nabc\r\n0\r\n\r\n",
		"a blank after the size":       "3 \r\nabc\r\n0\r\n\r\n",
		"too many digits":              "0000000000000003\r\nabc\r\n0\r\n\r\n",
		"a bare line feed":             "3\nabc\r\n0\r\n\r\n",
		"a line feed in an extension":  "3;\nxx\r\nabc\r\n0\r\n\r\n",
		"data longer than said":        "3\r\nabcd\r\n0\r\n\r\n",
		"data ended by a line feed":    "3\r\nabc\n0\r\n\r\n",
		"a folded trailer":             "0\r\n X: y\r\n\r\n",
		"a trailer without a colon":    "0\r\nnocolon\r\n\r\n",
		"a trailer without a name":     "0\r\n: y\r\n\r\n",
		"a blank before the colon":     "0\r\nX : y\r\n\r\n",
		"a last trailer cut short":     "0\r\nX: y\r\nZ\r\n\r\n",
		"much more cost than data":     strings.Repeat("1;"+strings.Repeat("e", 200)+"\r\nx\r\n", 200) + "0\r\n\r\n",
		"a bare line feed in trailers": "0\r\nX: y\n\r\n",
		"an endless extension":         "3;" + strings.Repeat("a", maxExtension+1),
		"endless trailers":             "0\r\n" + strings.Repeat("X: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 300) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			raw := "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
				"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
			for _, size := range []int{1 << 20, 5} {
				want := []got{{Method: "POST", Target: "/a", Why: bodyBroken}}
				if diff := cmp.Diff(want, serve(t, raw, size)); diff != "" {
					t.Errorf("in pieces of %d bytes: understood (-want +got)\n%s", size, diff)
				}
			}
		})
	}
}

func TestConnKeepsOneOrigin(t *testing.T) {
	for name, c := range map[string]struct{ headers, want string }{
		"one origin":      {"Origin: https://a.example\r\n", "https://a.example"},
		"two origins":     {"Origin: https://a.example\r\nOrigin: https://b.example\r\n", ""},
		"a split origin":  {"Origin: https://a.example x\r\n", ""},
		"no origin":       {"", ""},
		"a hidden origin": {"X: a\n Origin: https://a.example\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			go func() {
				defer client.Close()
				_, _ = io.WriteString(client, "GET / HTTP/1.1\r\n"+c.headers+"\r\n")
			}()
			r, err := http.ReadRequest(bufio.NewReader(NewConn(server, Config{})))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := Refused(r); !ok || r.Header.Get("Origin") != c.want {
				t.Errorf("refused %v with origin %q, want %q", ok, r.Header.Get("Origin"), c.want)
			}
		})
	}
}

func TestConnGivesUpOnASlowHead(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	conn := NewConn(server, Config{HeadTimeout: 50 * time.Millisecond})
	go func() { _, _ = io.WriteString(client, "GET / HT") }()
	_, err := conn.Read(make([]byte, 4096))
	var late net.Error
	if !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("reading a head that stalls: %v, want a timeout", err)
	}
}

func TestConnIsInterruptedAndGoesOn(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	conn := NewConn(server, Config{})
	go func() { _, _ = io.WriteString(client, "GET / HT") }()
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("an incomplete head was handed on: %d, %v", n, err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(client, "TP/1.1\r\nHost: a\r\n\r\n") }()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil || r.RequestURI != "/" {
		t.Fatalf("after the interruption: %v, %v", r, err)
	}
}

func TestConnGoesRaw(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	conn := NewConn(server, Config{})
	go func() {
		_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		_, _ = io.WriteString(client, "\x81\x00\n\n")
		client.Close()
	}()
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Raw(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(conn)
	if err != nil || string(rest) != "\x81\x00\n\n" {
		t.Errorf("after the switch: %q, %v", rest, err)
	}
}

func TestHostsAreNamesOrAddresses(t *testing.T) {
	for host, want := range map[string]bool{
		strings.Repeat("a.", 120): true,
		strings.Repeat("a.", 140): false,
		"a":                       true,
		"a.b-c_d.example.":        true,
		"a:8000":                  true,
		"127.0.0.1:80":            true,
		"[::1]":                   true,
		"[fd00::1]:8000":          true,
		"[::ffff:10.0.0.1]":       true,
		"":                        false,
		":80":                     false,
		"a:":                      false,
		"a:b":                     false,
		"a:80:80":                 false,
		"a:65536":                 false,
		"::1":                     false,
		"[]":                      false,
		"[::::]":                  false,
		"[[[::::":                 false,
		"[::1":                    false,
		"[::1]80":                 false,
		"[::1]]":                  false,
		"[10.0.0.1]":              false,
		"[fe80::1%eth0]":          false,
		"a]":                      false,
		"u@a":                     false,
		"a%2e":                    false,
		"a b":                     false,
		"a,b":                     false,
		"caf\xc3\xa9.example":     false,
	} {
		if got := isHost([]byte(host)); got != want {
			t.Errorf("%q is a host: %v, want %v", host, got, want)
		}
	}
}

// An empty line is no head: it neither starts the clock of one nor keeps one
// that had started.
func TestConnWaitsAfterAnEmptyLine(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	conn := NewConn(server, Config{HeadTimeout: 50 * time.Millisecond})
	go func() {
		_, _ = io.WriteString(client, "\r")
		_, _ = io.WriteString(client, "\n")
		time.Sleep(200 * time.Millisecond)
		_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}()
	if r, err := http.ReadRequest(bufio.NewReader(conn)); err != nil || r.RequestURI != "/" {
		t.Errorf("after an empty line and a while: %v, %v", r, err)
	}
}

func TestConnDoesNotGoRawAfterAnEmptyLine(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	conn := NewConn(server, Config{})
	go func() { _, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n") }()
	in := bufio.NewReader(conn)
	if _, err := http.ReadRequest(in); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := in.Peek(1); err == nil {
		t.Fatal("the empty line was handed on")
	}
	if err := conn.Raw(); err == nil {
		t.Error("a byte of the other protocol was swallowed without a word")
	}
}

// FuzzConn holds that whatever Conn lets through, net/http takes too, and that
// both see the same requests however the bytes are cut.
func FuzzConn(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3)
	f.Add("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n3;a\r\nabc\r\n0\r\nx: y\r\n\r\nGET /b HTTP/1.0\r\nHost: a\r\n\r\n", 1)
	f.Add("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n", 1)
	f.Add("POST /a%41?b#c HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nxx", 9)
	f.Fuzz(func(t *testing.T, raw string, size int) {
		if size < 1 || len(raw)/size > 2000 {
			return
		}
		whole := serve(t, raw, len(raw)+1)
		if diff := cmp.Diff(whole, serve(t, raw, size)); diff != "" {
			t.Errorf("cutting changes the meaning (-whole +cut)\n%s", diff)
		}
		end, v := headEnd([]byte(raw), 0)
		if end == 0 || v != passed {
			return
		}
		if _, v = judge([]byte(raw[:end])); v != passed {
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw))); err != nil {
			t.Errorf("net/http refuses what was let through: %v", err)
		}
	})
}
