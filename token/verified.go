package token

import (
	"time"

	"gatepost.dev/gatepost/policy"
)

// Verified is a token whose signature and claims were found good by a Verifier.
// Only Verify makes one; a nil or zero Verified is nobody.
type Verified struct {
	provider string
	kid      string
	subject  string
	expires  time.Time
	claims   map[string]any
	text     int // bytes of the text that claims share, at most
}

// Valid reports whether v came from Verify.
func (v *Verified) Valid() bool { return v != nil && v.claims != nil }

// Provider is the name of the provider that vouches for the token.
func (v *Verified) Provider() string {
	if v == nil {
		return ""
	}
	return v.provider
}

// KID is the id of the key that verified the token; empty if that key has none.
func (v *Verified) KID() string {
	if v == nil {
		return ""
	}
	return v.kid
}

// Subject is sub, an integer as its decimal text; empty if absent or null.
func (v *Verified) Subject() string {
	if v == nil {
		return ""
	}
	return v.subject
}

// Expires is exp, without leeway.
func (v *Verified) Expires() time.Time {
	if v == nil {
		return time.Time{}
	}
	return v.expires
}

// Claims are all claims by exact name: string, json.Number, bool, nil, []any or
// map[string]any. The map is shared: read only.
func (v *Verified) Claims() map[string]any {
	if v == nil {
		return nil
	}
	return v.claims
}

// Outcome is what Verify found.
type Outcome struct {
	// Verified is set when and only when Reason is ok.
	Verified *Verified
	// Reason is ok or the reason of the furthest stage that any provider
	// reached: issuer_mismatch, alg_not_allowed, type_not_allowed, unknown_key,
	// signature_invalid, keys_unavailable, then the claims' own.
	Reason policy.Reason
	// Provider is the provider that reached that stage; empty if none was asked.
	Provider string
	// KID is the id of the key that verified the signature: one of ours, never
	// the token's word. Empty before that stage.
	KID string
	// Remaining is the time to exp of an accepted token, negative within the leeway.
	Remaining time.Duration
	// ExpiredFor is the time since exp of a token refused as expired.
	ExpiredFor time.Duration
	// Leeway names the claim (exp, nbf or iat) that only the leeway saved; empty if none.
	Leeway string
	// Claim names the claim for which a token is claim_invalid: a standard's name or
	// the policy's, never the token's word.
	Claim string
	// Lookup says what became of an unknown kid.
	Lookup Lookup
}
