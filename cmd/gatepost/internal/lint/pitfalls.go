package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// longLife is the lifetime of tokens beyond which they are warned of.
const longLife = time.Hour

// pitfalls are what works, is valid, and surprises.
func (f *findings) pitfalls(spec *policy.Spec) {
	if spec.Mode == policy.ModeAudit {
		f.warn("spec.mode", "is Audit: nothing that credentials or rules refuse is refused yet; use Enforce when gatepost_requests_total{decision=\"audit_deny\"} holds no surprise")
	}
	if spec.AllowOptOut {
		f.warn("spec.allowOptOut", "lets whoever writes a pod leave the sidecar out")
	}
	f.providers(spec.JWT)
	f.authorization(spec.Authorization)
	f.exemptions(spec)
	f.cors(spec.CORS)
}

func (f *findings) providers(jwt *policy.JWT) {
	if jwt == nil {
		return
	}
	for i := range jwt.Providers {
		p := &jwt.Providers[i]
		field := fmt.Sprintf("spec.jwt.providers[%d]", i)
		if len(p.Issuers) == 0 && len(jwt.Providers) > 1 {
			f.warn(field+".issuers", "is empty beside other providers: a token whose iss none of them names is judged by this one")
		}
		if p.MaxTokenLifetime != nil && p.MaxTokenLifetime.Duration > 24*time.Hour {
			f.warn(field+".maxTokenLifetime", "is more than a day: only revokedBefore or a new key takes such a token back")
		}
		for j, issuer := range p.Issuers {
			if strings.HasPrefix(issuer, "http://") && !strings.HasPrefix(issuer, "http://localhost") && !strings.HasPrefix(issuer, "http://127.0.0.1") {
				f.warn(fmt.Sprintf("%s.issuers[%d]", field, j), "begins with http: issuers of production begin with https, and iss is compared byte for byte")
			}
		}
	}
}

// lists are claims that hold a list at most issuers.
var lists = []string{"roles", "groups", "permissions", "scopes", "entitlements"}

func (f *findings) authorization(a *policy.Authorization) {
	if a == nil {
		f.warn("spec.authorization", "is absent: every verified principal may use every route")
		return
	}
	if a.DefaultAction == policy.ActionAllow {
		f.warn("spec.authorization.defaultAction", "is Allow: a route that no rule names is open to every verified principal")
	}
	for i := range a.Rules {
		p := a.Rules[i].Principal
		if p == nil {
			continue
		}
		for j, claim := range p.Claims {
			if slices.Contains(lists, claim.Name) && claim.ValueType == policy.ClaimString {
				f.warn(fmt.Sprintf("spec.authorization.rules[%d].principal.claims[%d]", i, j),
					claim.Name+" is a list at most issuers, and a list never matches valueType: String; use StringArray, or SpaceDelimited for one text")
			}
		}
	}
}

// exemptions that change something, that are the whole agent, or that a rule
// seems to protect.
func (f *findings) exemptions(spec *policy.Spec) {
	for i, e := range spec.Exemptions {
		field := fmt.Sprintf("spec.exemptions[%d]", i)
		for _, method := range e.Methods {
			if !slices.Contains([]policy.Method{"GET", "HEAD", "OPTIONS"}, method) {
				f.warn(field+".methods", string(method)+" needs no credential here: everybody may change what "+e.Path+" changes")
			}
		}
		if e.Path == "/" {
			f.warn(field+".path", "is the agent's root, which often shows what it is and lists what it can do")
		}
		if spec.Authorization == nil {
			continue
		}
		for j := range spec.Authorization.Rules {
			if o := spec.Authorization.Rules[j].Operation; o != nil && names(o, e) {
				f.warn(field, fmt.Sprintf("%s names the path too, and is never asked: exemptions come first", spec.Authorization.Rules[j].Name))
			}
		}
	}
}

// names reports whether an operation names the exempt path itself.
func names(o *policy.Operation, e policy.Exemption) bool {
	method := len(o.Methods) == 0 || slices.ContainsFunc(o.Methods, func(m policy.Method) bool { return slices.Contains(e.Methods, m) })
	return method && slices.ContainsFunc(o.Paths, func(m policy.PathMatch) bool { return m.Value == e.Path })
}

func (f *findings) cors(c *policy.CORS) {
	if c == nil {
		return
	}
	for i, origin := range c.AllowOrigins {
		field := fmt.Sprintf("spec.cors.allowOrigins[%d]", i)
		host := strings.TrimPrefix(origin, "http://")
		switch {
		case origin == "*":
			f.warn(field, "is *: every page that its user opens can read answers, with a token that it got hold of; list the origins")
		case host != origin && !strings.HasPrefix(host, "localhost") && !strings.HasPrefix(host, "127.0.0.1") && !strings.HasPrefix(host, "[::1]"):
			f.warn(field, "begins with http: whoever is on the way to that page can put a script into it")
		}
	}
}
