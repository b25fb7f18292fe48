package policy

// Spec is one policy: who may call which route of the guarded agent, and how
// tokens are found, verified and shown to the agent. Everything it refers to
// lives in the policy's own namespace.
type Spec struct {
	// mode says whether refusals are enforced. Audit forwards what would have been refused, without identity headers, and counts it as audit_deny.
	// +optional
	// +kubebuilder:default=Enforce
	Mode Mode `json:"mode,omitempty"`

	// jwt says which JSON Web Tokens are accepted and where they are found.
	// +optional
	JWT *JWT `json:"jwt,omitempty"`

	// apiKeyAuth accepts API keys of APIKey objects beside tokens.
	// +optional
	APIKeyAuth *APIKeyAuth `json:"apiKeyAuth,omitempty"`

	// authorization says which verified principals may use which routes. Absent, every verified principal may use every route.
	// +optional
	Authorization *Authorization `json:"authorization,omitempty"`

	// exemptions are requests that need no credential: exact path and method only. The pod's own httpGet probes are exempt by themselves.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Exemptions []Exemption `json:"exemptions,omitempty"`

	// protectedResource is the OAuth 2.0 Protected Resource Metadata (RFC 9728) that the sidecar publishes for MCP clients.
	// +optional
	ProtectedResource *ProtectedResource `json:"protectedResource,omitempty"`

	// cors says which browser origins may read answers.
	// +optional
	CORS *CORS `json:"cors,omitempty"`

	// streaming says what happens to a stream whose token expires.
	// +optional
	Streaming *Streaming `json:"streaming,omitempty"`

	// upstream says how the agent is addressed.
	// +optional
	Upstream *Upstream `json:"upstream,omitempty"`

	// webSocket says how WebSocket handshakes carry their token.
	// +optional
	WebSocket *WebSocket `json:"webSocket,omitempty"`

	// responses adjusts the sidecar's own answers.
	// +optional
	Responses *Responses `json:"responses,omitempty"`

	// limits bounds what one client, or all of them together, can use up.
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// trustedProxies are the networks (CIDR) whose X-Forwarded-* headers are believed and appended to.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	TrustedProxies []string `json:"trustedProxies,omitempty"`

	// allowOptOut lets a pod refuse injection by the label gatepost.dev/inject=false.
	// +optional
	// +kubebuilder:default=false
	AllowOptOut bool `json:"allowOptOut,omitempty"`
}

// Mode says whether refusals are enforced.
// +kubebuilder:validation:Enum=Enforce;Audit
type Mode string

// The modes of a policy.
const (
	ModeEnforce Mode = "Enforce"
	ModeAudit   Mode = "Audit"
)

// Exemption is one kind of request that needs no credential. A credential on
// such a request is ignored, and no identity header reaches the agent.
type Exemption struct {
	// methods are the HTTP methods exempt on the path; HEAD is not implied by GET.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	Methods []Method `json:"methods"`

	// path is the exact path, without query or fragment, percent-decoded once.
	// +required
	// +kubebuilder:validation:Pattern=`^/[^?#]*$`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
}

// Method is an HTTP method. CONNECT and TRACE are never forwarded.
// +kubebuilder:validation:Enum=GET;HEAD;POST;PUT;PATCH;DELETE;OPTIONS
type Method string

// ProtectedResource is Protected Resource Metadata, RFC 9728 section 2.
type ProtectedResource struct {
	// resource is the URL by which clients reach the agent, as they see it.
	// +required
	// +kubebuilder:validation:Pattern=`^https?://[^\s?#]+$`
	// +kubebuilder:validation:MaxLength=2048
	Resource string `json:"resource"`

	// authorizationServers are the issuers that sign tokens for the resource.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	AuthorizationServers []string `json:"authorizationServers,omitempty"`

	// scopesSupported are the scopes a client may ask for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	ScopesSupported []string `json:"scopesSupported,omitempty"`
}

