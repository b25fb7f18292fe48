package sidecar

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"gatepost.dev/gatepost/internal/cookie"
	"gatepost.dev/gatepost/policy"
)

// proxy makes the reverse proxy to the agent. Rewrite runs after hop-by-hop
// headers are gone, so that no client can have ours removed.
func (s *Sidecar) proxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		ModifyResponse: s.receive,
		ErrorHandler:   s.giveUp,
		Transport:      newTransport(),
		BufferPool:     &copyBuffers{},
		ErrorLog:       s.httpLog,
	}
}

// forward sends a request that was let in to the agent, and the answer back.
func (s *Sidecar) forward(proxy *httputil.ReverseProxy) handler {
	announce := newAnnouncements()
	return func(x *exchange) {
		if !x.webSocket {
			delete(x.r.Header, "Upgrade")
		}
		done := false
		defer func() {
			if !done {
				x.noteAbort()
			}
		}()
		ctx := context.WithValue(x.r.Context(), exchangeKey{}, x)
		if !x.until.IsZero() {
			var cut context.CancelFunc
			ctx, cut = context.WithCancel(ctx)
			defer cut()
			x.mayExpire(s, cut)
		}
		proxy.ServeHTTP(x.w, x.r.WithContext(httptrace.WithClientTrace(ctx, announce.of(x.r.Method))))
		if x.expiry.end() != "" && !x.w.hijacked { // it has just ended by itself, but the connection's deadline is set
			panic(http.ErrAbortHandler)
		}
		x.conn.unframed.Store(false)
		done = true
	}
}

// noteAbort notes, while net/http's abort passes by, which side ended the
// answer before its end.
func (x *exchange) noteAbort() {
	x.cause = x.expiry.end()
	switch {
	case x.cause != "":
		return
	case x.r.Context().Err() != nil:
		x.cause = "client"
		return
	}
	x.cause = "error"
	if x.upstream == "" {
		x.upstream = "truncated"
	}
}

// rewrite makes the request that the agent sees.
func (s *Sidecar) rewrite(pr *httputil.ProxyRequest) {
	x, _ := pr.In.Context().Value(exchangeKey{}).(*exchange)
	in, out := x.site(), pr.Out
	host := s.upstreamHost(x.conn.port)
	out.URL = targetURL(host, pr.In.RequestURI)
	out.Trailer = nil
	if in.localhost {
		out.Host = "localhost"
		if _, port, err := net.SplitHostPort(host); err == nil {
			out.Host = net.JoinHostPort("localhost", port)
		}
	}
	out.Header = in.headers.clean(out.Header, pr.In.Header)
	in.forwardCredentials(out.Header, pr.In.Header, x)
	setForwarded(out.Header, pr.In.Header, hop{peer: x.peer(), host: pr.In.Host, trusted: in.trusted.Trusts(x.peer())})
	if x.decision == decisionAllow {
		x.persona.identify(out.Header)
	}
	neverTwice(out.Header)
}

// forwardCredentials decides on the headers that may carry a token: what was
// verified in this very request may go on, anything else is taken away, unless
// the policy says Always. Tokens in cookies and in offered protocols never go on.
func (s *site) forwardCredentials(out, in http.Header, x *exchange) {
	carry := func(name string) {
		values, ok := in[name]
		verified := x.decision == decisionAllow && x.carrier != nil && x.carrier.name == name
		if ok && (s.forward == policy.ForwardAlways || s.forward == policy.ForwardOriginal && verified) {
			out[name] = values
			return
		}
		delete(out, name)
	}
	s.keys.forward(out, in, x)
	carry("Authorization")
	for i := range s.sources {
		switch from := &s.sources[i]; from.kind {
		case inCookie:
			if lines, ok := out[cookieHeader]; ok {
				setOrDelete(out, cookieHeader, cookie.Without(lines, from.cookie()))
			}
		case inSubprotocol:
			x.withoutBearer(out)
		default:
			carry(from.name)
		}
	}
}

func setOrDelete(h http.Header, name string, values []string) {
	if len(values) == 0 {
		delete(h, name)
		return
	}
	h[name] = values
}

// neverTwice keeps net/http from sending a POST again because of a header that
// to it means permission. It looks for this spelling only, and to the agent
// spelling makes no difference.
func neverTwice(h http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}

// errNoTunnel is an answer to a handshake that nobody judged, by an agent that
// took it for an ordinary request.
var errNoTunnel = errors.New("the agent answered a deferred handshake with neither 101 nor an error")

// receive looks at the agent's answer before the client does.
func (s *Sidecar) receive(res *http.Response) error {
	x, _ := res.Request.Context().Value(exchangeKey{}).(*exchange)
	if x.deferred && res.StatusCode != http.StatusSwitchingProtocols && res.StatusCode < http.StatusBadRequest {
		return errNoTunnel
	}
	x.site().cors.replace(res.Header, x.r.Header)
	delete(res.Header, "X-Gatepost-Decision")
	if _, ok := res.Header["Content-Type"]; !ok {
		x.w.Header()["Content-Type"] = nil // or net/http would guess one
	}
	x.w.eager, x.w.expected = true, res.ContentLength
	x.conn.unframed.Store(res.ContentLength < 0 && !x.r.ProtoAtLeast(1, 1)) // HTTP/1.0 knows no chunks
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		x.selectProtocol(res.Header)
		x.beginStream(s, "websocket")
	case strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"):
		x.beginStream(s, "sse")
	case res.ContentLength < 0 && x.r.Method != http.MethodHead:
		x.beginStream(s, "chunked")
	}
	return nil
}

// giveUp answers when the agent did not. A client that has ended its direction
// of the connection may have gone or may still be listening, which nobody can
// tell: an agent must not work on for the first, so both get no answer at all,
// and above all none that the agent never gave.
func (s *Sidecar) giveUp(_ http.ResponseWriter, r *http.Request, err error) {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	if x.w.hijacked {
		x.upstream = "protocol"
		return
	}
	switch {
	case x.malformed():
		x.refuse(policy.BadRequest, badRequest)
	case x.r.Context().Err() != nil:
		x.w.status = statusClientGone
		panic(http.ErrAbortHandler) // returning would make net/http answer 200
	default:
		x.upstream = upstreamErrorKind(err)
		if x.upstream == "connect" && s.health.Draining() {
			x.answer(overloaded) // the agent has gone before us
			return
		}
		x.answer(agentUnavailable)
	}
}

// statusClientGone is what the log says of a client that left before an answer;
// nobody ever receives it.
const statusClientGone = 499

// upstreamErrorKind puts an error into a closed set.
func upstreamErrorKind(err error) string {
	var operation *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &operation) && operation.Op == "dial":
		return "connect"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return "reset"
	}
	return "protocol"
}

// upstreamHost is where the agent is: at the given URL, or on the loopback
// address at the guarded port.
func (s *Sidecar) upstreamHost(port int) string {
	if s.config.Upstream != "" {
		return s.config.Upstream
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// copyBuffers are the buffers that answers are copied through.
type copyBuffers struct{ pool sync.Pool }

// copyBufferBytes is small because every open stream holds one.
const copyBufferBytes = 8 << 10

// Get returns a buffer.
func (b *copyBuffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[copyBufferBytes]byte); ok {
		return buffer[:]
	}
	return make([]byte, copyBufferBytes)
}

// Put takes it back.
func (b *copyBuffers) Put(buffer []byte) { b.pool.Put((*[copyBufferBytes]byte)(buffer)) }
