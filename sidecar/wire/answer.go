package wire

import (
	"bytes"
	"net/http"
	"strconv"
)

// answer follows the bytes of one answer of an agent, as net/http's client reads
// them, to know where it ends. The agent is read as leniently as net/http does:
// this is about the end, not about form.
type answer struct {
	phase phase
	bare  bool   // the request was a HEAD: the answer has no body
	head  []byte // of a head that came in pieces
	body  body
}

// phase says what the next byte of an answer is.
type phase uint8

const (
	answerHead  phase = iota // of a head, interim ones (1xx) included
	answerBody               // of a body whose end is known
	answerOpen               // of a body that ends with the connection, or of no HTTP
	answerEnded              // of nothing that was asked for
)

// take returns how many leading bytes of p belong to the answer.
func (a *answer) take(p []byte) int {
	n := 0
	for n < len(p) && a.phase != answerEnded {
		switch a.phase {
		case answerHead:
			n += a.takeHead(p[n:])
		case answerBody:
			taken, err := a.body.take(p[n:])
			n += taken
			if err != nil { // net/http may read on where we cannot
				a.phase = answerOpen
			}
		default:
			return len(p)
		}
		if a.phase == answerBody && a.body.done() {
			a.phase = answerEnded
		}
	}
	return n
}

// takeHead takes the bytes of a head, and decides at its end what follows.
func (a *answer) takeHead(p []byte) int {
	before := len(a.head)
	block := p
	if before > 0 {
		a.head = append(a.head, p...)
		block = a.head
	}
	end := lenientHeadEnd(block)
	if end == 0 {
		if before == 0 {
			a.head = append(a.head, p...)
		}
		return len(p)
	}
	a.phase, a.body = follows(block[:end], a.bare)
	a.head = a.head[:0]
	return end - before
}

// lenientHeadEnd is the length of the head that block begins with, 0 when it is
// not complete; a line may end without a carriage return.
func lenientHeadEnd(block []byte) int {
	for i := 0; ; {
		k := bytes.IndexByte(block[i:], '\n')
		if k < 0 {
			return 0
		}
		if line := block[i : i+k]; i > 0 && (len(line) == 0 || len(line) == 1 && line[0] == '\r') {
			return i + k + 1
		}
		i += k + 1
	}
}

// follows says what comes after this head: RFC 9112 section 6.3.
func follows(head []byte, bare bool) (phase, body) {
	line, rest, _ := bytes.Cut(head, newline)
	proto, status, _ := bytes.Cut(line, space)
	code, err := strconv.Atoi(string(status[:min(3, len(status))]))
	switch {
	case err != nil || !bytes.HasPrefix(proto, []byte("HTTP/1.")), code == http.StatusSwitchingProtocols:
		return answerOpen, body{}
	case code < http.StatusOK:
		return answerHead, body{}
	case bare, code == http.StatusNoContent, code == http.StatusNotModified:
		return answerEnded, body{}
	}
	var length int64 = -1
	for line := range bytes.SplitSeq(rest, newline) {
		name, value, _ := bytes.Cut(line, colon)
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "transfer-encoding") && !bytes.Equal(proto, []byte("HTTP/1.0")):
			return answerBody, body{chunked: true}
		case is(name, "content-length"):
			n, ok := digits(value)
			if !ok || length >= 0 && n != length {
				return answerOpen, body{} // net/http gives up
			}
			length = n
		}
	}
	switch {
	case length < 0:
		return answerOpen, body{}
	case length == 0:
		return answerEnded, body{}
	}
	return answerBody, body{left: length}
}
