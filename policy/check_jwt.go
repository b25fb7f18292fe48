package policy

import (
	"encoding/json"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

func (c *checker) jwt(field string, j *JWT) {
	c.Count(field+".providers", len(j.Providers), 1, 8)
	names := make([]string, len(j.Providers))
	for i := range j.Providers {
		names[i] = j.Providers[i].Name
		c.provider(bounds.At(field+".providers", i), &j.Providers[i])
	}
	c.UniqueNames(field+".providers", names)
	if j.ExtractFrom != nil {
		c.extractFrom(field+".extractFrom.headers", j.ExtractFrom.Headers)
	}
	bounds.OneOf(&c.Checker, field+".forward", "forward", j.Forward, ForwardOriginal, ForwardStrip, ForwardAlways)
	if j.Forward == ForwardAlways {
		c.Warn(field+".forward", "Always shows the agent Authorization headers that nobody verified")
	}
	c.claimToHeaders(field+".claimToHeaders", j)
}

func (c *checker) provider(field string, p *Provider) {
	c.Text(field+".name", p.Name, bounds.Label)
	c.Texts(field+".issuers", p.Issuers, 4, bounds.Form{Most: 2048})
	for i, issuer := range p.Issuers {
		switch {
		case strings.HasSuffix(issuer, "/"):
			c.Warn(bounds.At(field+".issuers", i), "ends in a slash: iss is compared byte for byte, so tokens must have it too")
		case strings.TrimSpace(issuer) != issuer:
			c.Warn(bounds.At(field+".issuers", i), "begins or ends with a blank: iss is compared byte for byte")
		}
	}
	c.Texts(field+".audiences", p.Audiences, 16, bounds.Form{Most: 2048})
	c.algorithms(field+".algorithms", p)
	c.keySource(field, p)
	c.duration(field+".clockSkew", p.ClockSkew, 0, time.Minute)
	c.duration(field+".maxTokenLifetime", p.MaxTokenLifetime, time.Second, 10*365*24*time.Hour)
	c.Texts(field+".requiredClaims", p.RequiredClaims, 16, bounds.Form{Most: 256})
	c.types(field+".types", p.Types)
	if p.RevokedBefore != nil {
		if _, err := time.Parse(time.RFC3339, *p.RevokedBefore); err != nil {
			c.Fail(field+".revokedBefore", "%q is no time: write it like 2026-11-22T08:00:00Z", *p.RevokedBefore)
		}
	}
}

// types refuses the type of refresh tokens: they are for the issuer alone.
func (c *checker) types(field string, types []string) {
	c.Texts(field, types, 8, bounds.Form{Most: 64})
	for i, typ := range types {
		if name := strings.ToLower(typ); strings.TrimPrefix(name, "application/") == "refresh+jwt" {
			c.Fail(bounds.At(field, i), "refresh tokens never open an agent: remove %s", typ)
		}
	}
}

func (c *checker) algorithms(field string, p *Provider) {
	c.Count(field, len(p.Algorithms), 1, 13)
	hmac := 0
	for i, alg := range p.Algorithms {
		bounds.RequireOneOf(&c.Checker, bounds.At(field, i), "algorithm", alg, algorithms()...)
		if isHMAC(alg) {
			hmac++
		}
	}
	bounds.Unique(&c.Checker, field, p.Algorithms)
	public := len(p.Algorithms) - hmac
	switch {
	case hmac > 0 && public > 0:
		c.Fail(field, "mixes HS* with public-key algorithms: a provider has either secrets or public keys; make two providers of it")
	case public > 0 && p.SecretRef != nil:
		c.Fail(field, "a provider with secretRef holds HMAC secrets: use only HS256, HS384, HS512")
	case hmac > 0 && (p.LocalJWKS != nil || p.RemoteJWKS != nil):
		c.Fail(field, "a provider with a JWKS holds public keys: HS256, HS384, HS512 are not possible")
	}
}

// algorithms are the accepted values of alg.
func algorithms() []Algorithm {
	return []Algorithm{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

func isHMAC(a Algorithm) bool { return strings.HasPrefix(string(a), "HS") }

func (c *checker) keySource(field string, p *Provider) {
	sources := 0
	for _, set := range []bool{p.SigningKeyRef != nil, p.SecretRef != nil, p.LocalJWKS != nil, p.RemoteJWKS != nil} {
		if set {
			sources++
		}
	}
	if sources != 1 {
		c.Fail(field, "has %d sources of keys: set exactly one of signingKeyRef, secretRef, localJWKS, remoteJWKS", sources)
	}
	if ref := p.SigningKeyRef; ref != nil {
		c.Text(field+".signingKeyRef.name", ref.Name, bounds.SigningKey)
		if p.MaxTokenLifetime != nil {
			c.Fail(field+".maxTokenLifetime", "is set by the SigningKey's maxTokenLifetime: remove it here")
		}
	}
	if ref := p.SecretRef; ref != nil {
		c.Text(field+".secretRef.name", ref.Name, bounds.Object)
		c.Count(field+".secretRef.keys", len(ref.Keys), 1, 8)
		c.Texts(field+".secretRef.keys", ref.Keys, 8, bounds.DataKey)
	}
	if p.LocalJWKS != nil {
		c.localJWKS(field+".localJWKS", p.LocalJWKS)
	}
	if p.RemoteJWKS != nil {
		c.remoteJWKS(field+".remoteJWKS", p.RemoteJWKS)
	}
	if (p.LocalJWKS != nil || p.RemoteJWKS != nil) && len(p.Audiences) == 0 {
		c.Warn(field+".audiences", "is empty: every token these keys sign is accepted, also one meant for another service")
	}
}

func (c *checker) keyRef(field string, ref *KeyRef) {
	c.Text(field+".name", ref.Name, bounds.Object)
	c.Text(field+".key", ref.Key, bounds.DataKey)
}

func (c *checker) localJWKS(field string, j *LocalJWKS) {
	if (j.Inline != "") == (j.ConfigMapRef != nil) {
		c.Fail(field, "set exactly one of inline, configMapRef")
	}
	if j.ConfigMapRef != nil {
		c.keyRef(field+".configMapRef", j.ConfigMapRef)
	}
	if j.Inline == "" {
		return
	}
	c.Text(field+".inline", j.Inline, bounds.Form{Most: 65536})
	var set map[string]json.RawMessage
	var keys []map[string]json.RawMessage
	if json.Unmarshal([]byte(j.Inline), &set) != nil || json.Unmarshal(set["keys"], &keys) != nil || len(keys) == 0 {
		c.Fail(field+".inline", `is no key set: write {"keys": [...]} with at least one key (RFC 7517 section 5)`)
		return
	}
	for i, key := range keys {
		for _, member := range []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth"} {
			if _, found := key[member]; found {
				c.Fail(field+".inline", "keys[%d] has the private member %q: publish only its public half", i, member)
				break
			}
		}
	}
}

func (c *checker) remoteJWKS(field string, r *RemoteJWKS) {
	c.RemoteURL(field+".uri", r.URI, r.AllowInsecureHTTP)
	if r.AllowInsecureHTTP {
		c.Warn(field+".allowInsecureHTTP", "whoever is on the way to %s can choose the keys", field+".uri")
	}
	c.duration(field+".cacheDuration", r.CacheDuration, time.Second, 24*time.Hour)
	c.duration(field+".failedRefetchDuration", r.FailedRefetchDuration, time.Second, time.Hour)
	c.duration(field+".unknownKeyRefetchInterval", r.UnknownKeyRefetchInterval, time.Second, time.Hour)
	c.duration(field+".maxStale", r.MaxStale, 0, 30*24*time.Hour)
	if ref := r.CABundleRef; ref != nil {
		bounds.OneOf(&c.Checker, field+".caBundleRef.kind", "kind", ref.Kind, KindConfigMap, KindSecret)
		c.keyRef(field+".caBundleRef", &KeyRef{Name: ref.Name, Key: ref.Key})
	}
}
