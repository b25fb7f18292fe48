package issuer

import (
	"hash/maphash"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/throttle"
)

// maxWorking is how many requests may be worked on at once: whose session is
// verified or asked about, whose password is hashed, whose token is signed. Those
// that are still being read do not count, or who sends a body byte by byte would
// take the places of others; connections bound them, the oldest gives way.
const maxWorking = 512

// The values of the label limit of gatepost_issuer_throttled_total.
const (
	limitIP         = "ip"
	limitClient     = "client"
	limitAnonymous  = "anonymous"
	limitLogin      = "login"
	limitHashing    = "hashing"
	limitConcurrent = "concurrency"
)

// ready refuses requests before there is anything in force.
func (i *Issuer) ready(next handler) handler {
	return func(x *exchange) {
		i.requests.Add(1)
		defer i.requests.Add(-1)
		if x.in == nil {
			x.refuse(resultUnavailable, unavailable)
			return
		}
		next(x)
	}
}

// begin takes a place for a request that was read, or answers that there is none.
// end gives it back.
func (i *Issuer) begin(x *exchange) bool {
	if i.working.Add(1) <= maxWorking {
		return true
	}
	i.end()
	i.count(x, limitConcurrent)
	x.refuse(resultUnavailable, overloaded)
	return false
}

func (i *Issuer) end() { i.working.Add(-1) }

// count notes a request that was held back.
func (i *Issuer) count(x *exchange, limit string) {
	i.metrics.throttled.WithLabelValues(x.in.Name, limit).Inc()
}

// throttle refuses clients that ask for tokens too often. Keys and metadata are
// for everybody: who cannot read them cannot verify.
func (i *Issuer) throttle(next handler) handler {
	return func(x *exchange) {
		if !x.to.isDocument() {
			source := throttle.Source(x.address())
			if _, wait := x.in.limits.perIP.Take(source[:], x.start); wait > 0 {
				i.count(x, limitIP)
				x.refuse(resultLimited, tooMany.after(wait))
				return
			}
		}
		next(x)
	}
}

// rates are the limits of a document, as they are written.
type rates struct{ perIP, perClient, anonymous string }

func ratesOf(spec *grant.Spec) rates {
	var r rates
	if spec.RateLimit != nil {
		r.perIP, r.perClient = spec.RateLimit.PerIP, spec.RateLimit.PerClient
	}
	if spec.Session != nil && spec.Session.Anonymous != nil {
		r.anonymous = spec.Session.Anonymous.RateLimit
	}
	return r
}

// limits are the buckets of an issuer.
type limits struct {
	rates     rates
	perIP     *throttle.Table
	perClient *throttle.Table
	anonymous *throttle.Table
	logins    *throttle.Logins
}

// newLimits makes the buckets of rates, all full. Those of before stay where the
// rates do: a reload must not refill them.
func newLimits(wanted rates, before *limits) *limits {
	seed := maphash.MakeSeed()
	made := &limits{rates: wanted}
	if before == nil {
		before = &limits{logins: throttle.NewLogins(throttle.DefaultLoginLimits(), seed)}
	}
	made.logins = before.logins
	keep := func(was *throttle.Table, rate, wasRate string) *throttle.Table {
		if was != nil && rate == wasRate {
			return was
		}
		return throttle.New(limitOf(rate), seed)
	}
	made.perIP = keep(before.perIP, wanted.perIP, before.rates.perIP)
	made.perClient = keep(before.perClient, wanted.perClient, before.rates.perClient)
	made.anonymous = keep(before.anonymous, wanted.anonymous, before.rates.anonymous)
	return made
}

// limitOf is a bucket that holds as many as the rate lets through in its time.
// What is no rate lets nobody through; Compile refuses it.
func limitOf(rate string) throttle.Limit {
	count, _, _ := strings.Cut(rate, "/")
	burst, err := strconv.Atoi(count)
	if err != nil {
		return throttle.Limit{}
	}
	limit, err := throttle.ParseLimit(rate, burst)
	if err != nil {
		return throttle.Limit{}
	}
	return limit
}
