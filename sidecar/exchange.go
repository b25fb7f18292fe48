package sidecar

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar/wire"
	"gatepost.dev/gatepost/token"
)

// handler handles one exchange; a layer does so around the next handler.
type (
	handler func(*exchange)
	layer   func(next handler) handler
)

// The values of the label decision.
const (
	decisionAllow  = "allow"
	decisionDeny   = "deny"
	decisionAudit  = "audit_deny"
	decisionExempt = "exempt"
)

// exchange is one request, its answer, and the facts that the handlers add for
// the one log record and the counters at its end. It belongs to the goroutine
// that serves the request.
type exchange struct {
	w     *response
	r     *http.Request
	body  *watchedBody
	conn  *clientConn
	start time.Time
	in    *site // the site in force when the request came; nil: none yet

	decision  string
	reason    policy.Reason
	rule      string
	why       string        // more about a refused head, for the log
	outcome   token.Outcome // without its claims
	expires   time.Time     // of the verified token; zero: there is none
	persona   *persona      // of the verified token; nil: nobody
	carrier   *source       // where the verified token was
	client    string        // the client id of the API key; empty: none, or a key nobody has
	keyIn     string        // canonical name of the header that carried the verified key
	until     time.Time     // when a stream is ended; zero: by its sides alone
	expiry    *expiry       // ends it; nil: nothing does
	judged    time.Duration
	upstream  string // the kind of upstream error, "" for none
	stream    string // the kind of stream, "" for none
	cause     string // why the stream ended
	webSocket bool   // a full WebSocket handshake
	deferred  bool   // the agent judges it itself
	protocol  string // to select for a WebSocket if the agent selects none
	preflight bool   // answered as a browser's question before the real request
	refused   int    // the status of a head that was refused, 0 for none
	heavy     bool   // there is no memory left for a head of this size
	decisions string // decision id, made when it is first needed
}

// site is what the request is judged by, to its end.
func (x *exchange) site() *site { return x.in }

// line is what is judged of the request before its headers.
func (x *exchange) line() policy.RequestLine {
	return policy.RequestLine{Method: x.r.Method, Target: x.r.RequestURI, Port: x.conn.port}
}

// id names the decision in the answer and the log, so that one can be found by
// the other.
func (x *exchange) id() string {
	if x.decisions == "" {
		x.decisions = newID()
	}
	return x.decisions
}

// newID is a random name for a decision.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

// peer is the address the connection comes from.
func (x *exchange) peer() netip.Addr { return x.conn.peer }

// refuse answers a request that was judged and found wanting.
func (x *exchange) refuse(reason policy.Reason, a answer) {
	x.decision, x.reason = decisionDeny, reason
	x.answer(a)
}

// newExchange begins the exchange of r. A connection that is not one of ours,
// as in a test of a handler, has no peer and no port.
func newExchange(w http.ResponseWriter, r *http.Request, in *site, now time.Time) *exchange {
	x := &exchange{w: &response{ResponseWriter: w}, r: r, start: now, in: in}
	x.conn, _ = r.Context().Value(connKey{}).(*clientConn)
	if x.conn == nil {
		x.conn = &clientConn{}
	}
	x.w.conn = x.conn
	x.body = &watchedBody{ReadCloser: r.Body}
	if r.ContentLength != 0 {
		r.Body = x.body
	}
	if !r.ProtoAtLeast(1, 1) {
		delete(r.Header, "Expect") // RFC 9110 section 10.1.1: HTTP/1.0 knows no 100 Continue
	}
	if refusal, ok := wire.Refused(r); ok {
		x.refused, x.why = refusal.Status, refusal.Why
	}
	return x
}

// exchangeKey finds the exchange in a request's context; connKey finds the
// client's connection.
type (
	exchangeKey struct{}
	connKey     struct{}
)
