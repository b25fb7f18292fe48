package issuer

import (
	"hash/maphash"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/throttle"
)

// maxRequests is how many requests may be under way at once.
const maxRequests = 512

// The values of the label limit of gatepost_issuer_throttled_total.
const (
	limitIP         = "ip"
	limitClient     = "client"
	limitAnonymous  = "anonymous"
	limitLogin      = "login"
	limitHashing    = "hashing"
	limitConcurrent = "concurrency"
)

// limit refuses what is not looked at: requests before there is anything in
// force, and more at once than memory allows.
func (i *Issuer) limit(next handler) handler {
	return func(x *exchange) {
		n := i.requests.Add(1)
		defer i.requests.Add(-1)
		switch {
		case x.in == nil:
			x.refuse(resultUnavailable, unavailable)
		case n > maxRequests:
			i.count(x, limitConcurrent)
			x.refuse(resultUnavailable, overloaded)
		default:
			next(x)
		}
	}
}

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
