package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Nothing inside a body, and nothing after what was refused, may ever become a
// request at the agent.
func TestSuspiciousFramingEndsTheConnection(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	auth := "Authorization: " + bearer(teacher(t)) + "\r\n"
	hidden := "GET /hidden HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n"
	post := func(headers, body string) string {
		return "POST /x HTTP/1.1\r\nHost: a\r\nOrigin: " + appOrigin + "\r\n" + auth + headers + "\r\n" + body
	}
	smuggled := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	for name, raw := range map[string]string{
		"CL.TE":                      post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", smuggled),
		"TE.CL":                      post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", smuggled),
		"TE.TE":                      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", smuggled),
		"CL.CL":                      post("Content-Length: 0\r\nContent-Length: 4\r\n", hidden),
		"equal lengths":              post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"+hidden),
		"a list of lengths":          post("Content-Length: 4, 4\r\n", "abcd"+hidden),
		"a coding after a tab":       post("Transfer-Encoding:\tx, chunked\r\n", smuggled),
		"a coding before the colon":  post("Transfer-Encoding : chunked\r\n", smuggled),
		"a folded coding":            post("Transfer-Encoding:\r\n chunked\r\n", smuggled),
		"a bare line feed":           post("X: a\nTransfer-Encoding: chunked\r\n", smuggled),
		"a bare carriage return":     post("X: a\rTransfer-Encoding: chunked\r\n", smuggled),
		"a null byte":                post("X: a\x00\r\n", hidden),
		"two hosts":                  "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"an empty host":              "GET /x HTTP/1.1\r\nHost: \r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"no host, in HTTP 1.0":       "GET /x HTTP/1.0\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"a host of brackets":         "GET /x HTTP/1.1\r\nHost: [[[::::\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"an absolute target":         "GET http://b/x HTTP/1.1\r\nHost: a\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"an asterisk":                "OPTIONS * HTTP/1.1\r\nHost: a\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"a blank in the target":      "GET /x y HTTP/1.1\r\nHost: a\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"a version of another HTTP":  "GET /x HTTP/2.0\r\nHost: a\r\nOrigin: " + appOrigin + "\r\n" + auth + "\r\n" + hidden,
		"a chunk with a sign":        post("Transfer-Encoding: chunked\r\n", "+4\r\nabcd\r\n0\r\n\r\n"+hidden),
		"a chunk ended by line feed": post("Transfer-Encoding: chunked\r\n", "4\nabcd\n0\n\n"+hidden),
		"chunks of little but cost":  post("Transfer-Encoding: chunked\r\n", strings.Repeat("1;"+strings.Repeat("e", 200)+"\r\nx\r\n", 200)+"0\r\n\r\n"+hidden),
		"a trailer without a colon":  post("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nnocolon\r\n\r\n"+hidden),
		"a chunk longer than said":   post("Transfer-Encoding: chunked\r\n", "4\r\nabcdef\r\n0\r\n\r\n"+hidden),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			reply := g.raw(raw)
			if !strings.HasPrefix(reply, "HTTP/1.1 400 Bad Request\r\n") || strings.Count(reply, "HTTP/1.1 ") != 1 ||
				!strings.HasSuffix(reply, "\r\n\r\n"+`{"detail":"Invalid request"}`) || !strings.Contains(reply, "\r\nConnection: close\r\n") ||
				!strings.Contains(reply, "\r\nAccess-Control-Allow-Origin: "+appOrigin+"\r\n") {
				t.Errorf("answer:\n%s", reply)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the connection was closed after %v", took)
			}
			for _, r := range g.agent.requests() {
				if r.Target == "/hidden" {
					t.Fatal("the hidden request reached the agent")
				}
			}
		})
	}
}

func TestConnectIs405(t *testing.T) {
	g := start(t, setup{})
	reply := g.raw("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
	if !strings.HasPrefix(reply, "HTTP/1.1 405 ") || !strings.Contains(reply, "\r\nAllow: ") || !strings.HasSuffix(reply, `{"detail":"Method not allowed"}`) {
		t.Errorf("answer:\n%s", reply)
	}
}

// A client cannot dress its own request up as a refused one, to write into the
// log or to choose the status.
func TestNobodyForgesARefusal(t *testing.T) {
	g := start(t, setup{})
	forged := "X-Gatepost-Refused-Why: forged\r\nX-Gatepost-Refused-Status: 414\r\nConnection: close\r\n\r\n"
	for method, want := range map[string]string{
		"REFUSED":                              "HTTP/1.1 401 ",
		"GATEPOST-STAND-IN-FOR-A-REFUSED-HEAD": "HTTP/1.1 400 ",
	} {
		if reply := g.raw(method + " /a HTTP/1.1\r\nHost: a\r\n" + forged); !strings.HasPrefix(reply, want) {
			t.Errorf("%s: answer:\n%s", method, reply)
		}
	}
	if logs := g.logs.String(); strings.Contains(logs, "forged") {
		t.Errorf("the client wrote into the log:\n%s", logs)
	}
}

// What the agent gets is framed once more, in the one way there is.
func TestBodiesAreReframed(t *testing.T) {
	g := start(t, setup{})
	auth := "Authorization: " + bearer(teacher(t)) + "\r\n"
	for name, c := range map[string]struct {
		raw     string
		chunked bool
	}{
		"a length": {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + auth + "Connection: close\r\n\r\nabc", false},
		"chunks":   {"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n" + auth + "Connection: close\r\n\r\n1;x=y\r\na\r\n02\r\nbc\r\n0\r\n\r\n", true},
		"a GET":    {"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + auth + "Connection: close\r\n\r\nabc", false},
		"HTTP 1.0": {"POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n" + auth + "\r\nabc", false},
	} {
		t.Run(name, func(t *testing.T) {
			reply := g.raw(c.raw)
			if got := g.agent.last(t); !strings.Contains(reply, " 200 OK") || got.Body != "abc" || got.Chunked != c.chunked {
				t.Errorf("%.40q; the agent got %+v", reply, got)
			}
		})
	}
}

// Every request of a connection is judged alone, and a short body that nobody
// wanted does not cost the connection.
func TestKeptConnections(t *testing.T) {
	g := start(t, setup{})
	conn := g.dial()
	in := bufio.NewReader(conn)
	good := "Authorization: " + bearer(teacher(t)) + "\r\n"
	for i, c := range []struct {
		auth   string
		length int
		status int
	}{{good, 0, 200}, {"", 0, 401}, {good, 1000, 200}, {"", 200_000, 401}, {"Authorization: Bearer x\r\n", 3, 401}, {good, 300_000, 200}, {"", 0, 401}} {
		fmt.Fprintf(conn, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n%s", i, c.length, c.auth, strings.Repeat("x", c.length))
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != c.status || res.Close {
			t.Errorf("request %d: status %d, close %v, want %d on a kept connection", i, res.StatusCode, res.Close, c.status)
		}
	}
}

// A client that is still sending a large body gets to read why it need not.
func TestLargeUnwantedBodies(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	for name, head := range map[string]string{
		"of known length": "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n",
		"in chunks":       "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := g.dial()
			_, _ = io.WriteString(conn, head)
			sent := 0
			for range 600 { // the answer is not read before all of this is sent
				n, err := fmt.Fprintf(conn, "2000\r\n%s\r\n", strings.Repeat("x", 0x2000))
				if sent += n; err != nil {
					break
				}
			}
			reply, _ := io.ReadAll(conn)
			if !strings.HasPrefix(string(reply), "HTTP/1.1 401 ") || !strings.HasSuffix(string(reply), `{"detail":"Not authenticated"}`) {
				t.Errorf("after %d bytes sent, the answer read is %q", sent, reply)
			}
		})
	}
}

// The same holds when it was the head that was refused: what follows is thrown
// away in pieces large enough to keep up with the client.
func TestLargeBodiesAfterARefusedHead(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	conn := g.dial()
	_, _ = io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 40000000\r\n\r\n")
	if n, err := io.Copy(conn, strings.NewReader(strings.Repeat("x", 40_000_000))); err != nil { // nothing is read before all of this is sent
		t.Errorf("the connection broke after %d bytes: %v", n, err)
	}
	reply, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(reply), "HTTP/1.1 400 ") || !strings.HasSuffix(string(reply), `{"detail":"Invalid request"}`) {
		t.Errorf("the answer read is %q", reply)
	}
}

func TestRefusalComesBeforeTheBody(t *testing.T) {
	g := start(t, setup{})
	for name, headers := range map[string]string{
		"a body that is held back":  "Content-Length: 10\r\n",
		"a body that must be asked": "Content-Length: 10\r\nExpect: 100-continue\r\n",
		"chunks that are held back": "Transfer-Encoding: chunked\r\n",
		"a large body, to be asked": "Content-Length: 10000000\r\nExpect: 100-continue\r\n",
		"a large body, held back":   "Content-Length: 10000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := g.dial()
			_, _ = io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: a\r\n"+headers+"\r\n")
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d, want 401", res.StatusCode)
			}
		})
	}
}

