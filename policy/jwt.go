package policy

// JWT says which JSON Web Tokens (RFC 7519) are accepted.
type JWT struct {
	// providers are the sources of keys, tried in this order among those that match the token's iss.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Providers []Provider `json:"providers"`

	// extractFrom says where the token is; default: the Authorization header with the prefix "Bearer ".
	// +optional
	ExtractFrom *ExtractFrom `json:"extractFrom,omitempty"`

	// forward says whether the Authorization header reaches the agent: only when it was verified in this request (Original), never (Strip), or as received (Always).
	// +optional
	// +kubebuilder:default=Original
	// +kubebuilder:validation:Enum=Original;Strip;Always
	Forward string `json:"forward,omitempty"`

	// claimToHeaders sets further request headers for the agent from verified claims.
	// +optional
	// +listType=map
	// +listMapKey=header
	// +kubebuilder:validation:MaxItems=32
	ClaimToHeaders []ClaimToHeader `json:"claimToHeaders,omitempty"`
}

// The values of JWT.Forward.
const (
	ForwardOriginal = "Original"
	ForwardStrip    = "Strip"
	ForwardAlways   = "Always"
)

// ExtractFrom says where a token is.
type ExtractFrom struct {
	// headers are the request headers that may carry the token; exactly one of them may be present in a request.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Headers []TokenHeader `json:"headers"`
}

// TokenHeader is a request header that carries a token.
// +kubebuilder:validation:XValidation:rule="self.name.lowerAscii() != 'cookie' || has(self.valuePrefix) && self.valuePrefix.endsWith('=')",message="a cookie needs its name and an equals sign in valuePrefix, like access_token="
type TokenHeader struct {
	// name is the header's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// valuePrefix stands before the token, for example "Bearer "; its letters are compared without case. With the name Cookie it is the cookie's name and an equals sign, for example "session=".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ValuePrefix string `json:"valuePrefix,omitempty"`
}

// ClaimToHeader copies one verified claim into one request header.
type ClaimToHeader struct {
	// claim is the name of a top-level claim, or a JSON pointer (RFC 6901) when it begins with a slash.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Claim string `json:"claim"`

	// header is the header the agent sees; a client's own header of that name is always removed.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	Header string `json:"header"`
}

// Provider is one source of keys and the tokens it vouches for.
// +kubebuilder:validation:XValidation:rule="[has(self.signingKeyRef), has(self.secretRef), has(self.localJWKS), has(self.remoteJWKS)].filter(x, x).size() == 1",message="exactly one of signingKeyRef, secretRef, localJWKS, remoteJWKS must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || self.algorithms.all(a, a.startsWith('HS'))",message="a provider with secretRef holds HMAC secrets: algorithms may only be HS256, HS384, HS512"
// +kubebuilder:validation:XValidation:rule="!(has(self.localJWKS) || has(self.remoteJWKS)) || !self.algorithms.exists(a, a.startsWith('HS'))",message="a provider with a JWKS holds public keys: algorithms may not be HS256, HS384, HS512"
// +kubebuilder:validation:XValidation:rule="self.algorithms.all(a, a.startsWith('HS')) || !self.algorithms.exists(a, a.startsWith('HS'))",message="a provider has either secrets or public keys: algorithms may not mix HS* with others"
// +kubebuilder:validation:XValidation:rule="!(has(self.signingKeyRef) && has(self.maxTokenLifetime))",message="with signingKeyRef the lifetime cap is the SigningKey's maxTokenLifetime: remove maxTokenLifetime"
type Provider struct {
	// name names the provider in rules, metrics and logs.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// issuers are the accepted values of iss, compared byte for byte. Empty: a token of this provider is not asked for iss.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Issuers []string `json:"issuers,omitempty"`

	// audiences are the accepted values of aud, compared byte for byte; one of them must be in the token. Empty: aud is not asked for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Audiences []string `json:"audiences,omitempty"`

	// algorithms are the accepted values of the token's alg header (RFC 7518 section 3.1).
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=13
	Algorithms []Algorithm `json:"algorithms"`

	// signingKeyRef verifies with the live keys of a SigningKey.
	// +optional
	SigningKeyRef *SigningKeyRef `json:"signingKeyRef,omitempty"`

	// secretRef verifies with HMAC secrets, the bytes of a Secret's data keys exactly as they are.
	// +optional
	SecretRef *SecretRef `json:"secretRef,omitempty"`

	// localJWKS verifies with public keys written into the policy or a ConfigMap.
	// +optional
	LocalJWKS *LocalJWKS `json:"localJWKS,omitempty"`

	// remoteJWKS verifies with public keys fetched over HTTPS.
	// +optional
	RemoteJWKS *RemoteJWKS `json:"remoteJWKS,omitempty"`

	// clockSkew is the leeway for exp, nbf and iat: 0s to 60s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('60s')",message="clockSkew must be between 0s and 60s"
	ClockSkew *Duration `json:"clockSkew,omitempty"`

	// maxTokenLifetime caps exp, counted from iat, or from now for a token without iat; at least 1s, default 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('87600h')",message="maxTokenLifetime must be between 1s and 87600h"
	MaxTokenLifetime *Duration `json:"maxTokenLifetime,omitempty"`

	// requiredClaims are top-level claims that must be present and not null.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	RequiredClaims []string `json:"requiredClaims,omitempty"`

	// types are the accepted values of the token's typ header, compared without case; a token without typ always passes. Default: JWT, at+jwt. refresh+jwt is never accepted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Types []string `json:"types,omitempty"`

	// revokedBefore refuses every token issued before this time (RFC 3339); a token without iat is then refused too.
	// +optional
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:MaxLength=64
	RevokedBefore *string `json:"revokedBefore,omitempty"`
}

