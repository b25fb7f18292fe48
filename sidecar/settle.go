package sidecar

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// What becomes of a request body that nobody read (decision 16).
const (
	drainBytes  = 256 << 10       // read for the sake of the connection
	drainTime   = 5 * time.Second // within which they must come
	lingerTime  = 2 * time.Second // during which a client may still read its answer
	lingerBytes = 64 << 20        // discarded meanwhile

	takeTime    = 30 * time.Second // within which a client takes the end of a short answer
	shortAnswer = 64 << 10         // bytes of its body
)

// settle brings the connection into order after the answer. A client that is
// still sending would never see its answer if the connection were closed under
// it, so what is short is read to the end and the connection kept, and what is
// long is discarded for a while before the connection is closed.
func (s *Sidecar) settle(next handler) handler {
	return func(x *exchange) {
		// Answers may come before the body was read to its end.
		_ = http.NewResponseController(x.w.ResponseWriter).EnableFullDuplex() // HTTP/1 always can
		next(x)
		if x.w.hijacked {
			return
		}
		x.hurry(s.takeTime)
		if x.refused != 0 {
			x.lingerRefused()
			return
		}
		if !x.unread() {
			return
		}
		_ = x.control().Flush() // the answer goes out first; a failure shows when reading
		if x.drain() {
			return
		}
		x.conn.discard(s.base, lingerTime, lingerBytes)
		panic(http.ErrAbortHandler) // the way to close a connection under net/http
	}
}

// hurry bounds the time for what is left of a short answer. Its request does not count
// any more, but its connection does, and net/http waits without end for a client that
// asks on and on and reads none of its answers. What is left of a long one may have to
// wait for much that is still on its way.
func (x *exchange) hurry(within time.Duration) {
	if x.w.sent.Load() <= shortAnswer {
		_ = x.control().SetWriteDeadline(time.Now().Add(within)) // net/http takes it back before the next request
	}
}

// control reaches the connection's deadlines.
func (x *exchange) control() *http.ResponseController {
	return http.NewResponseController(x.w.ResponseWriter)
}

// unread reports whether some of the request's body was not read.
func (x *exchange) unread() bool {
	return x.r.Body == x.body && !x.body.ended.Load()
}

// expectsContinue reports whether the client waits to be asked for the body,
// and was not: net/http closes such a connection.
func (x *exchange) expectsContinue() bool {
	return x.r.Header.Get("Expect") != "" && !x.body.begun.Load()
}

// endsConnection reports whether an answer made now is the connection's last.
func (x *exchange) endsConnection() bool {
	return x.refused != 0 || x.unread() && (x.r.ContentLength > drainBytes || x.expectsContinue() || x.body.failed.Load())
}

// drain reads a short rest of the body and reports whether that was all.
func (x *exchange) drain() bool {
	if x.r.ContentLength > drainBytes || x.expectsContinue() || x.body.failed.Load() {
		return false
	}
	if err := x.control().SetReadDeadline(time.Now().Add(drainTime)); err != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, x.body, drainBytes+1)
	return errors.Is(err, io.EOF) && x.control().SetReadDeadline(time.Time{}) == nil
}

// lingerRefused ends the answer's direction after a head that was refused: what follows is
// being discarded by the connection itself, until it ends.
func (x *exchange) lingerRefused() {
	_ = x.control().Flush()
	_ = x.conn.CloseWrite()
	select {
	case <-x.r.Context().Done():
	case <-time.After(lingerTime):
	}
}
