package issuer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"

	"gatepost.dev/gatepost/grant"
)

// The values of the label result, beside the codes of grant.Code and the reasons
// of sessions.
const (
	resultOK          = "ok"
	resultLimited     = "rate_limited"
	resultUnavailable = string(grant.TemporarilyUnavailable)
	resultNoSession   = "session_ended"
	resultTooLarge    = "request_too_large"
)

// The values of the label grant.
const (
	labelSession = "session"
	labelUnknown = "unknown"
)

// labelOf is a grant as metrics and logs name it.
func labelOf(g grant.Grant) string {
	switch g {
	case grant.GrantSession:
		return labelSession
	case grant.GrantClientCredentials:
		return "client_credentials"
	case grant.GrantPassword:
		return "password"
	case grant.GrantTokenExchange:
		return "token_exchange"
	case grant.GrantRefreshToken:
		return "refresh_token"
	}
	return labelUnknown
}

// observe counts every request and writes one record about it when it is over,
// however it ends.
func (i *Issuer) observe(next handler) handler {
	return func(x *exchange) {
		defer func() {
			if x.w.status == 0 && x.r.Context().Err() == nil { // a panic: net/http closes the connection
				x.result, x.why = resultUnavailable, "ended without an answer"
			}
			seconds := i.config.Now().Sub(x.start).Seconds()
			i.metrics.requestSeconds.WithLabelValues(x.endpoint()).Observe(max(0, seconds))
			if x.result != "" && x.in != nil {
				i.metrics.tokens.WithLabelValues(x.in.Name, x.grantLabel(), x.result).Inc()
			}
			i.record(x)
		}()
		next(x)
	}
}

func (x *exchange) endpoint() string {
	if x.to == toNothing {
		return "none"
	}
	return string(x.to)
}

// grantLabel is the grant that was asked for, as far as that was understood.
func (x *exchange) grantLabel() string {
	switch {
	case x.grant != "":
		return x.grant
	case x.to == toGet || x.to == toRefresh:
		return labelSession
	}
	return labelUnknown
}

// sampled is the kind of event of which only so many are logged per second: what
// anybody can cause without a credential. Empty: each one is.
func (x *exchange) sampled() string {
	switch {
	case x.preflight:
		return "preflight"
	case x.result == resultOK:
		return ""
	case x.result != "":
		return x.result
	}
	return x.endpoint()
}

// record writes the one log record.
func (i *Issuer) record(x *exchange) {
	now := i.config.Now()
	suppressed := 0
	if key := x.sampled(); key != "" {
		var ok bool
		if ok, suppressed = i.sampler.Allow(key, now); !ok {
			return
		}
	}
	if !i.log.Enabled(x.r.Context(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("endpoint", x.endpoint()), slog.String("method", clip(x.r.Method)), slog.Int("status", x.w.status),
		slog.Int64("bytes", x.w.bytes), slog.Int64("duration_us", now.Sub(x.start).Microseconds()), slog.String("decision_id", x.id),
	}
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if x.in != nil {
		text("issuer", x.in.Name)
	}
	if x.result != "" {
		text("grant", x.grantLabel())
	}
	text("result", x.result)
	text("client", x.client)
	text("provider", x.provider)
	text("kid", x.kid)
	text("subject_hash", x.subject)
	text("why", x.why)
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	i.log.LogAttrs(x.r.Context(), slog.LevelInfo, "request", attrs...)
}

// clip bounds what of a request reaches the log. Paths are not logged at all: an
// endpoint has a name, and anything else may be a secret in the wrong place.
func clip(text string) string {
	const most = 16
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}

// hashSubject lets records of one principal be found without naming it.
func (i *Issuer) hashSubject(in *site, subject string) string {
	if subject == "" {
		return ""
	}
	key := i.logKey
	if len(in.AckKey) > 0 { // all pods of the issuer share it
		key = in.AckKey
	}
	hash := hmac.New(sha256.New, key)
	_, _ = hash.Write([]byte("subject|" + subject)) // a hash never fails
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
