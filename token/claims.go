package token

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// maxDate is the latest date of a claim, in Unix seconds: the largest integer
// that every JSON reader represents exactly.
const maxDate = 1 << 53

// registered are the registered claims (RFC 7519 section 4.1) with their types
// checked.
type registered struct {
	subject        string
	audience       any
	expires        time.Time
	notBefore      time.Time
	issued         time.Time
	hasNBF, hasIAT bool
}

// readRegistered checks the types of the registered claims: exp a date that must
// be there, nbf and iat dates, iss a string, aud a string or an array of
// strings, sub a string or an integer. null counts as absent for iss, aud and
// sub, and is wrong for a date. A token bound to a key (cnf, RFC 7800) is not a
// bearer token.
//
// It names the first claim that is wrong; empty when none is.
func readRegistered(claims map[string]any) (read registered, wrong string) {
	var ok bool
	if read.expires, ok = date(claims["exp"]); !ok {
		return read, "exp"
	}
	if read.notBefore, read.hasNBF, ok = optionalDate(claims, "nbf"); !ok {
		return read, "nbf"
	}
	if read.issued, read.hasIAT, ok = optionalDate(claims, "iat"); !ok {
		return read, "iat"
	}
	if read.subject, ok = subject(claims["sub"]); !ok {
		return read, "sub"
	}
	_, bound := claims["cnf"]
	read.audience = claims["aud"]
	switch {
	case !stringOrNull(claims["iss"]):
		return read, "iss"
	case !isAudience(claims["aud"]):
		return read, "aud"
	case bound:
		return read, "cnf"
	}
	return read, ""
}

func optionalDate(claims map[string]any, name string) (when time.Time, present, ok bool) {
	value, present := claims[name]
	if !present {
		return time.Time{}, false, true
	}
	when, ok = date(value)
	return when, true, ok
}

// date reads a NumericDate (RFC 7519 section 2): a JSON number of seconds within
// [0, 2^53], with or without a fraction.
func date(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	if whole, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return time.Unix(whole, 0), whole >= 0 && whole <= maxDate
	}
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxDate) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// subject reads sub: a string, or an integer as its decimal text (Laravel mints
// those).
func subject(value any) (string, bool) {
	switch sub := value.(type) {
	case nil:
		return "", true
	case string:
		return sub, true
	case json.Number:
		text := string(sub)
		return text, text != "-0" && !strings.ContainsAny(text, ".eE")
	default:
		return "", false
	}
}

func stringOrNull(value any) bool {
	if value == nil {
		return true
	}
	_, ok := value.(string)
	return ok
}

func isAudience(value any) bool {
	list, isList := value.([]any)
	if !isList {
		return stringOrNull(value)
	}
	for _, element := range list {
		if _, ok := element.(string); !ok {
			return false
		}
	}
	return true
}

// audienceIn reports whether one of the token's audiences is accepted.
func audienceIn(audience any, accepted []string) bool {
	switch audience := audience.(type) {
	case string:
		return slices.Contains(accepted, audience)
	case []any:
		for _, element := range audience {
			if text, ok := element.(string); ok && slices.Contains(accepted, text) {
				return true
			}
		}
	}
	return false
}

// defaultHeaderClaims become request headers in every policy (contract, To the
// agent).
var defaultHeaderClaims = [...]string{"sub", "email", "name", "roles", "role", "scopes", "scope", "tenant_id"}

// unfitHeader names a claim that is to become a request header and cannot, for a
// control character in its strings (threats C6, C7); empty when all can.
func unfitHeader(claims map[string]any, further []string) string {
	for _, name := range defaultHeaderClaims {
		if !printable(claims[name]) {
			return name
		}
	}
	for _, name := range further {
		if value, found := policy.Lookup(claims, name); found && !printable(value) {
			return name
		}
	}
	return ""
}

func printable(value any) bool {
	switch value := value.(type) {
	case string:
		return printableText(value)
	case []any:
		for _, element := range value {
			if !printable(element) {
				return false
			}
		}
	case map[string]any:
		for name, element := range value {
			if !printableText(name) || !printable(element) {
				return false
			}
		}
	}
	return true
}

func printableText(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return false
		}
	}
	return true
}
