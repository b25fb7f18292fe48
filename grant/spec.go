package grant

import "gatepost.dev/gatepost/policy"

// Spec is one token issuer: with which key it signs, for whom its tokens are, and
// who gets one. Everything it refers to lives in the issuer's own namespace.
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'Session') || has(self.session)",message="the grant Session needs session: say who may call /api/get-token"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'ClientCredentials') || has(self.clients)",message="the grant ClientCredentials needs clients: say which APIKeys are OAuth clients"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'Password') || has(self.password)",message="the grant Password needs password: say where the users are"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'Password') || (has(self.legacyPasswordGrant) && self.legacyPasswordGrant)",message="OAuth 2.1 drops the grant Password: set legacyPasswordGrant: true if a client needs it nevertheless"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'TokenExchange') || has(self.tokenExchange)",message="the grant TokenExchange needs tokenExchange: say whose tokens are exchanged"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g == 'RefreshToken') || self.grants.exists(g, g == 'Password')",message="the grant RefreshToken needs Password: no other grant hands out refresh tokens"
// +kubebuilder:validation:XValidation:rule="!self.grants.exists(g, g in ['Password', 'RefreshToken']) || (has(self.replicas) && self.replicas == 1)",message="Password and RefreshToken keep their state in memory: set replicas: 1"
// +kubebuilder:validation:XValidation:rule="!(has(self.tokenExchange) && has(self.tokenExchange.sessions) && self.tokenExchange.sessions) || (has(self.session) && has(self.session.providers) && size(self.session.providers) > 0)",message="tokenExchange.sessions needs session.providers: they verify the tokens"
// +kubebuilder:validation:XValidation:rule="!has(self.session) || !(has(self.session.introspection) || has(self.session.providers) && self.session.providers.exists(p, has(p.extractFrom) && has(p.extractFrom.cookie))) || (has(self.cors) && has(self.cors.allowOrigins) && self.cors.allowOrigins.exists(o, o != '*'))",message="a session in a cookie speaks only for pages whose origin is named: list them in cors.allowOrigins"
// +kubebuilder:validation:XValidation:rule="!has(self.session) || !has(self.session.providers) || self.session.providers.all(p, !(has(p.signingKeyRef) && p.signingKeyRef.name == self.signingKeyRef.name) && !(has(p.issuers) && p.issuers.exists(i, i == self.issuer)))",message="session.providers may not take the issuer's own tokens: whoever had one could get new ones for ever"
type Spec struct {
	// issuer is the iss of the tokens and the address by which clients reach the endpoints: https://host, or https://host/path, without a slash at the end. Plain http is for loopback addresses and tests.
	// +required
	// +kubebuilder:validation:Pattern=`^https?://[^\s?#@/]+(/[^\s?#/]+)*$`
	// +kubebuilder:validation:MaxLength=512
	Issuer string `json:"issuer"`

	// signingKeyRef names the SigningKey that signs; its signer must be Issuer.
	// +required
	SigningKeyRef policy.SigningKeyRef `json:"signingKeyRef"`

	// tokenLifetime is how long a token lives: 10s to 24h, and at most the SigningKey's maxTokenLifetime; default 2m.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="tokenLifetime must be between 10s and 24h"
	TokenLifetime *policy.Duration `json:"tokenLifetime,omitempty"`

	// audiences are for whom tokens are: a token is for all of them, or for those among them that a request names (RFC 8707).
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Audiences []string `json:"audiences"`

	// tokenType is the typ in the header of the tokens: JWT, or at+jwt (RFC 9068).
	// +optional
	// +kubebuilder:default=JWT
	// +kubebuilder:validation:Enum=JWT;at+jwt
	TokenType string `json:"tokenType,omitempty"`

	// grants are the ways to get a token.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Grants []Grant `json:"grants"`

	// session says who may call /api/get-token and /api/refresh-token; for the grant Session, and the sessions of TokenExchange.
	// +optional
	Session *Session `json:"session,omitempty"`

	// clients says which APIKeys are OAuth clients; for the grant ClientCredentials.
	// +optional
	Clients *Clients `json:"clients,omitempty"`

	// password says where users and the hashes of their passwords are; for the grant Password.
	// +optional
	Password *Password `json:"password,omitempty"`

	// legacyPasswordGrant permits the grant Password, which OAuth 2.1 has dropped.
	// +optional
	// +kubebuilder:default=false
	LegacyPasswordGrant bool `json:"legacyPasswordGrant,omitempty"`

	// tokenExchange says whose tokens are exchanged for ours (RFC 8693); for the grant TokenExchange.
	// +optional
	TokenExchange *TokenExchange `json:"tokenExchange,omitempty"`

	// refreshToken says how long refresh tokens live; for the grant RefreshToken.
	// +optional
	RefreshToken *RefreshToken `json:"refreshToken,omitempty"`

	// claims are further claims of the tokens.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Claims []Claim `json:"claims,omitempty"`

	// cors says which browser origins may call the issuer; mode Passthrough is not possible.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode == 'Gateway'",message="an issuer has nobody behind it: remove cors.mode, or set it to Gateway"
	CORS *policy.CORS `json:"cors,omitempty"`

	// rateLimit bounds how many requests the issuer answers.
	// +optional
	// +kubebuilder:default={}
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// trustedProxies are the networks (CIDR) whose X-Forwarded-For is believed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	TrustedProxies []string `json:"trustedProxies,omitempty"`

	// replicas is how many pods the issuer runs as: 1 to 16, default 2. RefreshToken and Password keep their state in memory and need 1. Without a cluster it means nothing.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	Replicas *int32 `json:"replicas,omitempty"`
}

