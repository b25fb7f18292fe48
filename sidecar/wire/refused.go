package wire

import (
	"bytes"
	"net/http"
	"strconv"
)

// refusedMethod is the method of the request that stands in for a refused one.
// It is longer than maxMethod, so no client can send it: a Conn would refuse it
// and put a stand-in of its own in the place.
const refusedMethod = "GATEPOST-STAND-IN-FOR-A-REFUSED-HEAD"

// Headers of the stand-in request.
const (
	statusHeader = "X-Gatepost-Refused-Status"
	whyHeader    = "X-Gatepost-Refused-Why"
)

// Refusal says how a request that Conn did not let through is answered.
type Refusal struct {
	// Status is 400, 405, 414, 431 or 503.
	Status int
	// Why is a constant text for the log, in the words of RFC 9112.
	Why string
}

// Refused returns how r is answered when it stands in for a request that Conn
// refused; ok is false for every other request. It holds only for requests that
// were read from a Conn.
func Refused(r *http.Request) (refusal Refusal, ok bool) {
	if r.Method != refusedMethod {
		return Refusal{}, false
	}
	refusal = Refusal{Status: http.StatusBadRequest, Why: r.Header.Get(whyHeader)}
	switch status, _ := strconv.Atoi(r.Header.Get(statusHeader)); status {
	case http.StatusMethodNotAllowed, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge, http.StatusServiceUnavailable:
		refusal.Status = status
	}
	return refusal, true
}

// standIn writes the request that takes the refused one's place. It keeps one
// well-formed Origin, so that a page may read why it was refused.
func standIn(v verdict, refused []byte) []byte {
	var b bytes.Buffer
	b.WriteString(refusedMethod + " / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n")
	b.WriteString(statusHeader + ": " + strconv.Itoa(v.status) + "\r\n")
	b.WriteString(whyHeader + ": " + v.why + "\r\n")
	if origin := onlyOrigin(refused); origin != nil {
		b.WriteString("Origin: ")
		b.Write(origin)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// onlyOrigin returns the value of the only Origin header in a refused head, nil
// when there is none, more than one or a strange one.
func onlyOrigin(head []byte) []byte {
	var origin []byte
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, colon)
		if !Is(name, "origin") {
			continue
		}
		value = bytes.TrimSpace(value)
		if origin != nil || len(value) > 512 || !isVisible(value) {
			return nil
		}
		origin = value
	}
	return origin
}

// isVisible reports whether b is made of visible ASCII only.
func isVisible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}