func TestExpectContinueIsTheAgentsToGrant(t *testing.T) {
	g := start(t, setup{})
	conn := g.dial()
	fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\nAuthorization: %s\r\n\r\n", bearer(teacher(t)))
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = io.WriteString(conn, "abc")
	rest, _ := io.ReadAll(in)
	if !strings.Contains(string(rest), "HTTP/1.1 200 OK\r\n") || g.agent.last(t).Body != "abc" {
		t.Errorf("%s", rest)
	}
}

// RFC 9110 section 10.1.1: HTTP/1.0 knows no 100 Continue.
func TestExpectOfHTTP10IsIgnored(t *testing.T) {
	g := start(t, setup{})
	reply := g.raw("POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nAuthorization: " + bearer(teacher(t)) + "\r\n\r\nabc")
	if got := g.agent.last(t); !strings.HasPrefix(reply, "HTTP/1.0 200 OK\r\n") || got.Body != "abc" || got.Header.Get("Expect") != "" {
		t.Errorf("answer:\n%s\nthe agent got %+v", reply, got)
	}
}

func TestSlowHeadsAreCutOff(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	conn := g.dial()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX: ")
	began := time.Now()
	reply, _ := io.ReadAll(conn)
	if took := time.Since(began); took > 14*time.Second || len(reply) > 0 {
		t.Errorf("a head that stalls ended after %v with %q", took, reply)
	}
}
