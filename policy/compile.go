package policy

import (
	"slices"
	"strings"
)

// Policy is a compiled Spec: immutable, safe for any number of goroutines.
// Nil and the zero Policy refuse every request with KeysUnavailable.
// +kubebuilder:object:generate=false
type Policy struct {
	compiled       bool
	spec           Spec
	warnings       []string
	exemptions     []exemption
	rules          []rule
	allowByDefault bool
	judgedHeaders  []string
}

// Probe is an httpGet probe or lifecycle hook of the guarded pod: a request
// that needs no credential on one port.
// +kubebuilder:object:generate=false
type Probe struct {
	// Port is the guarded port that the kubelet calls.
	Port int
	// Method is the HTTP method, GET for every probe of Kubernetes.
	Method string
	// Path is the path as the pod's manifest writes it; a query in it is not compared.
	Path string
}

// Compile checks every field and every rule between fields, applies every
// default and returns the policy that judges requests. The error is of type
// Errors and names all that is wrong. Probes are exempted on their port alone.
//
// Compile accepts fields that no code stands behind yet; ask Unsupported. Until
// then an Allow rule with such a part never matches, and a Deny rule matches by
// its other parts.
func Compile(s Spec, probes ...Probe) (*Policy, error) {
	var c checker
	c.spec(&s)
	c.probes(probes)
	if len(c.Errors) > 0 {
		return nil, c.Errors
	}
	p := &Policy{compiled: true, spec: *s.DeepCopy(), warnings: c.Warnings}
	setDefaults(&p.spec)
	p.exempt(probes)
	p.authorize()
	return p, nil
}

// Spec is the policy's spec with every default filled in. It is shared: do not
// change it.
func (p *Policy) Spec() Spec {
	if p == nil {
		return Spec{}
	}
	return p.spec
}

// Warnings are remarks on a valid policy that probably does not do what its
// author wants, each as "field: remark".
func (p *Policy) Warnings() []string {
	if p == nil {
		return nil
	}
	return p.warnings
}

// JudgedHeaders are the canonical names of the request headers that rules read,
// such as a tenant's. Whoever forwards a request must remove every header whose
// name only resembles one of them (X_Tenant_ID beside X-Tenant-Id), because an
// agent may read that one instead of the judged one.
func (p *Policy) JudgedHeaders() []string {
	if p == nil {
		return nil
	}
	return p.judgedHeaders
}

// exempt takes in the spec's exemptions and the pod's probes.
func (p *Policy) exempt(probes []Probe) {
	for _, e := range p.spec.Exemptions {
		p.exemptions = append(p.exemptions, exemption{methods: methodNames(e.Methods), path: e.Path})
	}
	for _, probe := range probes {
		path, _ := judgeTarget(probeTarget(probe.Path))
		p.exemptions = append(p.exemptions, exemption{port: probe.Port, methods: []string{probe.Method}, path: path})
	}
}

// probeTarget is the request target that the kubelet makes of a probe's path.
func probeTarget(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}

func methodNames(list []Method) []string {
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = string(m)
	}
	return names
}

// authorize compiles the rules; without authorization every verified principal
// may do everything.
func (p *Policy) authorize() {
	a := p.spec.Authorization
	if a == nil {
		p.allowByDefault = true
		return
	}
	p.allowByDefault = a.DefaultAction == ActionAllow
	p.rules = make([]rule, 0, len(a.Rules))
	for i := range a.Rules {
		if r := &a.Rules[i]; r.Preset != "" {
			p.rules = append(p.rules, newPreset(r, i+1)...)
		} else {
			p.rules = append(p.rules, newRule(r))
		}
	}
	for i := range p.rules {
		if pr := p.rules[i].principal; pr != nil && pr.tenant != nil && pr.tenant.header != "" {
			p.judgedHeaders = append(p.judgedHeaders, pr.tenant.header)
		}
	}
	slices.Sort(p.judgedHeaders)
	p.judgedHeaders = slices.Compact(p.judgedHeaders)
}

// newRule compiles a rule that was checked and has its defaults.
func newRule(r *Rule) rule {
	out := rule{name: r.Name, deny: r.Action == ActionDeny}
	out.never = !out.deny && len(unsupportedInRule("", r)) > 0
	if o := r.Operation; o != nil {
		out.methods = methodNames(o.Methods)
		for _, m := range o.Paths {
			out.paths = append(out.paths, newPathPattern(m))
		}
	}
	if r.Principal == nil {
		return out
	}
	var names []string
	for _, used := range usedVariables("", r.Principal) {
		if !slices.Contains(names, used.name) {
			names = append(names, used.name)
		}
	}
	for i := range out.paths {
		for _, name := range names {
			n, _ := out.paths[i].binds(name)
			out.paths[i].at = append(out.paths[i].at, n)
		}
	}
	out.principal = newPrincipal(r.Principal, names)
	return out
}

// newPrincipal compiles a principal whose variables are numbered by names.
func newPrincipal(p *Principal, names []string) *principal {
	out := &principal{anonymous: p.Anonymous, providers: p.Providers, clients: p.APIKeys}
	for _, m := range p.Claims {
		ref, _ := newClaimRef(m.Name)
		out.claims = append(out.claims, claimTest{ref: ref, form: m.ValueType, values: m.Values})
	}
	if t := p.Tenant; t != nil {
		out.tenant = newTenantTest(t, names)
	}
	if s := p.Scopes; s != nil {
		test := scopeTest{anyOf: newTextPatterns(s.AnyOf, names), allOf: newTextPatterns(s.AllOf, names)}
		test.offered = slices.Concat(test.allOf, test.anyOf)
		claims := []string{s.Claim}
		if s.Claim == "" {
			claims = []string{"scopes", "scope"}
		}
		for _, name := range claims {
			ref, _ := newClaimRef(name)
			test.claims = append(test.claims, ref)
		}
		out.scopes = []scopeTest{test}
	}
	return out
}

func newTenantTest(t *Tenant, names []string) *tenantTest {
	ref, _ := newClaimRef(t.Claim)
	out := &tenantTest{claim: ref, allowOnNull: t.OnNull == ActionAllow}
	if m := t.Match; m != nil {
		out.header = canonicalHeader(m.Header)
		out.value = m.Value
		out.variable = m.PathVariable != ""
		out.n = slices.Index(names, m.PathVariable)
	}
	return out
}

func newTextPatterns(texts, names []string) []textPattern {
	out := make([]textPattern, len(texts))
	for i, text := range texts {
		pieces, _ := splitVariables(text)
		for j, s := range pieces {
			switch {
			case j%2 == 1:
				out[i] = append(out[i], piece{variable: true, n: slices.Index(names, s)})
			case s != "":
				out[i] = append(out[i], piece{literal: s})
			}
		}
	}
	return out
}
