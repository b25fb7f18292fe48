package token

import (
	"cmp"
	"context"
	"time"

	"gatepost.dev/gatepost/policy"
)

// attempt is one token on its way through the candidates.
type attempt struct {
	*compact
	now    time.Time
	trials int
}

// by judges the token by one provider: header, key, signature, claims, in this
// order; nothing of the claims matters before the signature is good.
func (a *attempt) by(ctx context.Context, p *provider) Outcome {
	outcome := Outcome{Provider: p.name}
	switch {
	case !p.algorithms.has(a.alg):
		outcome.Reason = policy.AlgNotAllowed
		return outcome
	case !p.accepts(a.compact):
		outcome.Reason = policy.TypeNotAllowed
		return outcome
	}
	set, lookup := a.keys(ctx, p)
	outcome.Lookup = lookup
	key, reason := a.signer(set)
	if key == nil {
		outcome.Reason = reason
		return outcome
	}
	outcome.KID = key.kid
	a.judgeClaims(p, &outcome)
	return outcome
}

// keys are the provider's keys. Only a kid that is not loaded, or no set at all,
// makes it wait.
func (a *attempt) keys(ctx context.Context, p *provider) (*KeySet, Lookup) {
	if p.keys == nil {
		return nil, ""
	}
	set := p.keys.current(a.now)
	if set.Len() > 0 && (!a.hasKID || set.byKID[a.kid] != nil) {
		return set, ""
	}
	set, lookup := p.keys.await(ctx, a.kid, a.now)
	if !a.hasKID {
		lookup = ""
	}
	return set, lookup
}

// signer finds the key that verifies the signature: the one the kid names, or
// without kid any live key that is for the algorithm, as far as the trials go.
// The reason is set when
// there is none.
func (a *attempt) signer(set *KeySet) (*verifyKey, policy.Reason) {
	if set.Len() == 0 {
		return nil, policy.KeysUnavailable
	}
	keys := set.tried
	if a.hasKID {
		named := set.byKID[a.kid]
		if named == nil {
			return nil, policy.UnknownKey
		}
		keys = []*verifyKey{named}
	}
	reason := policy.AlgNotAllowed
	for _, key := range keys {
		check := key.check(a.alg)
		if check == nil {
			continue
		}
		reason = policy.SignatureInvalid
		if a.trials < key.trials() {
			continue
		}
		a.trials -= key.trials()
		if check.verify(a.signed, a.signature) {
			return key, ""
		}
	}
	return nil, reason
}

// judgeClaims sets the reason, and on success the Verified, from the claims of a
// token whose signature is good.
func (a *attempt) judgeClaims(p *provider, outcome *Outcome) {
	claims, wrong := readRegistered(a.claims)
	if wrong = cmp.Or(wrong, missing(a.claims, p.required), unfitHeader(a.claims, p.headerClaims)); wrong != "" {
		outcome.Reason, outcome.Claim = policy.ClaimInvalid, wrong
		return
	}
	outcome.Reason = judge(p, claims, a.now)
	if outcome.Reason == policy.Expired {
		outcome.ExpiredFor = a.now.Sub(claims.expires)
	}
	if outcome.Reason != policy.OK {
		return
	}
	outcome.Remaining = claims.expires.Sub(a.now)
	outcome.Leeway = savedBy(claims, a.now)
	outcome.Verified = &Verified{
		provider: p.name, kid: outcome.KID,
		subject: claims.subject, expires: claims.expires, claims: a.claims, text: len(a.signed),
	}
}

// missing names a required claim that is not there; empty when all are.
func missing(claims map[string]any, names []string) string {
	for _, name := range names {
		if claims[name] == nil {
			return name
		}
	}
	return ""
}

// judge compares well-formed claims with what the provider asks, in the order of
// stages.
func judge(p *provider, claims registered, now time.Time) policy.Reason {
	late, early := now.Add(-p.leeway), now.Add(p.leeway)
	switch {
	case len(p.audiences) > 0 && !audienceIn(claims.audience, p.audiences):
		return policy.AudienceMismatch
	case claims.expires.After(latestExpiry(p, claims, early)):
		return policy.LifetimeExceeded
	case claims.hasNBF && claims.notBefore.After(early), claims.hasIAT && claims.issued.After(early):
		return policy.NotYetValid
	case !late.Before(claims.expires):
		return policy.Expired
	case !p.revoked.IsZero() && (!claims.hasIAT || claims.issued.Before(p.revoked)):
		return policy.Revoked
	default:
		return policy.OK
	}
}

// latestExpiry is the lifetime counted from iat, or from now and the leeway for
// a token without iat.
func latestExpiry(p *provider, claims registered, early time.Time) time.Time {
	if claims.hasIAT {
		return claims.issued.Add(p.lifetime)
	}
	return early.Add(p.lifetime)
}

// savedBy names the claim for which only the leeway let the token pass.
func savedBy(claims registered, now time.Time) string {
	switch {
	case !now.Before(claims.expires):
		return "exp"
	case claims.hasNBF && claims.notBefore.After(now):
		return "nbf"
	case claims.hasIAT && claims.issued.After(now):
		return "iat"
	default:
		return ""
	}
}
