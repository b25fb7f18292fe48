package policy

// CORS says which browser origins may read the agent's answers (Fetch standard).
// +kubebuilder:validation:XValidation:rule="!(has(self.allowCredentials) && self.allowCredentials && has(self.allowOrigins) && self.allowOrigins.exists(o, o == '*'))",message="allowOrigins may not contain * when allowCredentials is true: list the origins"
// +kubebuilder:validation:XValidation:rule="!(has(self.allowCredentials) && self.allowCredentials) || !(has(self.allowHeaders) && self.allowHeaders.exists(h, h == '*')) && !(has(self.exposeHeaders) && self.exposeHeaders.exists(h, h == '*'))",message="allowHeaders and exposeHeaders may not contain * when allowCredentials is true: list the headers"
type CORS struct {
	// mode says who owns the CORS headers: the sidecar alone (Gateway; the agent's are removed), or the agent except on the sidecar's own answers (Passthrough).
	// +optional
	// +kubebuilder:default=Gateway
	// +kubebuilder:validation:Enum=Gateway;Passthrough
	Mode string `json:"mode,omitempty"`

	// allowOrigins are exact origins, scheme://host[:port] in lower case, or * for all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^(\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?)$`
	AllowOrigins []string `json:"allowOrigins,omitempty"`

	// allowMethods are the methods a preflight may ask for; default GET, POST, PUT, PATCH, DELETE.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	AllowMethods []Method `json:"allowMethods,omitempty"`

	// allowHeaders are the request headers a preflight may ask for; default Authorization, Content-Type, X-API-Key and those of MCP.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	AllowHeaders []string `json:"allowHeaders,omitempty"`

	// allowCredentials lets pages send cookies.
	// +optional
	AllowCredentials bool `json:"allowCredentials,omitempty"`

	// exposeHeaders are response headers that pages may read, beside WWW-Authenticate, Retry-After and X-Gatepost-Decision.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`

	// maxAge is how long a browser may remember a preflight's answer; default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="maxAge must be between 0s and 24h"
	MaxAge *Duration `json:"maxAge,omitempty"`
}

// The values of CORS.Mode.
const (
	CORSGateway     = "Gateway"
	CORSPassthrough = "Passthrough"
)

// APIKeyAuth accepts API keys beside tokens.
type APIKeyAuth struct {
	// credentialSelector selects the APIKey objects whose keys are accepted: matchLabels only.
	// +required
	CredentialSelector CredentialSelector `json:"credentialSelector"`

	// extractFrom are the places a key may be in; default: the header X-API-Key.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	ExtractFrom []APIKeySource `json:"extractFrom,omitempty"`

	// forwardClientIDHeader is the header in which the agent is told the client id; default X-Auth-Client.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('x-gatepost-')",message="headers that begin with X-Gatepost- are Gatepost's own: choose one such as X-Auth-Client"
	ForwardClientIDHeader string `json:"forwardClientIDHeader,omitempty"`

	// sanitize removes the key from what the agent receives; default true.
	// +optional
	// +kubebuilder:default=true
	Sanitize *bool `json:"sanitize,omitempty"`
}

// CredentialSelector selects APIKey objects by label; empty selects all of the namespace.
type CredentialSelector struct {
	// matchLabels are the labels an APIKey must carry.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// APIKeySource is a place an API key may be in.
type APIKeySource struct {
	// header is the request header that carries the key.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['authorization', 'cookie'])",message="Authorization and Cookie are for tokens: use X-API-Key or a header of your own"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().matches('^((x-auth|x-gatepost|x-forwarded|x-original|x-envoy|sec|access-control|if|mcp|accept|content|proxy)-.*|host|connection|keep-alive|te|trailers?|transfer-encoding|upgrade|expect|date|via|http2-settings|forwarded|x-real-ip|x-user-id|x-rewrite-url|x-http-method|x-http-method-override|x-method-override|set-cookie|origin|referer|range|accept|www-authenticate|last-event-id)$')",message="this header means something else to HTTP, to the agent or to Gatepost, and cannot carry a key: use X-API-Key or a header of your own"
	Header string `json:"header"`
}
