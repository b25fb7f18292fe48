package token

import (
	"context"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Provider is what one provider of a policy vouches for, with its keys resolved.
type Provider struct {
	// Provider is the wire type. Used: name, issuers, audiences, algorithms,
	// clockSkew (nil: 10s), requiredClaims, types (empty: JWT, at+jwt),
	// revokedBefore.
	policy.Provider
	// MaxTokenLifetime caps a token's life; zero: the wire type's
	// maxTokenLifetime, else 24h. For a signingKeyRef it is the SigningKey's.
	MaxTokenLifetime time.Duration
	// HeaderClaims are further claims (names or JSON pointers, as in
	// claimToHeaders) that become request headers: a value with control
	// characters makes the token claim_invalid. The contract's default claims
	// are always among them.
	HeaderClaims []string
	// Keys are the keys; nil: keys_unavailable.
	Keys Source
}

// Source is where a provider's keys come from: a *KeySet or a *Remote.
type Source interface {
	current(now time.Time) *KeySet
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
)

func (s *KeySet) current(time.Time) *KeySet { return s }

func (s *KeySet) await(context.Context, string, time.Time) (*KeySet, Lookup) {
	return s, LookupAbsent
}

// Verifier judges tokens by the providers of one policy. It is immutable and
// safe for concurrent use; a nil Verifier refuses everything with
// keys_unavailable.
type Verifier struct{}

// NewVerifier checks the providers and makes a Verifier. Errors name the
// provider and the field: no or doubled name, an unknown algorithm, secrets
// mixed with public keys, a clockSkew above 60s, a revokedBefore that is no
// time.
func NewVerifier(providers []Provider) (*Verifier, error) { return nil, errNotBuilt }

// Verify judges one token at one time. It waits for a remote key set only when
// the token names a key that is not loaded, and no longer than ctx.
func (v *Verifier) Verify(ctx context.Context, raw Raw, now time.Time) Outcome {
	return Outcome{Reason: policy.KeysUnavailable}
}

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
func (v *Verifier) State(now time.Time) []ProviderState { return nil }
