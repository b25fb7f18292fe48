package wire

import (
	"bytes"
	"net/http"
)

// Bounds of a request head that do not come from a policy.
const (
	maxTarget  = 32 << 10 // bytes of a request target; beyond it 414
	maxHeaders = 512      // header lines of one request; beyond it 431
	maxMethod  = 32       // bytes of a method
	maxHost    = 262      // bytes of a host name and its port
	maxDigits  = 18       // digits of a Content-Length, so that it fits an int64
)

// verdict is what judging a head came to; the zero verdict lets it pass.
type verdict struct {
	status int    // HTTP status of the refusal
	why    string // one of a few constants, for the log
}

// The refusals of a head.
var (
	passed         = verdict{}
	badRequestLine = verdict{http.StatusBadRequest, "request line is not three parts between single blanks"}
	badVersion     = verdict{http.StatusBadRequest, "version is not HTTP/1.1 or HTTP/1.0"}
	badTarget      = verdict{http.StatusBadRequest, "target is not an origin-form path with whole escapes"}
	badMethod      = verdict{http.StatusMethodNotAllowed, "CONNECT is never forwarded"}
	longTarget     = verdict{http.StatusRequestURITooLong, "target is too long"}
	badHeader      = verdict{http.StatusBadRequest, "header line is malformed"}
	badHost        = verdict{http.StatusBadRequest, "host is missing, repeated or malformed"}
	badLength      = verdict{http.StatusBadRequest, "content-length is repeated or not a number"}
	badCoding      = verdict{http.StatusBadRequest, "transfer-encoding is repeated, not exactly chunked or not of HTTP/1.1"}
	twoFramings    = verdict{http.StatusBadRequest, "content-length beside transfer-encoding"}
	badExpect      = verdict{http.StatusBadRequest, "expect is not 100-continue"}
	badTrailer     = verdict{http.StatusBadRequest, "trailer names a framing header"}
	bareLineFeed   = verdict{http.StatusBadRequest, "line ends without carriage return"}
	manyHeaders    = verdict{http.StatusRequestHeaderFieldsTooLarge, "too many headers"}
	noSpace        = verdict{http.StatusServiceUnavailable, "too many large heads at once"}
	longHead       = verdict{http.StatusRequestHeaderFieldsTooLarge, "head is too long"}
)

// head is what the framing of one request depends on.
type head struct {
	http11  bool  // the request is HTTP/1.1, not 1.0
	hosts   int   // Host headers seen
	lengths int   // Content-Length headers seen
	length  int64 // the value of the last Content-Length
	codings int   // Transfer-Encoding headers seen
}

// judge reads one complete request head, from the request line through the
// empty line, and returns how its body is framed. A verdict other than passed
// means that the head could be read in two ways, or is larger than we take.
func judge(block []byte) (body, verdict) {
	line, rest, _ := bytes.Cut(block, crlf)
	var h head
	if v := h.requestLine(line); v != passed {
		return body{}, v
	}
	for count := 0; ; count++ {
		line, rest, _ = bytes.Cut(rest, crlf)
		if len(line) == 0 {
			return h.framing()
		}
		if count >= maxHeaders {
			return body{}, manyHeaders
		}
		if v := h.header(line); v != passed {
			return body{}, v
		}
	}
}

// requestLine checks RFC 9112 section 3: three parts with single blanks
// between, a token, a target in origin form, and a version we speak.
func (h *head) requestLine(line []byte) verdict {
	method, rest, ok := bytes.Cut(line, space)
	target, version, ok2 := bytes.Cut(rest, space)
	if !ok || !ok2 || len(method) > maxMethod || !IsToken(method) {
		return badRequestLine
	}
	switch string(version) {
	case "HTTP/1.1":
		h.http11 = true
	case "HTTP/1.0":
	default:
		return badVersion
	}
	switch {
	case string(method) == http.MethodConnect:
		return badMethod
	case len(target) > maxTarget:
		return longTarget
	case !isTarget(target):
		return badTarget
	}
	return passed
}

// header checks one header line, RFC 9112 section 5, and notes the headers that
// frame the body. Continuation lines and blanks before the colon are refused.
func (h *head) header(line []byte) verdict {
	name, value, ok := bytes.Cut(line, colon)
	if !ok || !IsToken(name) || !isFieldValue(value) {
		return badHeader
	}
	switch len(name) { // most headers are none of these
	case len("host"), len("expect"), len("trailer"), len("content-length"), len("transfer-encoding"):
		return h.special(name, bytes.Trim(value, " \t"))
	}
	return passed
}

// special notes or checks the headers whose meaning decides how the request is
// framed.
func (h *head) special(name, value []byte) verdict {
	switch {
	case Is(name, "host"):
		h.hosts++
		return when(isHost(value), badHost)
	case Is(name, "content-length"):
		h.lengths++
		var ok bool
		h.length, ok = Digits(value)
		return when(ok, badLength)
	case Is(name, "transfer-encoding"):
		h.codings++
		return when(Is(value, "chunked"), badCoding)
	case Is(name, "expect"):
		return when(Is(value, "100-continue"), badExpect)
	case Is(name, "trailer"):
		return when(!framesTrailer(value), badTrailer)
	}
	return passed
}

// framing weighs the headers against each other: RFC 9112 sections 3.2 and 6.3.
func (h *head) framing() (body, verdict) {
	switch {
	case h.hosts != 1: // in HTTP/1.0 as well: the agent would be told a host that nobody asked for
		return body{}, badHost
	case h.lengths > 0 && h.codings > 0:
		return body{}, twoFramings
	case h.lengths > 1:
		return body{}, badLength
	case h.codings > 1, h.codings == 1 && !h.http11:
		return body{}, badCoding
	}
	return body{chunked: h.codings == 1, left: h.length}, passed
}

func when(ok bool, otherwise verdict) verdict {
	if ok {
		return passed
	}
	return otherwise
}
