package token

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatepost.dev/gatepost/policy"
)

// How many signatures one token may cost: dear ones, by RSA keys of more than
// 4096 bits, count as several.
const (
	maxTrials  = 8
	dearTrials = 4
)

// Source is where a provider's keys come from: a *KeySet or a *Remote.
type Source interface {
	// current is the set in force at now, or nil. It never waits.
	current(now time.Time) *KeySet
	// await is asked when current does not hold kid, or is nil: it may fetch and
	// wait, and returns the set in force then. An empty kid asks for any set.
	await(ctx context.Context, kid string, now time.Time) (*KeySet, Lookup)
}

// Lookup says what became of a kid that was not among the loaded keys; it is
// the label outcome of gatepost_unknown_key_total. Empty: the kid was known, or
// there was none.
type Lookup string

// The closed set of lookups.
const (
	LookupFound      Lookup = "found"      // a refetch brought the key
	LookupAbsent     Lookup = "absent"     // not in the set, nor in a set just fetched
	LookupSuppressed Lookup = "suppressed" // no refetch: cool-down, or known to be absent
	LookupFailed     Lookup = "failed"     // the refetch failed
	LookupOverloaded Lookup = "overloaded" // too many requests wait for a refetch: answered 503
)

// Verifier judges tokens by the providers of one policy. It is immutable and
// safe for concurrent use. A nil Verifier refuses everything with
// keys_unavailable, one without providers with issuer_mismatch.
type Verifier struct {
	providers []*provider
	byIssuer  map[string][]*provider
	anyIssuer []*provider
}

// NewVerifier checks the providers and makes a Verifier. Errors name the
// provider and the field: no or doubled name, an unknown algorithm, secrets
// mixed with public keys, a clockSkew above 60s, a revokedBefore that is no
// time.
func NewVerifier(providers []Provider) (*Verifier, error) {
	v := &Verifier{byIssuer: map[string][]*provider{}}
	names := map[string]bool{}
	for _, wire := range providers {
		ready, err := newProvider(wire)
		if err != nil {
			return nil, fmt.Errorf("provider %q: %w", wire.Name, err)
		}
		if names[ready.name] {
			return nil, fmt.Errorf("provider %q: name occurs twice", wire.Name)
		}
		names[ready.name] = true
		v.providers = append(v.providers, ready)
		for _, issuer := range ready.issuers {
			if !slices.Contains(v.byIssuer[issuer], ready) {
				v.byIssuer[issuer] = append(v.byIssuer[issuer], ready)
			}
		}
		if len(ready.issuers) == 0 {
			v.anyIssuer = append(v.anyIssuer, ready)
		}
	}
	return v, nil
}

// Verify judges one token at one time. It waits for a remote key set only when
// the token names a key that is not loaded, or none is loaded yet, and no longer
// than ctx.
func (v *Verifier) Verify(ctx context.Context, raw Raw, now time.Time) Outcome {
	if v == nil {
		return Outcome{Reason: policy.KeysUnavailable}
	}
	token, ok := parseCompact(raw.text)
	if !ok {
		return Outcome{Reason: policy.MalformedToken}
	}
	attempt := &attempt{compact: token, now: now, trials: maxTrials}
	furthest := Outcome{Reason: policy.IssuerMismatch}
	for _, candidate := range v.candidates(token.claims["iss"]) {
		outcome := attempt.by(ctx, candidate)
		if stage(outcome.Reason) > stage(furthest.Reason) {
			furthest = outcome
		}
		if outcome.Reason == policy.OK {
			break
		}
	}
	return furthest
}

// candidates are the providers that may vouch for an issuer (decision 12): those
// that name it, else those that name none. A key of one issuer is never tried
// for another (RFC 8725 section 3.8).
func (v *Verifier) candidates(iss any) []*provider {
	if issuer, ok := iss.(string); ok {
		if named := v.byIssuer[issuer]; len(named) > 0 {
			return named
		}
	}
	return v.anyIssuer
}

// stages are the reasons of Verify in the order in which a token meets them.
// keys_unavailable stands after signature_invalid: while one candidate cannot
// judge, another's refusal proves nothing. expired stands after what a fresh
// token would not cure, because the answer makes clients refresh; revoked stands
// last, because a refresh does cure it once the token has expired.
var stages = [...]policy.Reason{
	policy.IssuerMismatch,
	policy.AlgNotAllowed,
	policy.TypeNotAllowed,
	policy.UnknownKey,
	policy.SignatureInvalid,
	policy.KeysUnavailable,
	policy.ClaimInvalid,
	policy.AudienceMismatch,
	policy.LifetimeExceeded,
	policy.NotYetValid,
	policy.Expired,
	policy.Revoked,
	policy.OK,
}

func stage(reason policy.Reason) int { return slices.Index(stages[:], reason) }

// ProviderState is what a provider has loaded: the facts behind
// gatepost_keys_loaded and gatepost_jwks_last_success_timestamp_seconds.
type ProviderState struct {
	// Name is the provider's.
	Name string
	// Keys is the number of live keys; zero: its tokens are answered 503.
	Keys int
	// KIDs are the ids of those that have one.
	KIDs []string
	// Remote says that the keys are fetched; LastSuccess is when they last
	// were, zero if never.
	Remote      bool
	LastSuccess time.Time
}

// State tells what is loaded, provider by provider, in the policy's order.
func (v *Verifier) State(now time.Time) []ProviderState {
	if v == nil {
		return nil
	}
	states := make([]ProviderState, 0, len(v.providers))
	for _, p := range v.providers {
		state := ProviderState{Name: p.name}
		if p.keys != nil {
			set := p.keys.current(now)
			state.Keys, state.KIDs = set.Len(), set.KIDs()
		}
		if remote, ok := p.keys.(*Remote); ok {
			state.Remote, state.LastSuccess = true, remote.lastSuccess()
		}
		states = append(states, state)
	}
	return states
}
