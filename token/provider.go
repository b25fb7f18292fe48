package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// What a provider has when its policy says nothing.
const (
	defaultClockSkew        = 10 * time.Second
	maxClockSkew            = time.Minute
	defaultMaxTokenLifetime = 24 * time.Hour
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

// provider is a Provider made ready.
type provider struct {
	name         string
	issuers      []string
	audiences    []string
	algorithms   algorithmSet
	types        []string
	required     []string
	headerClaims []string
	leeway       time.Duration
	lifetime     time.Duration
	revoked      time.Time
	keys         Source
}

// newProvider checks a Provider and applies its defaults. The policy's own rules
// are Compile's; here stands what verification relies on.
func newProvider(wire Provider) (*provider, error) {
	if wire.Name == "" {
		return nil, errors.New("name must be set")
	}
	ready := &provider{
		name: wire.Name, issuers: slices.Clone(wire.Issuers), audiences: slices.Clone(wire.Audiences),
		required: slices.Clone(wire.RequiredClaims), headerClaims: slices.Clone(wire.HeaderClaims),
		leeway: defaultClockSkew, lifetime: wire.MaxTokenLifetime, keys: wire.Keys,
	}
	if wire.ClockSkew != nil {
		ready.leeway = wire.ClockSkew.Duration
	}
	if ready.leeway < 0 || ready.leeway > maxClockSkew {
		return nil, errors.New("clockSkew must be between 0s and 60s")
	}
	if ready.lifetime == 0 && wire.Provider.MaxTokenLifetime != nil {
		ready.lifetime = wire.Provider.MaxTokenLifetime.Duration
	}
	if ready.lifetime == 0 {
		ready.lifetime = defaultMaxTokenLifetime
	}
	if ready.lifetime < 0 {
		return nil, errors.New("maxTokenLifetime must be positive")
	}
	if err := ready.readRevoked(wire.RevokedBefore); err != nil {
		return nil, err
	}
	ready.readTypes(wire.Types)
	return ready, ready.readAlgorithms(wire.Algorithms)
}

func (p *provider) readRevoked(before *string) error {
	if before == nil {
		return nil
	}
	revoked, err := time.Parse(time.RFC3339, *before)
	if err != nil {
		return fmt.Errorf("revokedBefore %q must be a time such as 2026-01-31T12:00:00Z", *before)
	}
	p.revoked = revoked
	return nil
}

func (p *provider) readTypes(types []string) {
	if len(types) == 0 {
		types = []string{"JWT", "at+jwt"}
	}
	for _, typ := range types {
		p.types = append(p.types, mediaType(typ))
	}
}

// mediaType is a typ without the prefix that RFC 7515 section 4.1.9 lets a
// signer leave out.
func mediaType(typ string) string {
	const prefix = "application/"
	if short, ok := cutPrefixFold(typ, prefix); ok && !strings.Contains(short, "/") {
		return short
	}
	return typ
}

// readAlgorithms pins the algorithms: secrets or public keys, never both
// (threats T2), and keys of that kind.
func (p *provider) readAlgorithms(names []policy.Algorithm) error {
	if len(names) == 0 {
		return errors.New("algorithms must name at least one algorithm")
	}
	secret := 0
	for _, name := range names {
		alg := algorithmNamed(string(name))
		if alg == noAlgorithm {
			return fmt.Errorf("algorithms: %q is not supported", name)
		}
		if algorithms[alg].family == familyHMAC {
			secret++
		}
		p.algorithms = p.algorithms.with(alg)
	}
	if secret != 0 && secret != len(names) {
		return errors.New("algorithms must be HS* alone or without HS*: a provider has secrets or public keys")
	}
	secrets, public := kindsOf(p.keys)
	if (secrets && secret == 0) || (public && secret != 0) {
		return errors.New("keys do not fit algorithms: HS* take secrets, all others public keys")
	}
	return nil
}

// kindsOf tells whether a source holds secrets and whether it holds public keys,
// which are all that is ever fetched.
func kindsOf(source Source) (secrets, public bool) {
	if _, remote := source.(*Remote); remote {
		return false, true
	}
	set, _ := source.(*KeySet)
	return set.kinds()
}

// accepts reports whether a token's typ is allowed; an absent one is.
func (p *provider) accepts(token *compact) bool {
	if !token.hasTyp {
		return true
	}
	typ := mediaType(token.typ)
	for _, accepted := range p.types {
		if policy.EqualFoldASCII(typ, accepted) {
			return true
		}
	}
	return false
}
