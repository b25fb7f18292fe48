package issuer

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// handler handles one exchange; a layer does so around the next handler.
type (
	handler func(*exchange)
	layer   func(next handler) handler
)

// exchange is one request, its answer, and the facts that the handlers add for
// the one log record and the counters at its end. It belongs to the goroutine
// that serves the request.
type exchange struct {
	w     *response
	r     *http.Request
	start time.Time
	in    *site // in force when the request came; nil: nothing yet
	id    string
	to    endpoint

	grant     string // the grant's label; empty: none was asked for
	result    string // resultOK or why not; empty: no token was asked for
	why       string // more about it, for the log
	client    string // the client that proved its secret
	provider  string // that vouched for the session
	kid       string // that signed
	subject   string // hashed
	preflight bool
	whole     bool // the body was read to its end
}

// newExchange begins the exchange of r.
func newExchange(w http.ResponseWriter, r *http.Request, in *site, now time.Time) *exchange {
	return &exchange{w: &response{ResponseWriter: w}, r: r, start: now, in: in, id: strings.ToLower(rand.Text()[:16])}
}

// address is the client that the request is charged to.
func (x *exchange) address() netip.Addr {
	peer, err := netip.ParseAddrPort(x.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return x.in.proxies.Client(peer.Addr().Unmap().WithZone(""), x.r.Header["X-Forwarded-For"])
}

// maxUnwanted is how much is read of a body that nobody wants.
const maxUnwanted = 1 << 20

// settle reads what is left of the body when the answer is on its way. If the
// connection were closed under a client that is still sending, the client would
// not see its answer. What is short, net/http reads before it answers; it closes
// the connection after all that was not read to the end.
func (x *exchange) settle() {
	if x.r.ContentLength == 0 || x.whole || len(x.r.Header["Expect"]) > 0 {
		return
	}
	control := http.NewResponseController(x.w)
	if control.SetReadDeadline(time.Now().Add(formTimeout)) != nil || control.Flush() != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, x.r.Body, maxUnwanted) // a client that has gone sends nothing
}

// header is the request's, as rules about origins see it.
func (x *exchange) header() policy.Header { return x.r.Header }

// response notes what was answered.
type response struct {
	http.ResponseWriter

	status int
	bytes  int64
}

// WriteHeader notes the status.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts bytes.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p) //nolint:gosec // JSON of our own, and never taken for a page: nosniff
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
