package policy

import (
	"fmt"
	"net/netip"
	"time"
)

// spec checks everything; field paths begin with "spec." as in the resource.
func (c *checker) spec(s *Spec) {
	oneOf(c, "spec.mode", "mode", s.Mode, ModeEnforce, ModeAudit)
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
		c.warn("spec.jwt", "is absent and no rule is anonymous: nothing but exemptions can pass")
	case s.Authorization != nil && len(s.Authorization.Rules) == 0 && s.Authorization.DefaultAction != ActionAllow:
		c.warn("spec.authorization", "has no rules and denies by default: nothing but exemptions can pass")
	}
}

func (c *checker) exemptions(field string, list []Exemption) {
	c.count(field, len(list), 0, 32)
	for i, e := range list {
		field := at(field, i)
		c.methods(field+".methods", e.Methods, 1)
		c.exactPath(field+".path", e.Path)
	}
}

func (c *checker) probes(list []Probe) {
	for i, p := range list {
		field := at("probes", i)
		if p.Port < 1 || p.Port > 65535 {
			c.fail(field+".port", "%d is out of bounds: 1 to 65535", p.Port)
		}
		requireOneOf(c, field+".method", "method", Method(p.Method), methods()...)
		if _, ok := judgeTarget(probeTarget(p.Path)); !ok {
			c.fail(field+".path", "%q would be refused as ambiguous: write the path without escapes, dot segments and double slashes", p.Path)
		}
	}
}

// transport checks what only the sidecar acts on.
func (c *checker) transport(s *Spec) {
	if t := s.Streaming; t != nil {
		oneOf(c, "spec.streaming.onTokenExpiry", "action", t.OnTokenExpiry, OnExpiryContinue, OnExpiryClose, OnExpiryCloseAfterGrace)
		c.duration("spec.streaming.grace", t.Grace, 0, 24*time.Hour)
		if t.Grace != nil && t.Grace.Duration != defaultGrace && t.OnTokenExpiry != OnExpiryCloseAfterGrace {
			c.warn("spec.streaming.grace", "changes nothing: grace needs onTokenExpiry: CloseAfterGrace")
		}
	}
	if u := s.Upstream; u != nil {
		oneOf(c, "spec.upstream.host", "host", u.Host, HostPreserve, HostLocalhost)
	}
	if w := s.WebSocket; w != nil {
		c.webSocket("spec.webSocket", w)
	}
	if r := s.Responses; r != nil && r.APIKeyFailureStatus != 0 && r.APIKeyFailureStatus != 401 && r.APIKeyFailureStatus != 403 {
		c.fail("spec.responses.apiKeyFailureStatus", "%d is not possible: use 401 or 403", r.APIKeyFailureStatus)
	}
	if l := s.Limits; l != nil {
		c.limits("spec.limits", l)
	}
}

func (c *checker) webSocket(field string, w *WebSocket) {
	c.count(field+".tokenSources", len(w.TokenSources), 0, 2)
	for i, source := range w.TokenSources {
		requireOneOf(c, at(field+".tokenSources", i), "token source", source, TokenSourceHeader, TokenSourceSubprotocol)
	}
	unique(c, field+".tokenSources", w.TokenSources)
	c.count(field+".deferToApp", len(w.DeferToApp), 0, 8)
	for i, path := range w.DeferToApp {
		c.exactPath(at(field+".deferToApp", i), path)
	}
	unique(c, field+".deferToApp", w.DeferToApp)
}

func (c *checker) limits(field string, l *Limits) {
	c.number(field+".maxTokenBytes", l.MaxTokenBytes, 512, 65536)
	c.number(field+".maxHeaderBytes", l.MaxHeaderBytes, 4096, 1048576)
	c.number(field+".maxConcurrentRequests", l.MaxConcurrentRequests, 1, 65536)
	c.number(field+".maxConnections", l.MaxConnections, 1, 131072)
	c.number(field+".maxMCPBodyBytes", l.MaxMCPBodyBytes, 1024, 16777216)
	token, head := l.MaxTokenBytes, l.MaxHeaderBytes
	switch {
	case head == nil || *head < 4096: // said above
	case token == nil && *head < defaultMaxTokenBytes:
		c.fail(field+".maxTokenBytes", "%d by default is more than maxHeaderBytes, %d: set maxTokenBytes too", defaultMaxTokenBytes, *head)
	case token != nil && *token > *head:
		c.fail(field+".maxTokenBytes", "%d is more than maxHeaderBytes, %d: a token of that length never arrives", *token, *head)
	}
	if r := l.Rejections; r != nil {
		c.text(field+".rejections.rate", r.Rate, rateForm)
		c.number(field+".rejections.burst", &r.Burst, 1, 100000)
	}
}

func (c *checker) trustedProxies(field string, list []string) {
	c.count(field, len(list), 0, 32)
	for i, text := range list {
		field := at(field, i)
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			c.fail(field, "%q is no network: %s", text, networkHint(text))
		case prefix.Masked() != prefix:
			c.fail(field, "%q has bits beyond its mask: write %s", text, prefix.Masked())
		case prefix.Bits() == 0:
			c.warn(field, "trusts everybody's X-Forwarded-* headers")
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
	c.resourceURL(field+".resource", p.Resource)
	c.count(field+".authorizationServers", len(p.AuthorizationServers), 0, 8)
	for i, server := range p.AuthorizationServers {
		c.resourceURL(at(field+".authorizationServers", i), server)
	}
	unique(c, field+".authorizationServers", p.AuthorizationServers)
	c.count(field+".scopesSupported", len(p.ScopesSupported), 0, 64)
	for i, scope := range p.ScopesSupported {
		c.text(at(field+".scopesSupported", i), scope, textForm{most: 256})
		if scope != "" && !isScopeToken(scope) {
			c.fail(at(field+".scopesSupported", i), "%q is no scope: use visible ASCII without quotes and backslashes", scope)
		}
	}
	unique(c, field+".scopesSupported", p.ScopesSupported)
}
