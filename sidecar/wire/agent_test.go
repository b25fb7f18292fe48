package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAnswerEndsWhereItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string // up to | is the answer
		bare  bool
	}{
		"a length":                      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc|", false},
		"no body":                       {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n|", false},
		"chunks":                        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n|", false},
		"both framings":                 {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n|", false},
		"an answer to HEAD":             {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n|", true},
		"204":                           {"HTTP/1.1 204 No Content\r\n\r\n|", false},
		"304":                           {"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n|", false},
		"interim answers":               {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na|", false},
		"bare line feeds":               {"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc|", false},
		"no length in HTTP/1.0, coding": {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nab|", false},
	} {
		t.Run(name, func(t *testing.T) {
			own := strings.TrimSuffix(c.bytes, "|")
			all := own + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
			for _, size := range []int{1, 7, len(all)} {
				a, taken := answer{bare: c.bare}, 0
				for rest := all; len(rest) > 0 && a.phase != answerEnded; {
					n := a.take([]byte(rest[:min(size, len(rest))]))
					taken, rest = taken+n, rest[n:]
				}
				if taken != len(own) || a.phase != answerEnded {
					t.Errorf("in pieces of %d bytes: ended %v after %q", size, a.phase == answerEnded, all[:taken])
				}
			}
		})
	}
}

func TestAnswersWithoutAnEndGoOn(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\n\r\nall of it",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00",
		"SSH-2.0-x\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\nmore",
	} {
		a := answer{}
		if n := a.take([]byte(text)); n != len(text) || a.phase != answerOpen {
			t.Errorf("%q: took %d bytes, phase %d", text, n, a.phase)
		}
	}
}

// FuzzAnswer holds that net/http's client reads exactly the bytes that are
// taken for one answer.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1", false)
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\nx", true)
	f.Fuzz(func(t *testing.T, text string, bare bool) {
		a := answer{bare: bare}
		taken := a.take([]byte(text))
		if a.phase != answerEnded {
			return
		}
		in := bufio.NewReader(strings.NewReader(text))
		request := &http.Request{Method: http.MethodGet}
		if bare {
			request.Method = http.MethodHead
		}
		for {
			res, err := http.ReadResponse(in, request)
			if err != nil {
				return // net/http gives up, and with it the connection
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err != nil {
				return
			}
			if res.StatusCode >= http.StatusOK || res.StatusCode == http.StatusSwitchingProtocols {
				break
			}
		}
		var rest bytes.Buffer
		_, _ = rest.ReadFrom(in)
		if read := len(text) - rest.Len(); read != taken {
			t.Errorf("net/http read %d bytes, %d were taken for the answer", read, taken)
		}
	})
}
