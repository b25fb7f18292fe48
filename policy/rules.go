package policy

// Authorization says which verified principals may use which routes.
type Authorization struct {
	// defaultAction is what happens when no rule matches: Deny or Allow.
	// +optional
	// +kubebuilder:default=Deny
	DefaultAction Action `json:"defaultAction,omitempty"`

	// rules are tried in order; the first that matches decides.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Rules []Rule `json:"rules,omitempty"`
}

// Action is what a matching rule does.
// +kubebuilder:validation:Enum=Allow;Deny
type Action string

// The actions of a rule.
const (
	ActionAllow Action = "Allow"
	ActionDeny  Action = "Deny"
)

// Rule matches when its operation and its principal match.
// +kubebuilder:validation:XValidation:rule="!has(self.preset) || !(has(self.operation) || has(self.mcp) || has(self.principal) && has(self.principal.scopes))",message="a preset brings its own operation and scopes: remove operation, mcp and principal.scopes, or the preset"
// +kubebuilder:validation:XValidation:rule="!has(self.preset) || !has(self.action) || self.action == 'Allow'",message="a preset only allows: remove action, or write a Deny rule without preset"
// +kubebuilder:validation:XValidation:rule="!(has(self.preset) && has(self.principal) && has(self.principal.tenant) && has(self.principal.tenant.match) && has(self.principal.tenant.match.pathVariable))",message="the paths of a preset have no variable to name: match the tenant by header or value"
type Rule struct {
	// name names the rule in metrics, logs and explanations.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// action is what happens when the rule matches: Allow or Deny.
	// +optional
	// +kubebuilder:default=Allow
	Action Action `json:"action,omitempty"`

	// operation is the requests the rule is about; absent, all of them.
	// +optional
	Operation *Operation `json:"operation,omitempty"`

	// principal is who the rule is about; absent, any verified principal, and in a Deny rule requests without a credential too.
	// +optional
	Principal *Principal `json:"principal,omitempty"`

	// mcp narrows the rule to calls of the Model Context Protocol.
	// +optional
	MCP *MCP `json:"mcp,omitempty"`

	// preset stands for a built-in list of rules of a known agent: agno-v2, the routes and scopes of AgentOS. The rule's own providers, apiKeys, claims and tenant hold for all of them; with anonymous it opens the routes that AgentOS itself leaves public, and no others.
	// +optional
	// +kubebuilder:validation:Enum=agno-v2
	Preset string `json:"preset,omitempty"`
}

// PresetAgnoV2 is the value of Rule.Preset for AgentOS of Agno 2.
const PresetAgnoV2 = "agno-v2"

// Operation is a set of requests.
type Operation struct {
	// methods are the HTTP methods; empty, all of them. HEAD is not implied by GET.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	Methods []Method `json:"methods,omitempty"`

	// paths are the paths; empty, all of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Paths []PathMatch `json:"paths,omitempty"`
}

// PathMatch matches the once-decoded path of a request, with or without a
// trailing slash. The first path of a rule that matches binds its variables.
type PathMatch struct {
	// type is Exact, Prefix (whole segments) or Template ({name} stands for one non-empty segment).
	// +optional
	// +kubebuilder:default=Exact
	// +kubebuilder:validation:Enum=Exact;Prefix;Template
	Type string `json:"type,omitempty"`

	// value is the path, beginning with a slash.
	// +required
	// +kubebuilder:validation:Pattern=`^/[^?#]*$`
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`

	// ignoreCase compares without the case of ASCII letters, for agents that do so themselves, such as Express.
	// +optional
	// +kubebuilder:default=false
	IgnoreCase bool `json:"ignoreCase,omitempty"`
}

// The values of PathMatch.Type.
const (
	PathExact    = "Exact"
	PathPrefix   = "Prefix"
	PathTemplate = "Template"
)

// Principal is who a rule is about; every field that is set must hold.
// +kubebuilder:validation:XValidation:rule="!(has(self.anonymous) && self.anonymous) || !(has(self.providers) || has(self.apiKeys) || has(self.scopes) || has(self.claims) || has(self.tenant))",message="anonymous stands alone: remove providers, apiKeys, scopes, claims and tenant"
// +kubebuilder:validation:XValidation:rule="!(has(self.providers) && has(self.apiKeys))",message="nobody has a token of providers and one of apiKeys at once: make two rules"
type Principal struct {
	// providers are the JWT providers whose tokens match; empty, all of them. An API key never matches a provider.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Providers []string `json:"providers,omitempty"`

	// apiKeys are the client ids of the API keys that match; a token never does. Without providers and apiKeys, tokens and API keys match alike.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	// +kubebuilder:validation:items:XValidation:rule="!self.lowerAscii().contains('gpk_')",message="this looks like a key: write the client's id, and make a new key"
	APIKeys []string `json:"apiKeys,omitempty"`

	// anonymous matches requests without a credential; what an Allow rule opens to them is open to every verified principal too. A wrong credential is refused all the same.
	// +optional
	Anonymous bool `json:"anonymous,omitempty"`

	// scopes asks for OAuth scopes.
	// +optional
	Scopes *Scopes `json:"scopes,omitempty"`

	// claims asks for values of claims; all of them must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Claims []ClaimMatch `json:"claims,omitempty"`

	// tenant asks that the request is about the principal's own tenant.
	// +optional
	Tenant *Tenant `json:"tenant,omitempty"`
}

// Scopes asks for at least one of anyOf and for all of allOf.
// +kubebuilder:validation:XValidation:rule="has(self.anyOf) || has(self.allOf)",message="one of anyOf, allOf must be set"
type Scopes struct {
	// claim holds the scopes, as an array of strings or a string separated by blanks; default: scopes, else scope. A leading slash makes it a JSON pointer.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim,omitempty"`

	// anyOf are scopes of which one is enough; {name} is replaced by the template's variable.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	AnyOf []string `json:"anyOf,omitempty"`

	// allOf are scopes that are all needed; {name} is replaced by the template's variable.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	AllOf []string `json:"allOf,omitempty"`
}

