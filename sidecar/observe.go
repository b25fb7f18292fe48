package sidecar

import (
	"log/slog"
	"net/http"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// maxLogged is how many bytes of a path reach the log.
const maxLogged = 256

// observe counts every request and writes one record about it when it is over,
// however it ends.
func (s *Sidecar) observe(next handler) handler {
	return func(x *exchange) {
		defer func() {
			x.endStream(s)
			s.count(x)
			s.record(x)
		}()
		next(x)
	}
}

// count adds the exchange to the metrics.
func (s *Sidecar) count(x *exchange) {
	m, name := s.metrics, ""
	if in := x.site(); in != nil {
		name = in.Name
	}
	if x.decision != "" {
		m.requests.WithLabelValues(name, x.decision, string(x.reason)).Inc()
		m.authSeconds.WithLabelValues(x.decision).Observe(x.judged.Seconds())
	}
	if (x.decision == decisionDeny || x.decision == decisionAudit) && (x.reason == policy.RuleDenied || x.reason == policy.InsufficientScope) {
		rule := x.rule
		if rule == "" {
			rule = "default"
		}
		m.deniedByRule.WithLabelValues(name, rule).Inc()
	}
	m.requestSeconds.WithLabelValues(codeClass(x.w.status)).Observe(time.Since(x.start).Seconds())
	if x.upstream != "" {
		m.upstreamErrors.WithLabelValues(x.upstream).Inc()
	}
}

func codeClass(status int) string {
	switch {
	case status < 100 || status > 599:
		return "none"
	default:
		return string('0'+rune(status/100)) + "xx"
	}
}

// countToken adds what verifying a token found.
func (s *Sidecar) countToken(o *token.Outcome, now time.Time) {
	m := s.metrics
	if o.Lookup != "" {
		m.unknownKeys.WithLabelValues(o.Provider, string(o.Lookup)).Inc()
	}
	switch o.Reason {
	case policy.OK:
		m.remaining.WithLabelValues(o.Provider).Observe(max(0, o.Remaining.Seconds()))
		if o.Leeway != "" {
			m.leeway.WithLabelValues(o.Provider, o.Leeway).Inc()
		}
		s.ledger.accepted(o.Provider, o.KID, now)
	case policy.Expired:
		m.expiredAge.WithLabelValues(o.Provider).Observe(o.ExpiredFor.Seconds())
	default: // refused for another reason: counted as a request
	}
}

// sampled is the kind of event of which only so many are logged per second: what
// anybody can cause without a token. Empty: each one is.
func (x *exchange) sampled() string {
	switch {
	case x.preflight:
		return "preflight"
	case x.decision == decisionDeny, x.decision == decisionAudit:
		return string(x.reason)
	case x.decision == decisionExempt && x.upstream == "":
		return decisionExempt
	}
	return ""
}

// record keeps denials and writes the one log record. Refusals above ten a second of one reason,
// preflights and exempt requests are counted in the next record instead.
func (s *Sidecar) record(x *exchange) {
	now := time.Now()
	if kept, ok := x.denial(now); ok {
		s.denials.add(kept)
	}
	var suppressed int
	if key := x.sampled(); key != "" {
		var ok bool
		if ok, suppressed = s.sampler.Allow(key, now); !ok {
			return
		}
	}
	if !s.log.Enabled(x.r.Context(), slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("decision", x.decision), slog.String("reason", string(x.reason)),
		slog.String("method", x.method()), slog.String("path", x.path()),
		slog.Int("status", x.w.status), slog.Int64("bytes", x.w.sent.Load()),
		slog.Int64("duration_us", now.Sub(x.start).Microseconds()), slog.String("decision_id", x.id()),
	)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if in := x.site(); in != nil {
		text("policy", in.Name)
	}
	text("rule", x.rule)
	text("provider", x.outcome.Provider)
	text("kid", x.outcome.KID)
	text("claim", x.outcome.Claim)
	text("client", x.client)
	if x.persona != nil {
		text("subject_hash", x.persona.subject)
	}
	text("why", x.why)
	text("upstream_error", x.upstream)
	text("stream", x.stream)
	text("stream_end", x.cause)
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	s.log.LogAttrs(x.r.Context(), slog.LevelInfo, "request", attrs...)
}

// method and path are what the log says of the request line; nothing is known
// of one that was refused before it was understood.
func (x *exchange) method() string {
	if x.refused != 0 {
		return ""
	}
	return clip(x.r.Method)
}

func (x *exchange) path() string {
	if x.refused != 0 {
		return ""
	}
	path, _, _ := cutTarget(x.r.RequestURI)
	return clip(path)
}

func clip(text string) string {
	if len(text) > maxLogged {
		return text[:maxLogged]
	}
	return text
}

// endStream counts the end of a stream and says why it came.
func (x *exchange) endStream(s *Sidecar) {
	if x.stream == "" {
		return
	}
	m := s.metrics
	if x.cause == "" {
		x.cause = x.expiry.end()
	}
	switch {
	case x.cause != "":
	case s.health.Draining() && s.base.Err() != nil:
		x.cause = "drain"
	case x.r.Context().Err() != nil, x.w.leaver.Load() == clientLeft:
		x.cause = "client"
	default:
		x.cause = "agent"
	}
	m.streams.WithLabelValues(x.stream).Dec()
	m.streamsClosed.WithLabelValues(x.stream, x.cause).Inc()
	if x.cause != causeExpired && !x.expires.IsZero() && time.Now().After(x.expires) {
		m.streamsOutlived.WithLabelValues(x.stream).Inc()
	}
}

// beginStream counts an answer that is a stream, and sees to its end.
func (x *exchange) beginStream(s *Sidecar, kind string) {
	x.stream = kind
	s.metrics.streams.WithLabelValues(kind).Inc()
	x.expiry.begin(x, s)
}

// ServeHTTP serves one request of a guarded port.
func (s *Sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.exchanges.Add(1)
	defer s.exchanges.Add(-1)
	s.serve(newExchange(w, r, s.current.Load(), time.Now()))
}
