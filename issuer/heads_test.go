package issuer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A head of many lines costs memory that no limit of bytes bounds.
func TestHeadsHaveFewLines(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for sentence, c := range map[string]struct {
		lines  int
		answer bool
	}{
		"a browser's":       {30, true},
		"as many as may be": {maxLines - 3, true},
		"too many":          {maxLines + 1, false},
		"without end":       {5000, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			conn := w.dial(t)
			reader := bufio.NewReader(conn)
			for range 3 { // each head of a connection has its own lines, and bodies do not count
				body := strings.Repeat("\n", 500)
				text := "POST /api/get-token HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", c.lines-1) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
				status, err := ask(conn, reader, text)
				if !c.answer {
					if err == nil && status != http.StatusBadRequest {
						t.Errorf("answered %d", status)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if status != http.StatusUnauthorized {
					t.Errorf("%d", status)
				}
			}
		})
	}
}

// Behind a POST, net/http passes over empty lines before the next head: they are not
// its end.
func TestEmptyLinesBeforeAHeadDoNotHideIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for sentence, c := range map[string]struct {
		empty  string
		lines  int
		answer bool
	}{
		"one, and a browser's head":   {"\r\n", 30, true},
		"two, and a browser's head":   {"\r\n\r\n", 30, true},
		"four, and a browser's head":  {"\n\n\n\n", 30, true},
		"one, and too many lines":     {"\r\n", 5000, false},
		"two, and too many lines":     {"\r\n\r\n", 5000, false},
		"four, and too many lines":    {"\n\n\n\n", 5000, false},
		"none, and too many lines":    {"", 5000, false},
		"blanks, and too many lines":  {"\n \n", 5000, false},
		"returns, and too many lines": {"\r\r\r\r", 5000, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			conn := w.dial(t)
			reader := bufio.NewReader(conn)
			if status, err := ask(conn, reader, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"); err != nil || status != http.StatusNotFound {
				t.Fatal(status, err)
			}
			head := c.empty + "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", c.lines) + "\r\n"
			switch status, err := ask(conn, reader, head); {
			case c.answer && status != http.StatusNotFound, !c.answer && err == nil && status != http.StatusBadRequest:
				t.Error(status, err)
			}
		})
	}
}

// dial connects to the issuer for as long as a test may take.
func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ask sends a request and returns the status that it is answered with.
func ask(conn net.Conn, reader *bufio.Reader, request string) (int, error) {
	_, _ = io.WriteString(conn, request) // it fails where the connection has ended
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// A body that says its length in two ways may be taken for two requests by what is in
// front of us: the connection ends with the first.
func TestNoRequestComesBehindChunks(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	for _, length := range []string{"", "Content-Length: 150\r\n"} {
		conn := w.dial(t)
		text := "POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n" + length +
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n"
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(conn); err != nil || strings.Count(string(all), "HTTP/1.1 ") != 1 || !strings.Contains(string(all), "Connection: close") {
			t.Errorf("%q: %v %s", length, err, all)
		}
	}
}

// However the bytes of a head are cut, its lines are counted alike.
func TestLinesAreCountedHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		head string
		ok   bool
	}{
		{"GET / HTTP/1.1\nHost: a\n\n" + strings.Repeat("a\n", 1000), true},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxLines), false},
		{"\r\n\r\nGET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxLines), false},
		{"\n\n\n\nGET / HTTP/1.1\n\n" + strings.Repeat("a\n", 1000), true},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\n", maxLines), false},
	} {
		for size := 1; size < 9; size++ {
			counter, ok := &lineCounter{}, true
			for rest := c.head; rest != "" && ok; rest = rest[min(size, len(rest)):] {
				ok = counter.over.Load() || counter.count([]byte(rest[:min(size, len(rest))]))
			}
			if ok != c.ok {
				t.Errorf("%.20q in pieces of %d: %v", c.head, size, ok)
			}
		}
	}
}
