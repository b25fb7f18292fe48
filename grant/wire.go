package grant

import "strings"

// registered begins the names that are registered for OAuth (RFC 6755).
const registered = "urn:ietf:params:oauth:"

// The values of grant_type at /token.
const (
	wireClientCredentials = "client_credentials"
	wirePassword          = "password"
	wireTokenExchange     = registered + "grant-type:token-exchange"
	wireRefreshToken      = "refresh_token"
)

// ByType is the grant of a grant_type at /token; false when there is none.
// Session has none: it is not of OAuth.
func ByType(grantType string) (Grant, bool) {
	switch grantType {
	case wireClientCredentials:
		return GrantClientCredentials, true
	case wirePassword:
		return GrantPassword, true
	case wireTokenExchange:
		return GrantTokenExchange, true
	case wireRefreshToken:
		return GrantRefreshToken, true
	}
	return "", false
}

// Type is the grant_type of a grant; empty for Session.
func (g Grant) Type() string {
	switch g {
	case GrantClientCredentials:
		return wireClientCredentials
	case GrantPassword:
		return wirePassword
	case GrantTokenExchange:
		return wireTokenExchange
	case GrantRefreshToken:
		return wireRefreshToken
	case GrantSession:
	}
	return ""
}

// Endpoints are the addresses of an issuer as clients see them.
// +kubebuilder:object:generate=false
type Endpoints struct {
	// GetToken and RefreshToken answer {"token"} to sessions, Token is the OAuth
	// token endpoint, JWKS has the public keys.
	GetToken, RefreshToken, Token, JWKS string
	// OAuthMetadata is that of RFC 8414 section 3, with the issuer's path behind the
	// well-known one; OpenIDMetadata that of OpenID Connect Discovery section 4,
	// with the path before it.
	OAuthMetadata, OpenIDMetadata string
}

// EndpointsOf are the endpoints of an issuer whose URL was checked.
func EndpointsOf(issuer string) Endpoints {
	origin, path := issuer, ""
	if from := strings.Index(issuer, "://"); from >= 0 {
		if slash := strings.IndexByte(issuer[from+len("://"):], '/'); slash >= 0 {
			at := from + len("://") + slash
			origin, path = issuer[:at], issuer[at:]
		}
	}
	return Endpoints{
		GetToken:       issuer + "/api/get-token",
		RefreshToken:   issuer + "/api/refresh-token",
		Token:          issuer + "/token",
		JWKS:           issuer + "/.well-known/jwks.json",
		OAuthMetadata:  origin + "/.well-known/oauth-authorization-server" + path,
		OpenIDMetadata: issuer + "/.well-known/openid-configuration",
	}
}

// The token types of RFC 8693 section 3 that an exchange deals in.
const (
	TokenTypeAccessToken = registered + "token-type:access_token"
	TokenTypeJWT         = registered + "token-type:jwt"
	TokenTypeIDToken     = registered + "token-type:id_token"
)

// TakesSubjectType reports whether a subject token of the type may be exchanged:
// what is signed, whatever its owner calls it.
func TakesSubjectType(tokenType string) bool {
	switch tokenType {
	case TokenTypeAccessToken, TokenTypeJWT, TokenTypeIDToken:
		return true
	}
	return false
}

// IssuedType is the issued_token_type for a requested_token_type; false for what
// is not issued. Empty is an access token.
func IssuedType(requested string) (string, bool) {
	switch requested {
	case "", TokenTypeAccessToken:
		return TokenTypeAccessToken, true
	case TokenTypeJWT:
		return TokenTypeJWT, true
	}
	return "", false
}
