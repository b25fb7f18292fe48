package grant

import "gatepost.dev/gatepost/policy"

// Session says who may call /api/get-token and /api/refresh-token.
// +kubebuilder:validation:XValidation:rule="(has(self.providers) && size(self.providers) > 0) || has(self.introspection) || has(self.anonymous)",message="set one of providers, introspection, anonymous: nobody has a session otherwise"
// +kubebuilder:validation:XValidation:rule="!has(self.introspection) || !has(self.providers) || self.providers.all(p, !has(p.extractFrom) || !has(p.extractFrom.cookie) || p.extractFrom.cookie != self.introspection.forwardCookie)",message="introspection.forwardCookie is the cookie of a provider's tokens: a request would have two sessions, take another name"
// +kubebuilder:validation:XValidation:rule="(has(self.providers) && size(self.providers) > 0) || has(self.introspection) || !(has(self.scopes) && size(self.scopes) > 0 || has(self.scopesFrom))",message="scopes and scopesFrom are for verified sessions: set providers or introspection, or use anonymous.scopes"
type Session struct {
	// providers verify session tokens: JSON Web Tokens of another system. They are tried in this order among those that match the token's iss.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Providers []SessionProvider `json:"providers,omitempty"`

	// introspection asks another system about a session that is no token, such as a cookie of Better Auth.
	// +optional
	Introspection *Introspection `json:"introspection,omitempty"`

	// anonymous gives tokens to requests without a session.
	// +optional
	Anonymous *Anonymous `json:"anonymous,omitempty"`

	// scopes are what a verified session may ask for. With scopesFrom: those of them that the session has.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`

	// scopesFrom is the claim of the session that holds its scopes, as a list or as words: a top-level name, or a JSON pointer (RFC 6901) when it begins with a slash. Without scopes, all of them.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	ScopesFrom string `json:"scopesFrom,omitempty"`
}

// SessionProvider is one source of keys, and where its session tokens are found.
type SessionProvider struct {
	policy.Provider `json:",inline"`

	// extractFrom says where the session token is; default: the Authorization header with the prefix "Bearer ".
	// +optional
	ExtractFrom *SessionSource `json:"extractFrom,omitempty"`
}

// Source is the place of the provider's session tokens, as policies name such
// places: a cookie is the header Cookie and the cookie's name with an equals sign.
func (p *SessionProvider) Source() policy.TokenHeader {
	switch from := p.ExtractFrom; {
	case from == nil:
		return policy.TokenHeader{Name: "Authorization", ValuePrefix: "Bearer "}
	case from.Cookie != "":
		return policy.TokenHeader{Name: "Cookie", ValuePrefix: from.Cookie + "="}
	default:
		return policy.TokenHeader{Name: from.Header, ValuePrefix: from.ValuePrefix}
	}
}

// SessionSource is the place of a session token: a header or a cookie.
// +kubebuilder:validation:XValidation:rule="has(self.header) != has(self.cookie)",message="exactly one of header, cookie must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.valuePrefix) || has(self.header)",message="valuePrefix stands before a token in a header: remove it, or set header"
// +kubebuilder:validation:XValidation:rule="!has(self.header) || self.header.lowerAscii() != 'cookie'",message="set cookie to the cookie's name instead of header"
type SessionSource struct {
	// header is the request header that carries the token.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +kubebuilder:validation:MaxLength=128
	Header string `json:"header,omitempty"`

	// valuePrefix stands before the token in the header, for example "Bearer "; its letters are compared without case.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ValuePrefix string `json:"valuePrefix,omitempty"`

	// cookie is the name of the cookie that carries the token. It speaks only for pages whose origin cors.allowOrigins names.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	// +kubebuilder:validation:MaxLength=128
	Cookie string `json:"cookie,omitempty"`
}

// Introspection is a GET request that carries the caller's cookie to the system
// that made it. Its answer, status 200 with a JSON object, is the session; 401,
// 403 or null say that there is none, and so does active: false (RFC 7662).
// +kubebuilder:validation:XValidation:rule="self.uri.startsWith('https://') || (has(self.allowInsecureHTTP) && self.allowInsecureHTTP)",message="uri must be https, or allowInsecureHTTP must be true"
type Introspection struct {
	// uri is the address that is asked, for example https://app.example.com/api/auth/get-session; https unless allowInsecureHTTP.
	// +required
	// +kubebuilder:validation:Pattern=`^https?://[^\s#@]+$`
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri"`

	// forwardCookie is the name of the cookie that is sent on; no other header of the caller is. It speaks only for pages whose origin cors.allowOrigins names.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	// +kubebuilder:validation:MaxLength=128
	ForwardCookie string `json:"forwardCookie"`

	// subject is where in the answer the user's id is: a top-level name, or a JSON pointer (RFC 6901) when it begins with a slash, such as /user/id; default sub.
	// +optional
	// +kubebuilder:default=sub
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Subject string `json:"subject,omitempty"`

	// allowInsecureHTTP permits plain http and loopback addresses. Link-local and metadata addresses stay refused.
	// +optional
	// +kubebuilder:default=false
	AllowInsecureHTTP bool `json:"allowInsecureHTTP,omitempty"`
}

// Anonymous gives tokens to requests without a session. Each such token has a
// subject of its own, so that agents do not take two visitors for one.
type Anonymous struct {
	// rateLimit is how many of these tokens per second (1/s) or minute (5/m) one client address gets.
	// +required
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,5}/[sm]$`
	// +kubebuilder:validation:MaxLength=8
	RateLimit string `json:"rateLimit"`

	// scopes are what a visitor may ask for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`
}

// TokenExchange says whose tokens are exchanged for ours (RFC 8693).
// +kubebuilder:validation:XValidation:rule="(has(self.serviceAccounts) && size(self.serviceAccounts) > 0) || (has(self.sessions) && self.sessions)",message="set one of serviceAccounts, sessions: nothing can be exchanged otherwise"
type TokenExchange struct {
	// sessions exchanges the session tokens of session.providers, with the scopes of session.
	// +optional
	// +kubebuilder:default=false
	Sessions bool `json:"sessions,omitempty"`

	// serviceAccounts are the service accounts of the issuer's own namespace whose projected tokens are exchanged.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
}

// ServiceAccount is one service account and what it may do.
// +kubebuilder:validation:XValidation:rule="!has(self.audience) || !self.audience.matches('^(https://)?kubernetes(\\\\.default(\\\\.svc(\\\\..*)?)?)?$')",message="audience is the API server: project a token for this issuer instead"
type ServiceAccount struct {
	// name is the service account's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// audience is the aud that its token must have been projected for; default: the issuer. A token for the API server itself is never exchanged.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Audience string `json:"audience,omitempty"`

	// scopes are what it may ask for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`
}
