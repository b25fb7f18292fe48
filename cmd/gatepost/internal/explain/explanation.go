// Package explain says why a request was let through or refused: which check
// failed, which providers and keys were tried, how the token's dates lie to now,
// and what to do next.
//
// There are two ways to know. A sidecar remembers its latest denials, and is
// asked by the decision id of the answer (Ask). Or a token is judged here, by the policy and the keys that the sidecar has (Credential,
// Request), with the code of the sidecar: sidecar.Judge and token.Verifier, so
// that the answers cannot differ. What a token says of itself is only quoted.
package explain

import (
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/advice"
	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
	"gatepost.dev/gatepost/policy"
)

// Explanation is why one request was let through or refused.
type Explanation struct {
	// Decision is allow, deny, audit_deny or exempt, the label of
	// gatepost_requests_total.
	Decision string        `json:"decision"`
	Reason   policy.Reason `json:"reason"`
	// Answer is what the client gets, Means what the reason means, Do what to do.
	Answer string `json:"answer"`
	Means  string `json:"means"`
	Do     string `json:"do"`
	// Here is what made it so in this very case; empty where no more is known.
	Here string `json:"here,omitempty"`

	ID       string     `json:"id,omitempty"`
	Time     *time.Time `json:"time,omitempty"`
	Pod      string     `json:"pod,omitempty"`
	Policy   string     `json:"policy,omitempty"`
	Rule     string     `json:"rule,omitempty"`
	Provider string     `json:"provider,omitempty"`
	KID      string     `json:"kid,omitempty"`
	Claim    string     `json:"claim,omitempty"`
	Client   string     `json:"client,omitempty"`
	Subject  string     `json:"subject_hash,omitempty"`
	Method   string     `json:"method,omitempty"`
	Path     string     `json:"path,omitempty"`
	Status   int        `json:"status,omitempty"`

	// Checks are what a token has to pass, in order.
	Checks []Check `json:"checks,omitempty"`
	// Providers are those that were asked about the token.
	Providers []Asked `json:"providers,omitempty"`
	// Rules are the policy's, with how each one meets the request.
	Rules []Met `json:"rules,omitempty"`
	// Times are the token's dates.
	Times []unverified.Moment `json:"times,omitempty"`
	// Notes are further remarks.
	Notes []string `json:"notes,omitempty"`
}

// Check is one thing that a token has to pass.
type Check struct {
	Name string `json:"name"`
	// Result is passed, failed or not reached.
	Result string `json:"result"`
}

// The results of a Check.
const (
	passed     = "passed"
	failed     = "failed"
	notReached = "not reached"
)

// Asked is a provider that was asked about the token.
type Asked struct {
	Provider string        `json:"provider"`
	Reason   policy.Reason `json:"reason"`
	// Keys are the ids of the keys that the token was held against.
	Keys []string `json:"keys,omitempty"`
}

// Met is how one rule meets the request.
type Met struct {
	Rule   string        `json:"rule"`
	Action policy.Action `json:"action"`
	// Says is "decides", or why it does not match.
	Says string `json:"says"`
}

// of begins an Explanation with what is known of its reason.
func of(reason policy.Reason) Explanation {
	text := advice.For(reason)
	return Explanation{Reason: reason, Answer: text.Answer, Means: text.Means, Do: text.Do}
}

// ladder are the checks in the order in which a token meets them, each with the
// reasons that say that it failed.
var ladder = []struct {
	name    string
	reasons []policy.Reason
}{
	{"carrier", []policy.Reason{policy.MissingCredential, policy.AmbiguousCredentials, policy.TokenTooLarge}},
	{"form", []policy.Reason{policy.MalformedToken}},
	{"issuer", []policy.Reason{policy.IssuerMismatch}},
	{"algorithm", []policy.Reason{policy.AlgNotAllowed}},
	{"type", []policy.Reason{policy.TypeNotAllowed}},
	{"keys loaded", []policy.Reason{policy.KeysUnavailable}},
	{"key known", []policy.Reason{policy.UnknownKey}},
	{"signature", []policy.Reason{policy.SignatureInvalid}},
	{"claims", []policy.Reason{policy.ClaimInvalid}},
	{"audience", []policy.Reason{policy.AudienceMismatch}},
	{"lifetime", []policy.Reason{policy.LifetimeExceeded}},
	{"not before", []policy.Reason{policy.NotYetValid}},
	{"expiry", []policy.Reason{policy.Expired}},
	{"revocation", []policy.Reason{policy.Revoked}},
	{"rules", []policy.Reason{policy.RuleDenied, policy.InsufficientScope, policy.ToolDenied, policy.OriginDenied}},
}

// checks are the rungs up to the one that failed. The rules are the last, and
// are there only where they were asked.
func checks(reason policy.Reason, withRules bool) []Check {
	var list []Check
	result := passed
	for _, rung := range ladder {
		if rung.name == "rules" && !withRules {
			break
		}
		for _, one := range rung.reasons {
			if one == reason {
				result = failed
			}
		}
		list = append(list, Check{Name: rung.name, Result: result})
		if result == failed {
			result = notReached
		}
	}
	return list
}