// Streaming says what happens to a stream when its token expires.
type Streaming struct {
	// onTokenExpiry keeps the stream (Continue), or ends it at once (Close) or after grace (CloseAfterGrace).
	// +optional
	// +kubebuilder:default=Continue
	// +kubebuilder:validation:Enum=Continue;Close;CloseAfterGrace
	OnTokenExpiry string `json:"onTokenExpiry,omitempty"`

	// grace is how long after its token's expiry a stream may go on under CloseAfterGrace.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="grace must be between 0s and 24h"
	Grace *Duration `json:"grace,omitempty"`
}

// The values of Streaming.OnTokenExpiry.
const (
	OnExpiryContinue        = "Continue"
	OnExpiryClose           = "Close"
	OnExpiryCloseAfterGrace = "CloseAfterGrace"
)

// Upstream says how the agent is addressed.
type Upstream struct {
	// host is the Host header that the agent sees: the client's (Preserve), or localhost with the agent's port (Localhost), which localhost-only MCP servers demand.
	// +optional
	// +kubebuilder:default=Preserve
	// +kubebuilder:validation:Enum=Preserve;Localhost
	Host string `json:"host,omitempty"`
}

// The values of Upstream.Host.
const (
	HostPreserve  = "Preserve"
	HostLocalhost = "Localhost"
)

// WebSocket says how WebSocket handshakes carry their token.
type WebSocket struct {
	// tokenSources are the places a handshake's token may be in: the Authorization header (Header) or the Sec-WebSocket-Protocol list after "bearer" (Subprotocol).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=Header;Subprotocol
	TokenSources []string `json:"tokenSources,omitempty"`

	// deferToApp are the exact paths whose handshake needs no token because the application asks for one in its first message.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	DeferToApp []string `json:"deferToApp,omitempty"`
}

// The values of WebSocket.TokenSources.
const (
	TokenSourceHeader      = "Header"
	TokenSourceSubprotocol = "Subprotocol"
)

// Responses adjusts the sidecar's own answers.
type Responses struct {
	// apiKeyFailureStatus is the status of an answer to a wrong or expired API key: 401 or 403.
	// +optional
	// +kubebuilder:default=401
	// +kubebuilder:validation:Enum=401;403
	APIKeyFailureStatus int32 `json:"apiKeyFailureStatus,omitempty"`
}

// Limits bounds what clients can use up. Sizes are bytes.
// +kubebuilder:validation:XValidation:rule="!has(self.maxTokenBytes) || !has(self.maxHeaderBytes) || self.maxTokenBytes <= self.maxHeaderBytes",message="maxTokenBytes may not be more than maxHeaderBytes: a token of that length never arrives"
type Limits struct {
	// maxTokenBytes is the longest token that is looked at; a longer one is refused.
	// +optional
	// +kubebuilder:default=16384
	// +kubebuilder:validation:Minimum=512
	// +kubebuilder:validation:Maximum=65536
	MaxTokenBytes *int32 `json:"maxTokenBytes,omitempty"`

	// maxHeaderBytes is the longest request head.
	// +optional
	// +kubebuilder:default=65536
	// +kubebuilder:validation:Minimum=4096
	// +kubebuilder:validation:Maximum=1048576
	MaxHeaderBytes *int32 `json:"maxHeaderBytes,omitempty"`

	// maxConcurrentRequests is how many requests may be under way at once; one more is answered 503 with Retry-After.
	// +optional
	// +kubebuilder:default=2048
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65536
	MaxConcurrentRequests *int32 `json:"maxConcurrentRequests,omitempty"`

	// maxConnections is how many client connections may be open at once.
	// +optional
	// +kubebuilder:default=10240
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=131072
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// maxMCPBodyBytes is the longest body that is read to judge an MCP call.
	// +optional
	// +kubebuilder:default=1048576
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=16777216
	MaxMCPBodyBytes *int32 `json:"maxMCPBodyBytes,omitempty"`

	// rejections throttles clients whose requests keep being refused; absent, none is.
	// +optional
	Rejections *RejectionLimit `json:"rejections,omitempty"`
}

// RejectionLimit is a token bucket per client address over refused requests.
type RejectionLimit struct {
	// rate is how many refusals per second (20/s) or minute (100/m) a client may go on causing.
	// +required
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,5}/[sm]$`
	// +kubebuilder:validation:MaxLength=8
	Rate string `json:"rate"`

	// burst is how many refusals a client may cause at once.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Burst int32 `json:"burst"`
}
