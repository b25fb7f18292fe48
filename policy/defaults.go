package policy

import "time"

// setDefaults fills in what the resource's schema fills in, and what it cannot:
// the same file means the same with and without an API server.
func setDefaults(s *Spec) {
	orElse(&s.Mode, ModeEnforce)
	if s.JWT != nil {
		defaultJWT(s.JWT)
	}
	if a := s.APIKeyAuth; a != nil {
		if len(a.ExtractFrom) == 0 {
			a.ExtractFrom = []APIKeySource{{Header: "X-API-Key"}}
		}
		orElse(&a.ForwardClientIDHeader, "X-Auth-Client")
		pointerOrElse(&a.Sanitize, true)
	}
	if s.Authorization != nil {
		defaultAuthorization(s.Authorization)
	}
	if s.CORS != nil {
		defaultCORS(s.CORS)
	}
	defaultTransport(s)
}

func defaultJWT(j *JWT) {
	for i := range j.Providers {
		p := &j.Providers[i]
		durationOrElse(&p.ClockSkew, 10*time.Second)
		if p.SigningKeyRef == nil {
			durationOrElse(&p.MaxTokenLifetime, 24*time.Hour)
		}
		if len(p.Types) == 0 {
			p.Types = []string{"JWT", "at+jwt"}
		}
		if r := p.RemoteJWKS; r != nil {
			durationOrElse(&r.CacheDuration, 5*time.Minute)
			durationOrElse(&r.FailedRefetchDuration, 10*time.Second)
			durationOrElse(&r.UnknownKeyRefetchInterval, 10*time.Second)
			durationOrElse(&r.MaxStale, 24*time.Hour)
			if r.CABundleRef != nil {
				orElse(&r.CABundleRef.Kind, KindConfigMap)
			}
		}
	}
	if j.ExtractFrom == nil {
		j.ExtractFrom = &ExtractFrom{Headers: []TokenHeader{{Name: "Authorization", ValuePrefix: "Bearer "}}}
	}
	orElse(&j.Forward, ForwardOriginal)
}

func defaultAuthorization(a *Authorization) {
	orElse(&a.DefaultAction, ActionDeny)
	for i := range a.Rules {
		r := &a.Rules[i]
		orElse(&r.Action, ActionAllow)
		if r.Operation != nil {
			for j := range r.Operation.Paths {
				orElse(&r.Operation.Paths[j].Type, PathExact)
			}
		}
		if p := r.Principal; p != nil {
			for j := range p.Claims {
				orElse(&p.Claims[j].ValueType, ClaimString)
			}
			if p.Tenant != nil {
				orElse(&p.Tenant.Claim, "tenant_id")
				orElse(&p.Tenant.OnNull, ActionDeny)
			}
		}
	}
}

func defaultCORS(c *CORS) {
	orElse(&c.Mode, CORSGateway)
	if len(c.AllowMethods) == 0 {
		c.AllowMethods = []Method{"GET", "POST", "PUT", "PATCH", "DELETE"}
	}
	if len(c.AllowHeaders) == 0 {
		c.AllowHeaders = defaultAllowHeaders()
	}
	durationOrElse(&c.MaxAge, 10*time.Minute)
}

func defaultAllowHeaders() []string {
	return []string{
		"Authorization", "Content-Type", "X-API-Key",
		"Last-Event-ID", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id",
	}
}

// defaultMaxTokenBytes is that of limits.maxTokenBytes.
const defaultMaxTokenBytes = 16384

// defaultGrace is streaming.grace where nobody wrote one, or the API server did.
const defaultGrace = 30 * time.Second

// defaultTransport fills in whole sections, so that the sidecar need not ask
// whether they are there.
func defaultTransport(s *Spec) {
	pointerOrElse(&s.Streaming, Streaming{})
	orElse(&s.Streaming.OnTokenExpiry, OnExpiryContinue)
	durationOrElse(&s.Streaming.Grace, defaultGrace)
	pointerOrElse(&s.Upstream, Upstream{})
	orElse(&s.Upstream.Host, HostPreserve)
	pointerOrElse(&s.WebSocket, WebSocket{})
	if len(s.WebSocket.TokenSources) == 0 {
		s.WebSocket.TokenSources = []string{TokenSourceHeader}
	}
	pointerOrElse(&s.Responses, Responses{})
	orElse(&s.Responses.APIKeyFailureStatus, 401)
	pointerOrElse(&s.Limits, Limits{})
	l := s.Limits
	pointerOrElse(&l.MaxTokenBytes, defaultMaxTokenBytes)
	pointerOrElse(&l.MaxHeaderBytes, 65536)
	pointerOrElse(&l.MaxConcurrentRequests, 2048)
	pointerOrElse(&l.MaxConnections, 10240)
	pointerOrElse(&l.MaxMCPBodyBytes, 1048576)
}

func orElse[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

func pointerOrElse[T any](value **T, otherwise T) {
	if *value == nil {
		*value = &otherwise
	}
}

func durationOrElse(value **Duration, otherwise time.Duration) {
	pointerOrElse(value, Duration{otherwise})
}
