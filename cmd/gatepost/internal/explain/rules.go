package explain

import (
	"fmt"
	"net/http"
	"strings"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar"
)

// weighRules says of each rule how it meets the request, where rules were asked.
func (e *Explanation) weighRules(in *bundle.Snapshot, r Request, header http.Header, f *sidecar.Finding) {
	spec := in.Policy.Spec()
	who, ok := whoAsks(in, f)
	if spec.Authorization == nil || !ok {
		return
	}
	w := weighing{spec: spec, line: policy.RequestLine{Method: r.Method, Target: r.Target}, header: header, who: who}
	decided := false
	for _, rule := range spec.Authorization.Rules {
		says := w.meet(rule)
		switch {
		case rule.Name == f.Rule && f.Reason != policy.InsufficientScope:
			says, decided = "decides", true
		case decided:
			says = "is not reached"
		case rule.Name == f.Rule:
			says = "fits but for its scopes: " + strings.Join(f.Scopes, " ")
		}
		e.Rules = append(e.Rules, Met{Rule: rule.Name, Action: rule.Action, Says: says})
	}
	if here := byRule(f); here != "" {
		e.Here = here
	}
}

// byRule says which rule made it so; empty where none did.
func byRule(f *sidecar.Finding) string {
	switch {
	case f.Reason == policy.InsufficientScope:
		return fmt.Sprintf("the rule %s asks for %s", f.Rule, strings.Join(f.Scopes, " "))
	case f.Reason != policy.RuleDenied:
		return ""
	case f.Rule == "":
		return "no rule matches, and the default is to deny"
	}
	return "the rule " + f.Rule + " denies it"
}

// whoAsks is the principal that the rules saw; ok is false where none were asked.
func whoAsks(in *bundle.Snapshot, f *sidecar.Finding) (who policy.Who, ok bool) {
	switch {
	case f.Token.Verified.Valid():
		return policy.Who{Provider: f.Token.Verified.Provider(), Claims: f.Token.Verified.Claims()}, true
	case f.Client != "" && in.APIKeys != nil:
		for _, client := range in.APIKeys.Clients() {
			if client.ID == f.Client {
				return policy.Who{Client: client.ID, Claims: client.Claims}, f.Reason != policy.APIKeyExpired
			}
		}
	}
	return policy.Who{Anonymous: true}, f.Reason == policy.MissingCredential || f.Reason == policy.OK
}

// weighing asks one rule at a time, and each part of it, by policies that have
// that one part alone: what it says is what Decide does.
type weighing struct {
	spec   policy.Spec
	line   policy.RequestLine
	header http.Header
	who    policy.Who
}

// meet says why a rule does not match, or that it would.
func (w *weighing) meet(rule policy.Rule) string {
	operation := rule
	operation.Principal = nil
	if rule.Principal != nil && rule.Principal.Anonymous || w.who.Anonymous {
		operation.Principal = &policy.Principal{Anonymous: true}
	}
	if rule.Preset == "" && !w.matches(operation) {
		return "is about other paths or methods"
	}
	if w.matches(rule) {
		return "matches"
	}
	if rule.Principal == nil || w.who.Anonymous {
		return "does not match this principal"
	}
	var lacks []string
	for _, part := range parts(rule.Principal) {
		alone := rule
		alone.Principal = &part.principal
		if !w.matches(alone) {
			lacks = append(lacks, part.name)
		}
	}
	if len(lacks) == 0 {
		return "does not match"
	}
	return "does not match: " + strings.Join(lacks, ", ")
}

// part is one condition of a principal.
type part struct {
	name      string
	principal policy.Principal
}

func parts(p *policy.Principal) []part {
	var list []part
	if len(p.Providers) > 0 {
		list = append(list, part{"providers " + strings.Join(p.Providers, " "), policy.Principal{Providers: p.Providers}})
	}
	if len(p.APIKeys) > 0 {
		list = append(list, part{"apiKeys " + strings.Join(p.APIKeys, " "), policy.Principal{APIKeys: p.APIKeys}})
	}
	for _, claim := range p.Claims {
		name := fmt.Sprintf("claim %s (%s) is none of %s", claim.Name, claim.ValueType, strings.Join(claim.Values, " "))
		list = append(list, part{name, policy.Principal{Claims: []policy.ClaimMatch{claim}}})
	}
	if p.Tenant != nil {
		list = append(list, part{"tenant " + p.Tenant.Claim, policy.Principal{Tenant: p.Tenant}})
	}
	if p.Scopes != nil {
		list = append(list, part{"scopes", policy.Principal{Scopes: p.Scopes}})
	}
	return list
}

// matches reports whether a policy of the rule alone decides by it.
func (w *weighing) matches(rule policy.Rule) bool {
	spec := policy.Spec{
		JWT: w.spec.JWT, APIKeyAuth: w.spec.APIKeyAuth,
		Authorization: &policy.Authorization{DefaultAction: policy.ActionDeny, Rules: []policy.Rule{rule}},
	}
	engine, err := policy.Compile(spec)
	if err != nil {
		return false // a part that cannot stand alone says nothing
	}
	d := engine.Decide(engine.Route(w.line), w.header, w.who)
	return d.Rule == rule.Name && d.Reason != policy.InsufficientScope
}
