package explain

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar"
	"gatepost.dev/gatepost/token"
)

// Request is what a credential is sent with.
type Request struct {
	// Method and Target are the request line's.
	Method, Target string
	// Header are further headers.
	Header http.Header
}

// Credential explains what the providers of a snapshot make of a token, or its
// APIKeys of an API key, whatever the request: it is judged as in its usual
// place. The text is one that unverified.Clean has seen.
func Credential(ctx context.Context, in *bundle.Snapshot, text string, now time.Time) Explanation {
	if unverified.IsKey(text) {
		return ofKey(in, text, now)
	}
	raw, reason := token.Extract([]string{"Bearer " + text}, "Bearer ", maxToken(in))
	if reason != "" {
		return ofToken(in, text, token.Outcome{Reason: reason}, nil, now)
	}
	outcome := in.Verifier.Verify(ctx, raw, now)
	made := ofToken(in, text, outcome, in.Verifier.Trace(ctx, raw, now), now)
	if made.Reason == policy.OK {
		made.Notes = append(made.Notes, "only the token was judged: give --method and --path to judge the rules as well")
	}
	return made
}

// Requested explains what a sidecar would make of a request with the credential
// in the first place that the policy names; an empty one is none.
func Requested(ctx context.Context, in *bundle.Snapshot, text string, r Request, now time.Time) (Explanation, error) {
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	spec := in.Policy.Spec()
	put(header, &spec, text)
	if text == "" {
		text = carried(header, &spec)
	}
	finding, err := sidecar.Judge(ctx, in, sidecar.Inquiry{Method: r.Method, Target: r.Target, Header: header}, now)
	if err != nil {
		return Explanation{}, err
	}
	var trace []token.Outcome
	if raw, reason := token.Extract([]string{"Bearer " + text}, "Bearer ", maxToken(in)); reason == "" && finding.Token.Reason != "" {
		trace = in.Verifier.Trace(ctx, raw, now)
	}
	outcome := finding.Token
	outcome.Reason = finding.Reason
	made := ofToken(in, text, outcome, trace, now)
	made.Decision, made.Rule, made.Client = finding.Verdict, finding.Rule, finding.Client
	made.Method, made.Path, made.Status = r.Method, r.Target, finding.Status
	if finding.Client != "" || finding.Token.Reason == "" {
		made.Checks = nil // no token was looked at
	} else {
		made.Checks = checks(finding.Reason, true)
	}
	made.weighRules(in, r, header, &finding)
	return made, nil
}

// put puts the credential where the policy looks for one of its kind first.
func put(header http.Header, spec *policy.Spec, text string) {
	switch {
	case text == "":
	case unverified.IsKey(text):
		if spec.APIKeyAuth != nil && len(spec.APIKeyAuth.ExtractFrom) > 0 {
			header.Set(spec.APIKeyAuth.ExtractFrom[0].Header, text)
		}
	case spec.JWT != nil && len(spec.JWT.ExtractFrom.Headers) > 0:
		from := spec.JWT.ExtractFrom.Headers[0]
		header.Set(from.Name, from.ValuePrefix+text)
	default:
		header.Set("Authorization", "Bearer "+text)
	}
}

// carried is the token that a request has, for what is said of it; empty where it
// is not found. What is decided does not depend on it.
func carried(header http.Header, spec *policy.Spec) string {
	if spec.JWT == nil {
		return ""
	}
	for _, from := range spec.JWT.ExtractFrom.Headers {
		for _, value := range header.Values(from.Name) {
			if http.CanonicalHeaderKey(from.Name) == "Cookie" {
				cookies, _ := http.ParseCookie(value) // what cannot be read carries nothing
				for _, cookie := range cookies {
					if cookie.Name+"=" == from.ValuePrefix {
						return cookie.Value
					}
				}
				continue
			}
			if n := len(from.ValuePrefix); len(value) > n && policy.EqualFoldASCII(value[:n], from.ValuePrefix) {
				return strings.TrimSpace(value[n:])
			}
		}
	}
	return ""
}

func maxToken(in *bundle.Snapshot) int {
	if limits := in.Policy.Spec().Limits; limits != nil && limits.MaxTokenBytes != nil {
		return int(*limits.MaxTokenBytes)
	}
	return 0
}

// ofKey explains what became of an API key.
func ofKey(in *bundle.Snapshot, text string, now time.Time) Explanation {
	outcome := apikey.Outcome{Reason: policy.APIKeyInvalid}
	key, err := apikey.Parse(text)
	if err == nil {
		outcome = in.APIKeys.Lookup(key, now)
	}
	made := of(outcome.Reason)
	made.Decision, made.Policy, made.Client = verdict(in, outcome.Reason), in.Name, outcome.Owner
	switch {
	case in.APIKeys == nil:
		made.Here = "the policy takes no API keys: it has no apiKeyAuth"
	case err != nil:
		made.Here = "the text has not the form of a key, or its checksum is wrong: it was mistyped or cut short"
	case !outcome.Expires.IsZero():
		made.Here = "its expiresAt: " + unverified.FromNow(outcome.Expires, now)
	}
	return made
}

// ofToken explains what Verify found.
func ofToken(in *bundle.Snapshot, text string, outcome token.Outcome, trace []token.Outcome, now time.Time) Explanation {
	made := of(outcome.Reason)
	made.Decision, made.Policy = verdict(in, outcome.Reason), in.Name
	made.Provider, made.KID, made.Claim = outcome.Provider, outcome.KID, outcome.Claim
	made.Checks = checks(outcome.Reason, false)
	if text == "" {
		return made // nothing is known of what it says
	}
	said := unverified.Read(text)
	made.Times = said.Moments(now)
	c := circumstances{in: in, said: said, outcome: outcome, now: now}
	made.Here = c.say()
	for _, one := range trace {
		made.Providers = append(made.Providers, Asked{Provider: one.Provider, Reason: one.Reason, Keys: c.keysTried(&one)})
	}
	if outcome.Leeway != "" {
		made.Notes = append(made.Notes, outcome.Leeway+" passed only by clockSkew: set the signer's clock")
	}
	return made
}

// verdict is the decision that goes with a reason.
func verdict(in *bundle.Snapshot, reason policy.Reason) string {
	audited := !slices.Contains([]policy.Reason{policy.AmbiguousCredentials, policy.TokenTooLarge}, reason)
	switch {
	case reason == policy.OK:
		return "allow"
	case in.Policy.Spec().Mode == policy.ModeAudit && audited:
		return "audit_deny"
	}
	return "deny"
}