// Grant is a way to get a token.
// +kubebuilder:validation:Enum=Session;ClientCredentials;Password;TokenExchange;RefreshToken
type Grant string

// The grants. Session is asked for at /api/get-token, the others at /token.
const (
	// GrantSession is a verified session of another system, or anybody at all.
	GrantSession Grant = "Session"
	// GrantClientCredentials is RFC 6749 section 4.4.
	GrantClientCredentials Grant = "ClientCredentials" //nolint:gosec // G101: the name of a grant
	// GrantPassword is RFC 6749 section 4.3.
	GrantPassword Grant = "Password"
	// GrantTokenExchange is RFC 8693.
	GrantTokenExchange Grant = "TokenExchange"
	// GrantRefreshToken is RFC 6749 section 6.
	GrantRefreshToken Grant = "RefreshToken"
)

// Grants lists all of them.
func Grants() []Grant {
	return []Grant{GrantSession, GrantClientCredentials, GrantPassword, GrantTokenExchange, GrantRefreshToken}
}

// The values of Spec.TokenType.
const (
	TypeJWT   = "JWT"
	TypeATJWT = "at+jwt"
)

// Clients says which APIKeys are OAuth clients: client_id is the clientID,
// client_secret one of the keys.
type Clients struct {
	// credentialSelector selects the APIKey objects that are clients: matchLabels only.
	// +required
	CredentialSelector policy.CredentialSelector `json:"credentialSelector"`
}

// Password says where users and the hashes of their passwords are.
type Password struct {
	// usersSecretRef names the data key of the Secret with the users: lines of htpasswd with bcrypt or argon2id.
	// +required
	UsersSecretRef UsersSecretRef `json:"usersSecretRef"`

	// scopes are what every user may ask for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	Scopes []string `json:"scopes,omitempty"`
}

// UsersSecretRef names one data key of a Secret.
type UsersSecretRef struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.gatepost-state') && !self.endsWith('.gatepost-bundle') && !self.endsWith('.gatepost-issuer')",message="name may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer: those Secrets are the controller's own"
	Name string `json:"name"`

	// key is the data key in it.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// RefreshToken says how long refresh tokens live. Each is used once and answered
// with its successor.
type RefreshToken struct {
	// lifetime is how long a user may go on without the password, counted from it: 1m to 8760h, default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="lifetime must be between 1m and 8760h"
	Lifetime *policy.Duration `json:"lifetime,omitempty"`

	// reuseGrace is how long after its first use a refresh token still gets a successor, for clients that refresh twice at once; a later use revokes all that came of it. 0s to 60s, default 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('60s')",message="reuseGrace must be between 0s and 60s"
	ReuseGrace *policy.Duration `json:"reuseGrace,omitempty"`
}

// Claim is one further claim of the tokens: a fixed text, or what the verified
// session says.
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.from)",message="exactly one of value, from must be set"
// +kubebuilder:validation:XValidation:rule="!(self.name in ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'cnf', 'act', 'client_id', 'scope', 'scopes', 'gatepost.dev/source'])",message="this claim is the issuer's own: scopes come from session.scopes, password.scopes, the APIKey or the service account"
type Claim struct {
	// name is the claim's name in the token.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`

	// value is the claim's text in every token, whoever gets it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Value *string `json:"value,omitempty"`

	// from is the claim of the session (or of the APIKey of a client) that is copied: a top-level name, or a JSON pointer (RFC 6901) when it begins with a slash. A claim that is not there is left out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	From string `json:"from,omitempty"`
}

// RateLimit bounds how many requests the issuer answers; the others get 429.
type RateLimit struct {
	// perClient is how many requests per second (10/s) or minute (100/m) one OAuth client may make; default 10/s.
	// +optional
	// +kubebuilder:default="10/s"
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,5}/[sm]$`
	// +kubebuilder:validation:MaxLength=8
	PerClient string `json:"perClient,omitempty"`

	// perIP is how many requests per second or minute one client address may make; default 20/s.
	// +optional
	// +kubebuilder:default="20/s"
	// +kubebuilder:validation:Pattern=`^[1-9][0-9]{0,5}/[sm]$`
	// +kubebuilder:validation:MaxLength=8
	PerIP string `json:"perIP,omitempty"`
}