// ClaimMatch asks that a claim has one of the values.
// +kubebuilder:validation:XValidation:rule="!has(self.valueType) || self.valueType != 'Boolean' || self.values.all(v, v == 'true' || v == 'false')",message="values of a Boolean claim are \"true\" and \"false\""
type ClaimMatch struct {
	// name is the name of a top-level claim, or a JSON pointer (RFC 6901) when it begins with a slash.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`

	// valueType is the JSON form of the claim: String, StringArray, SpaceDelimited or Boolean. A claim of another form does not match.
	// +optional
	// +kubebuilder:default=String
	// +kubebuilder:validation:Enum=String;StringArray;SpaceDelimited;Boolean
	ValueType string `json:"valueType,omitempty"`

	// values are the accepted values, compared byte for byte; "true" or "false" for Boolean.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Values []string `json:"values"`
}

// The values of ClaimMatch.ValueType.
const (
	ClaimString         = "String"
	ClaimStringArray    = "StringArray"
	ClaimSpaceDelimited = "SpaceDelimited"
	ClaimBoolean        = "Boolean"
)

// Tenant asks that the request is about the principal's own tenant, or one of its tenants.
type Tenant struct {
	// claim holds the principal's tenant, a string, or its tenants, an array of strings of which the request names one; default tenant_id. A leading slash makes it a JSON pointer.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim,omitempty"`

	// match says where the request names its tenant; absent, the claim must be present and not empty.
	// +optional
	Match *TenantMatch `json:"match,omitempty"`

	// onNull says what happens to a principal whose claim is null or absent: Deny or Allow.
	// +optional
	// +kubebuilder:default=Deny
	OnNull Action `json:"onNull,omitempty"`
}

// TenantMatch says where a request names its tenant.
// +kubebuilder:validation:XValidation:rule="[has(self.header), has(self.pathVariable), has(self.value)].filter(x, x).size() == 1",message="exactly one of header, pathVariable, value must be set"
type TenantMatch struct {
	// header is the request header that names the tenant; it must be present exactly once.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().matches('^((x-auth|x-gatepost|x-forwarded|x-original|content|proxy)-.*|x-envoy-original-(path|host)|host|connection|keep-alive|te|trailers?|transfer-encoding|upgrade|expect|date|via|http2-settings|forwarded|x-real-ip|x-user-id|x-rewrite-url|x-http-method|x-http-method-override|x-method-override|authorization|cookie)$')",message="the agent does not get this header as the client sent it, so it cannot name a tenant: choose a header such as X-Tenant-ID"
	Header string `json:"header,omitempty"`

	// pathVariable is the variable of the rule's path template that names the tenant.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:MaxLength=64
	PathVariable string `json:"pathVariable,omitempty"`

	// value is the one tenant.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value,omitempty"`
}

// MCP narrows a rule to calls of the Model Context Protocol.
type MCP struct {
	// methods are the JSON-RPC methods; at least one.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Methods []MCPMethod `json:"methods"`
}

// MCPMethod is one JSON-RPC method of the Model Context Protocol.
type MCPMethod struct {
	// name is the method, for example tools/call.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// params are the names of tools, prompts or resources the call may be about; a trailing * stands for any ending.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Params []string `json:"params,omitempty"`
}
