package policy

// Reason says in one word why a request was let through or refused. The set is
// closed: it is the label `reason` of gatepost_requests_total, a log field and
// the vocabulary of `gatepost explain`.
type Reason string

// The closed set of reasons. The zero Reason is none of them and is never a
// permission: only OK and Exempt let a request pass.
const (
	OK                   Reason = "ok"
	Exempt               Reason = "exempt"
	MissingCredential    Reason = "missing_credential"
	AmbiguousCredentials Reason = "ambiguous_credentials"
	MalformedToken       Reason = "malformed_token"
	TokenTooLarge        Reason = "token_too_large"
	AlgNotAllowed        Reason = "alg_not_allowed"
	TypeNotAllowed       Reason = "type_not_allowed"
	UnknownKey           Reason = "unknown_key"
	SignatureInvalid     Reason = "signature_invalid"
	Expired              Reason = "expired"
	NotYetValid          Reason = "not_yet_valid"
	IssuerMismatch       Reason = "issuer_mismatch"
	AudienceMismatch     Reason = "audience_mismatch"
	ClaimInvalid         Reason = "claim_invalid"
	LifetimeExceeded     Reason = "lifetime_exceeded"
	Revoked              Reason = "revoked"
	APIKeyInvalid        Reason = "api_key_invalid"
	APIKeyExpired        Reason = "api_key_expired"
	InsufficientScope    Reason = "insufficient_scope"
	RuleDenied           Reason = "rule_denied"
	ToolDenied           Reason = "tool_denied"
	OriginDenied         Reason = "origin_denied"
	BadRequest           Reason = "bad_request"
	MethodNotAllowed     Reason = "method_not_allowed"
	RequestTooLarge      Reason = "request_too_large"
	RateLimited          Reason = "rate_limited"
	KeysUnavailable      Reason = "keys_unavailable"
)

// Reasons lists the closed set.
func Reasons() []Reason {
	return []Reason{
		OK, Exempt, MissingCredential, AmbiguousCredentials, MalformedToken, TokenTooLarge, AlgNotAllowed, TypeNotAllowed,
		UnknownKey, SignatureInvalid, Expired, NotYetValid, IssuerMismatch, AudienceMismatch, ClaimInvalid, LifetimeExceeded,
		Revoked, APIKeyInvalid, APIKeyExpired, InsufficientScope, RuleDenied, ToolDenied, OriginDenied, BadRequest,
		MethodNotAllowed, RequestTooLarge, RateLimited, KeysUnavailable,
	}
}

// Allows reports whether a request with this reason is forwarded.
func (r Reason) Allows() bool { return r == OK || r == Exempt }
