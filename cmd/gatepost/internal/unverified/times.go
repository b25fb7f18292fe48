package unverified

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Moment is a date that a token names.
type Moment struct {
	// Claim is iat, nbf or exp.
	Claim string `json:"claim"`
	// Time is when that is, in UTC.
	Time time.Time `json:"time"`
	// FromNow says how long ago it was or how far away it is.
	FromNow string `json:"fromNow"`
}

// Moments are the dates among the claims, in the order of a token's life. What
// is no date is left out.
func (t *Token) Moments(now time.Time) []Moment {
	var found []Moment
	for _, claim := range []string{"iat", "nbf", "exp"} {
		if at, ok := t.Date(claim); ok {
			found = append(found, Moment{Claim: claim, Time: at, FromNow: FromNow(at, now)})
		}
	}
	return found
}

// Date is a claim of seconds since 1970 (RFC 7519 section 2), up to the year
// 9999, which is as far as a date can be written.
func (t *Token) Date(claim string) (time.Time, bool) {
	number, ok := t.Claims[claim].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(number.String(), 64)
	const latest = 253402300799
	if err != nil || !(seconds >= 0 && seconds <= latest) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true
}

// FromNow is a time as people say it: "in 48s", "5m10s ago".
func FromNow(at, now time.Time) string {
	switch {
	case at.After(now):
		return "in " + Length(at.Sub(now))
	case now.Sub(at) < time.Second:
		return "now"
	default:
		return Length(now.Sub(at)) + " ago"
	}
}

// Length is a length of time in its two largest units: 48s, 5m10s, 3h20m, 12d4h.
func Length(d time.Duration) string {
	const day = 24 * time.Hour
	if d > 0 && d < time.Second {
		return "less than 1s"
	}
	d = d.Truncate(time.Second)
	two := func(large, small time.Duration, a, b string) string {
		if rest := d % large / small; rest > 0 {
			return fmt.Sprintf("%d%s%d%s", d/large, a, rest, b)
		}
		return fmt.Sprintf("%d%s", d/large, a)
	}
	switch {
	case d >= day:
		return two(day, time.Hour, "d", "h")
	case d >= time.Hour:
		return two(time.Hour, time.Minute, "h", "m")
	case d >= time.Minute:
		return two(time.Minute, time.Second, "m", "s")
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