// Algorithm is a JWS signature algorithm, RFC 7518 section 3.1 and RFC 8037.
// +kubebuilder:validation:Enum=HS256;HS384;HS512;RS256;RS384;RS512;PS256;PS384;PS512;ES256;ES384;ES512;EdDSA
type Algorithm string

// SigningKeyRef names a SigningKey.
type SigningKeyRef struct {
	// name is the SigningKey's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	Name string `json:"name"`
}

// SecretRef names the data keys of a Secret.
type SecretRef struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// keys are the Secret's data keys; every one that exists holds one live HMAC secret, and at least one must exist.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	Keys []string `json:"keys"`
}

// LocalJWKS is a JSON Web Key Set (RFC 7517 section 5) held in the cluster.
// +kubebuilder:validation:XValidation:rule="has(self.inline) != has(self.configMapRef)",message="exactly one of inline, configMapRef must be set"
type LocalJWKS struct {
	// inline is the key set as JSON text; private members are refused.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	Inline string `json:"inline,omitempty"`

	// configMapRef names the ConfigMap that holds the key set.
	// +optional
	ConfigMapRef *KeyRef `json:"configMapRef,omitempty"`
}

// KeyRef names one data key of a ConfigMap.
type KeyRef struct {
	// name is the object's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key is the data key in it.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// The kinds of object a CABundleRef names.
const (
	KindConfigMap = "ConfigMap"
	KindSecret    = "Secret"
)

// CABundleRef names one data key of a ConfigMap or a Secret.
type CABundleRef struct {
	// kind is the kind of the object: ConfigMap (the default) or Secret.
	// +optional
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	// +kubebuilder:default=ConfigMap
	Kind string `json:"kind,omitempty"`

	// name is the object's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key is the data key in it.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// RemoteJWKS is a JSON Web Key Set fetched by the sidecar.
// +kubebuilder:validation:XValidation:rule="self.uri.startsWith('https://') || (has(self.allowInsecureHTTP) && self.allowInsecureHTTP)",message="uri must be https, or allowInsecureHTTP must be true"
type RemoteJWKS struct {
	// uri is the key set's address; https unless allowInsecureHTTP.
	// +required
	// +kubebuilder:validation:Pattern=`^https?://[^\s#@]+$`
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri"`

	// cacheDuration is how long a fetched set is used before it is fetched again; default 5m.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="cacheDuration must be between 1s and 24h"
	CacheDuration *Duration `json:"cacheDuration,omitempty"`

	// failedRefetchDuration is how long after a failed fetch the next one waits; default 10s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="failedRefetchDuration must be between 1s and 1h"
	FailedRefetchDuration *Duration `json:"failedRefetchDuration,omitempty"`

	// unknownKeyRefetchInterval is the shortest time between two fetches caused by unknown key ids; default 10s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="unknownKeyRefetchInterval must be between 1s and 1h"
	UnknownKeyRefetchInterval *Duration `json:"unknownKeyRefetchInterval,omitempty"`

	// maxStale is how long the last good set is used while fetches fail; default 24h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('720h')",message="maxStale must be between 0s and 720h"
	MaxStale *Duration `json:"maxStale,omitempty"`

	// caBundleRef names the ConfigMap or Secret key with the PEM certificates that the server's certificate must chain to, and no others; default: the system's.
	// +optional
	CABundleRef *CABundleRef `json:"caBundleRef,omitempty"`

	// allowInsecureHTTP permits plain http and loopback addresses. Link-local and metadata addresses stay refused.
	// +optional
	// +kubebuilder:default=false
	AllowInsecureHTTP bool `json:"allowInsecureHTTP,omitempty"`
}
