package attack

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// answered is one answer as it came.
type answered struct {
	status int
	header http.Header
	body   string
	close  bool
}

// exchange sends the bytes on a fresh connection and reads at most so many
// answers. Then nothing more may come: surplus is what did.
func exchange(t testing.TB, address string, sent []byte, most int) (answers []answered, surplus string) {
	t.Helper()
	return exchangeFrom(t, net.IPv4(127, 0, 0, 1), address, sent, most)
}

// exchangeFrom is exchange from a loopback address of the caller's choice.
func exchangeFrom(t testing.TB, from net.IP, address string, sent []byte, most int) (answers []answered, surplus string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(sent); err != nil {
		t.Log(err) // it may have been refused before its end
	}
	in := bufio.NewReader(conn)
	for len(answers) < most {
		got, err := readAnswer(in, bytes.HasPrefix(sent, []byte("HEAD ")))
		if err != nil {
			return answers, ""
		}
		if got.status < http.StatusOK && got.status != http.StatusSwitchingProtocols {
			continue // 100 Continue
		}
		answers = append(answers, got)
		if got.status == http.StatusSwitchingProtocols {
			return answers, ""
		}
		if got.close {
			break
		}
	}
	if !answers[len(answers)-1].close { // a whole answer has its length: only a second one could follow
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
	}
	rest, _ := io.ReadAll(in)
	return answers, string(rest)
}

func readAnswer(in *bufio.Reader, head bool) (answered, error) {
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	got := answered{status: res.StatusCode, header: res.Header, close: res.Close}
	if got.status != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return answered{}, err
		}
		got.body = string(body)
	}
	return got, nil
}
