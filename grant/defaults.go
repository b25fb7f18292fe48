package grant

import (
	"time"

	"gatepost.dev/gatepost/policy"
)

// The bounds of RefreshToken.
const (
	minRefreshLifetime = time.Minute
	maxRefreshLifetime = 365 * 24 * time.Hour
	maxReuseGrace      = time.Minute
)

// setDefaults fills in what the resource's schema fills in, and what it cannot:
// the same file means the same with and without an API server. The spec was
// checked.
func setDefaults(s *Spec) {
	durationOrElse(&s.TokenLifetime, DefaultTokenLifetime)
	textOrElse(&s.TokenType, TypeJWT)
	if s.Session != nil {
		defaultSession(s.Session)
	}
	if s.TokenExchange != nil {
		for i := range s.TokenExchange.ServiceAccounts {
			textOrElse(&s.TokenExchange.ServiceAccounts[i].Audience, s.Issuer)
		}
	}
	if s.RefreshToken == nil && s.has(GrantRefreshToken) {
		s.RefreshToken = &RefreshToken{}
	}
	if r := s.RefreshToken; r != nil {
		durationOrElse(&r.Lifetime, 24*time.Hour)
		durationOrElse(&r.ReuseGrace, 10*time.Second)
	}
	if s.CORS != nil {
		compiled, _, _ := judged(policy.Spec{CORS: s.CORS})
		s.CORS = compiled.Spec().CORS
	}
	if s.RateLimit == nil {
		s.RateLimit = &RateLimit{}
	}
	textOrElse(&s.RateLimit.PerClient, "10/s")
	textOrElse(&s.RateLimit.PerIP, "20/s")
	if s.Replicas == nil {
		s.Replicas = new(int32(2))
	}
}

func defaultSession(s *Session) {
	for i := range s.Providers {
		p := &s.Providers[i]
		compiled, _, _ := judged(policy.Spec{JWT: &policy.JWT{Providers: []policy.Provider{p.Provider}}})
		p.Provider = compiled.Spec().JWT.Providers[0]
		if p.ExtractFrom == nil {
			p.ExtractFrom = &SessionSource{Header: "Authorization", ValuePrefix: "Bearer "}
		}
	}
	if s.Introspection != nil {
		textOrElse(&s.Introspection.Subject, "sub")
	}
}

func textOrElse(text *string, otherwise string) {
	if *text == "" {
		*text = otherwise
	}
}

func durationOrElse(d **policy.Duration, otherwise time.Duration) {
	if *d == nil {
		*d = &policy.Duration{Duration: otherwise}
	}
}
