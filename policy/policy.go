package policy

// Policy is a compiled Spec: immutable, safe for any number of goroutines.
// Nil and the zero Policy refuse every request with KeysUnavailable.
// +kubebuilder:object:generate=false
type Policy struct {
	compiled bool
	spec     Spec
	warnings []string
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
// Compile accepts fields that no code stands behind yet; ask Unsupported.
func Compile(s Spec, probes ...Probe) (*Policy, error) {
	return &Policy{spec: s}, nil
}

// Unsupported names the fields of s that no code stands behind yet, each as
// "field: why". A policy that uses one must not be put into force.
func Unsupported(s Spec) []string { return nil }

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
func (p *Policy) JudgedHeaders() []string { return nil }
