package policy

import (
	"fmt"
	"net/netip"
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

// spec checks everything; field paths begin with "spec." as in the resource.
func (c *checker) spec(s *Spec) {
	bounds.OneOf(&c.Checker, "spec.mode", "mode", s.Mode, ModeEnforce, ModeAudit)
	if s.JWT != nil {
		c.jwt("spec.jwt", s.JWT)
	}
	if s.APIKeyAuth != nil {
		c.apiKeyAuth("spec.apiKeyAuth", s)
	}
	if s.Authorization != nil {
		c.authorization("spec.authorization", s.Authorization, s)
	}
	c.exemptions("spec.exemptions", s.Exemptions)
	if s.ProtectedResource != nil {
		c.protectedResource("spec.protectedResource", s.ProtectedResource)
	}
	if s.CORS != nil {
		c.cors("spec.cors", s.CORS)
	}
	c.transport(s)
	c.trustedProxies("spec.trustedProxies", s.TrustedProxies)
	c.passable(s)
	c.cookies(s)
	c.sendable(s)
}

// passable warns of a policy that lets nothing through but exemptions.
func (c *checker) passable(s *Spec) {
	anonymous := false
	if s.Authorization != nil {
		for _, r := range s.Authorization.Rules {
			anonymous = anonymous || r.Action != ActionDeny && r.Principal != nil && r.Principal.Anonymous
		}
	}
	switch {
	case anonymous:
	case s.JWT == nil && s.APIKeyAuth == nil:
		c.Warn("spec.jwt", "is absent and no rule is anonymous: nothing but exemptions can pass")
	case s.Authorization != nil && len(s.Authorization.Rules) == 0 && s.Authorization.DefaultAction != ActionAllow:
		c.Warn("spec.authorization", "has no rules and denies by default: nothing but exemptions can pass")
	}
}

func (c *checker) exemptions(field string, list []Exemption) {
	c.Count(field, len(list), 0, 32)
	for i, e := range list {
		field := bounds.At(field, i)
		c.methods(field+".methods", e.Methods, 1)
		c.exactPath(field+".path", e.Path)
	}
}

func (c *checker) probes(list []Probe) {
	for i, p := range list {
		field := bounds.At("probes", i)
		if p.Port < 1 || p.Port > 65535 {
			c.Fail(field+".port", "%d is out of bounds: 1 to 65535", p.Port)
		}
		bounds.RequireOneOf(&c.Checker, field+".method", "method", Method(p.Method), methods()...)
		if _, ok := judgeTarget(probeTarget(p.Path)); !ok {
			c.Fail(field+".path", "%q would be refused as ambiguous: write the path without escapes, dot segments and double slashes", p.Path)
		}
	}
}

// transport checks what only the sidecar acts on.
func (c *checker) transport(s *Spec) {
	if t := s.Streaming; t != nil {
		bounds.OneOf(&c.Checker, "spec.streaming.onTokenExpiry", "action", t.OnTokenExpiry, OnExpiryContinue, OnExpiryClose, OnExpiryCloseAfterGrace)
		c.duration("spec.streaming.grace", t.Grace, 0, 24*time.Hour)
		if t.Grace != nil && t.Grace.Duration != defaultGrace && t.OnTokenExpiry != OnExpiryCloseAfterGrace {
			c.Warn("spec.streaming.grace", "changes nothing: grace needs onTokenExpiry: CloseAfterGrace")
		}
	}
	if u := s.Upstream; u != nil {
		bounds.OneOf(&c.Checker, "spec.upstream.host", "host", u.Host, HostPreserve, HostLocalhost)
	}
	if w := s.WebSocket; w != nil {
		c.webSocket("spec.webSocket", w)
	}
	if r := s.Responses; r != nil && r.APIKeyFailureStatus != 0 && r.APIKeyFailureStatus != 401 && r.APIKeyFailureStatus != 403 {
		c.Fail("spec.responses.apiKeyFailureStatus", "%d is not possible: use 401 or 403", r.APIKeyFailureStatus)
	}
	if l := s.Limits; l != nil {
		c.limits("spec.limits", l)
	}
}

func (c *checker) webSocket(field string, w *WebSocket) {
	c.Count(field+".tokenSources", len(w.TokenSources), 0, 2)
	for i, source := range w.TokenSources {
		bounds.RequireOneOf(&c.Checker, bounds.At(field+".tokenSources", i), "token source", source, TokenSourceHeader, TokenSourceSubprotocol)
	}
	bounds.Unique(&c.Checker, field+".tokenSources", w.TokenSources)
	c.Count(field+".deferToApp", len(w.DeferToApp), 0, 8)
	for i, path := range w.DeferToApp {
		c.exactPath(bounds.At(field+".deferToApp", i), path)
	}
	bounds.Unique(&c.Checker, field+".deferToApp", w.DeferToApp)
}

func (c *checker) limits(field string, l *Limits) {
	c.Number(field+".maxTokenBytes", l.MaxTokenBytes, 512, 65536)
	c.Number(field+".maxHeaderBytes", l.MaxHeaderBytes, 4096, 1048576)
	c.Number(field+".maxConcurrentRequests", l.MaxConcurrentRequests, 1, 65536)
	c.Number(field+".maxConnections", l.MaxConnections, 1, 131072)
	c.Number(field+".maxMCPBodyBytes", l.MaxMCPBodyBytes, 1024, 16777216)
	token, head := l.MaxTokenBytes, l.MaxHeaderBytes
	switch {
	case head == nil || *head < 4096: // said above
	case token == nil && *head < defaultMaxTokenBytes:
		c.Fail(field+".maxTokenBytes", "%d by default is more than maxHeaderBytes, %d: set maxTokenBytes too", defaultMaxTokenBytes, *head)
	case token != nil && *token > *head:
		c.Fail(field+".maxTokenBytes", "%d is more than maxHeaderBytes, %d: a token of that length never arrives", *token, *head)
	}
	if r := l.Rejections; r != nil {
		c.Text(field+".rejections.rate", r.Rate, bounds.Rate)
		c.Number(field+".rejections.burst", &r.Burst, 1, 100000)
	}
}

func (c *checker) trustedProxies(field string, list []string) {
	c.Count(field, len(list), 0, 32)
	for i, text := range list {
		field := bounds.At(field, i)
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			c.Fail(field, "%q is no network: %s", text, networkHint(text))
		case prefix.Masked() != prefix:
			c.Fail(field, "%q has bits beyond its mask: write %s", text, prefix.Masked())
		case prefix.Bits() == 0:
			c.Warn(field, "trusts everybody's X-Forwarded-* headers")
		}
	}
}

func networkHint(text string) string {
	if addr, err := netip.ParseAddr(text); err == nil {
		return fmt.Sprintf("write %s/%d for the one address", addr, addr.BitLen())
	}
	return "write it like 10.0.0.0/8 or fd00::/8"
}

func (c *checker) protectedResource(field string, p *ProtectedResource) {
	c.ResourceURL(field+".resource", p.Resource)
	c.Count(field+".authorizationServers", len(p.AuthorizationServers), 0, 8)
	for i, server := range p.AuthorizationServers {
		c.ResourceURL(bounds.At(field+".authorizationServers", i), server)
	}
	bounds.Unique(&c.Checker, field+".authorizationServers", p.AuthorizationServers)
	c.Count(field+".scopesSupported", len(p.ScopesSupported), 0, 64)
	for i, scope := range p.ScopesSupported {
		c.Text(bounds.At(field+".scopesSupported", i), scope, bounds.Form{Most: 256})
		if scope != "" && !isScopeToken(scope) {
			c.Fail(bounds.At(field+".scopesSupported", i), "%q is no scope: use visible ASCII without quotes and backslashes", scope)
		}
	}
	bounds.Unique(&c.Checker, field+".scopesSupported", p.ScopesSupported)
}
