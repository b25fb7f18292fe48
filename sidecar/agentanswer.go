package sidecar

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"strconv"

	"gatepost.dev/gatepost/sidecar/wire"
)

// errAnswer is an answer whose end is not certain: it is none.
var errAnswer = errors.New("reading from the agent: the answer is not framed as RFC 9112 section 6 says, or has too many interim answers")

// Bounds of an agent's answer; net/http bounds its head.
const (
	maxInterim = 16  // interim answers (1xx) before the final one
	maxKept    = 256 // bytes of a line that lies across two reads; longer lines do not frame
)

// reception follows one HTTP/1 answer to its end. Where it would not be certain
// of the end that net/http sees, it fails. The zero value has ended.
type reception struct {
	part    part
	head    bool  // it answers a HEAD
	http11  bool  // it is of HTTP/1.1, not 1.0
	status  int   // of the head that is read
	interim int   // interim answers so far
	length  int64 // Content-Length; -1: none
	chunked bool
	left    int64 // bytes left of the body or the chunk

	kept []byte // the beginning of a line whose end is not there yet
	long bool   // more than that was dropped
	last byte   // the last byte of what is kept or dropped
}

// part is what comes next.
type part uint8

const (
	atEnd part = iota
	atStatus
	atHeader
	atBody      // left bytes
	atRest      // whatever comes until the connection ends
	atChunkSize // a line
	atChunk     // left bytes
	atChunkEnd  // an empty line
	atTrailer   // lines up to an empty one
)

// begin prepares for the answer to a request.
func (a *reception) begin(head bool) { *a = reception{part: atStatus, head: head, kept: a.kept[:0]} }

// ended reports whether the whole answer was taken.
func (a *reception) ended() bool { return a.part == atEnd }

// bodiless reports whether the answer has no body whatever its headers say,
// RFC 9112 section 6.3. Faulty agents send one all the same.
func (a *reception) bodiless() bool {
	return a.head || a.status < http.StatusOK || a.status == http.StatusNoContent || a.status == http.StatusNotModified
}

// take returns how many leading bytes of p belong to the answer, all but when it
// ends among them.
func (a *reception) take(p []byte) (int, error) {
	n := 0
	for n < len(p) && a.part != atEnd {
		switch a.part {
		case atRest:
			return len(p), nil
		case atBody, atChunk:
			n += a.skip(len(p) - n)
		default:
			line, read, whole := a.line(p[n:])
			n += read
			if !whole {
				return n, nil
			}
			err := a.read(line)
			a.kept, a.long, a.last = a.kept[:0], false, 0
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// skip passes over at most n bytes of content.
func (a *reception) skip(n int) int {
	k := min(int64(n), a.left)
	a.left -= k
	switch {
	case a.left > 0:
	case a.part == atChunk:
		a.part = atChunkEnd
	default:
		a.part = atEnd
	}
	return int(k)
}

// line returns the next line with its carriage return, if it is whole, and how
// many bytes of p it takes.
func (a *reception) line(p []byte) (line []byte, n int, whole bool) {
	end := bytes.IndexByte(p, '\n')
	if end >= 0 && len(a.kept) == 0 { // as nearly always
		return p[:end], end + 1, true
	}
	piece := p
	if end >= 0 {
		piece = p[:end]
	}
	if len(piece) > 0 {
		a.last = piece[len(piece)-1]
	}
	room := min(len(piece), maxKept-len(a.kept))
	a.kept = append(a.kept, piece[:room]...)
	a.long = a.long || room < len(piece)
	if end < 0 {
		return nil, len(p), false
	}
	if a.long { // its end counts, though it is not kept
		a.kept[maxKept-1] = a.last
	}
	return a.kept, end + 1, true
}

// read understands one line.
func (a *reception) read(line []byte) error {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return errAnswer
	}
	line = line[:len(line)-1]
	switch a.part {
	case atStatus:
		return a.readStatus(line)
	case atHeader:
		if len(line) == 0 {
			return a.frame()
		}
		return a.readHeader(line)
	case atChunkSize:
		return a.readSize(line)
	case atChunkEnd:
		a.part = atChunkSize
		if len(line) > 0 {
			return errAnswer
		}
	case atTrailer:
		if len(line) == 0 {
			a.part = atEnd
		}
	default:
	}
	return nil
}

// readStatus understands a status line, RFC 9112 section 4.
func (a *reception) readStatus(line []byte) error {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	a.http11 = string(version) == "HTTP/1.1"
	status, ok := wire.Digits(code)
	if !a.http11 && string(version) != "HTTP/1.0" || !ok || len(code) != 3 || status < 100 {
		return errAnswer
	}
	a.status, a.length, a.chunked, a.part = int(status), -1, false, atHeader
	return nil
}

// readHeader notes the headers that frame the answer.
func (a *reception) readHeader(line []byte) error {
	if line[0] == ' ' || line[0] == '\t' {
		return errAnswer // a continued line
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	ok := true
	switch {
	case wire.Is(name, "transfer-encoding"):
		ok = a.readCoding(value) && !a.long
	case wire.Is(name, "content-length"):
		ok = a.readLength(value) && !a.long
	}
	if !ok {
		return errAnswer
	}
	return nil
}

func (a *reception) readCoding(value []byte) bool {
	first := !a.chunked
	a.chunked = true
	return first && a.http11 && wire.Is(value, "chunked")
}

func (a *reception) readLength(value []byte) bool {
	n, ok := wire.Digits(value)
	same := a.length < 0 || a.length == n
	a.length = n
	return ok && same
}

// frame decides, after a head, what follows it: RFC 9112 section 6.3.
func (a *reception) frame() error {
	switch {
	case a.chunked && a.length >= 0:
		return errAnswer
	case a.status == http.StatusSwitchingProtocols:
		a.part = atRest
	case a.status < http.StatusOK:
		a.part = atStatus
		if a.interim++; a.interim > maxInterim {
			return errAnswer
		}
	case a.bodiless(), a.length == 0:
		a.part = atEnd
	case a.chunked:
		a.part = atChunkSize
	case a.length > 0:
		a.part, a.left = atBody, a.length
	default:
		a.part = atRest
	}
	return nil
}

// readSize understands the line before a chunk, RFC 9112 section 7.1.
func (a *reception) readSize(line []byte) error {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	size, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t")), 16, 63)
	if err != nil || bytes.IndexByte(digits, '_') >= 0 || size > math.MaxInt64/2 {
		return errAnswer
	}
	a.part, a.left = atChunk, int64(size)
	if size == 0 {
		a.part = atTrailer
	}
	return nil
}
