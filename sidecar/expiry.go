package sidecar

import (
	"context"
	"sync"
	"time"

	"gatepost.dev/gatepost/policy"
)

// streamEnd is what the policy says of streams whose credential expires.
type streamEnd struct {
	closes bool
	grace  time.Duration
	leeway map[string]time.Duration // by provider, as its tokens are verified
}

// newStreamEnd prepares spec.streaming. Under Audit nothing is ended.
func newStreamEnd(spec policy.Spec) streamEnd {
	end := streamEnd{closes: spec.Mode != policy.ModeAudit, leeway: map[string]time.Duration{}}
	switch spec.Streaming.OnTokenExpiry {
	case policy.OnExpiryClose:
	case policy.OnExpiryCloseAfterGrace:
		end.grace = value(spec.Streaming.Grace).Duration
	default:
		end.closes = false
	}
	if spec.JWT != nil {
		for i := range spec.JWT.Providers {
			p := &spec.JWT.Providers[i]
			end.leeway[p.Name] = value(p.ClockSkew).Duration
		}
	}
	return end
}

// of is when a stream of this judgement ends, zero for never.
func (e *streamEnd) of(found *judgement) time.Time {
	switch v := found.outcome.Verified; {
	case !e.closes || found.Reason != policy.OK:
		return time.Time{}
	case v.Valid():
		return v.Expires().Add(e.leeway[v.Provider()] + e.grace)
	case !found.until.IsZero():
		return found.until.Add(e.grace)
	}
	return time.Time{}
}

// expiry ends one stream when its credential has expired, or its key was taken
// away. A nil expiry never does. It costs a timer, and no goroutine until it
// fires.
type expiry struct {
	cut   context.CancelFunc // ends the request to the agent
	key   keyName            // that the token was verified with; its kid is empty for an API key
	grace time.Duration
	open  *openStreams

	mu    sync.Mutex
	at    time.Time
	why   string
	timer *time.Timer
	fired bool
	ended bool // the exchange came to an end by itself
}

// Why a stream ended that its credential did not outlast.
const (
	causeExpired    = "token_expired"
	causeKeyRemoved = "key_removed"
)

// mayExpire prepares for an answer that is a stream; cut ends the request to
// the agent.
func (x *exchange) mayExpire(s *Sidecar, cut context.CancelFunc) {
	x.expiry = &expiry{
		at: x.until, why: causeExpired, cut: cut, open: &s.open,
		key: keyName{x.outcome.Provider, x.outcome.KID}, grace: x.in.streams.grace,
	}
	if x.webSocket {
		x.w.goodbye = func() { x.conn.discard(s.base, lingerTime, lingerBytes) }
	}
}

// begin watches a stream whose answer has begun. The keys may have changed since
// it was judged.
func (e *expiry) begin(x *exchange, s *Sidecar) {
	if e == nil {
		return
	}
	e.mu.Lock()
	e.timer = time.AfterFunc(time.Until(e.at), func() { e.fire(x) })
	e.mu.Unlock()
	e.open.add(e)
	now := time.Now()
	if in := s.current.Load(); in != x.in && newLoaded(in, now).lacks(e.key) {
		e.withdraw(now)
	}
}

// fire ends the stream. A client that reads nothing must not hold it open, so
// what is still to be written gets a second.
func (e *expiry) fire(x *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.fired {
		return
	}
	e.fired = true
	_ = x.control().SetWriteDeadline(time.Now().Add(time.Second))
	x.w.farewell()
	e.cut()
}

// end stops watching and says why the stream was ended; empty: it was not.
func (e *expiry) end() string {
	if e == nil {
		return ""
	}
	e.open.remove(e)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if e.timer != nil {
		e.timer.Stop()
	}
	if !e.fired {
		return ""
	}
	return e.why
}
