package grant

// Code is an error code of OAuth on the wire.
type Code string

// The error codes: RFC 6749 section 5.2, RFC 8707 section 2, RFC 6749 section
// 4.1.2.1 for the last.
const (
	InvalidRequest         Code = "invalid_request"
	InvalidClient          Code = "invalid_client"
	InvalidGrant           Code = "invalid_grant"
	UnauthorizedClient     Code = "unauthorized_client"
	UnsupportedGrantType   Code = "unsupported_grant_type"
	InvalidScope           Code = "invalid_scope"
	InvalidTarget          Code = "invalid_target"
	TemporarilyUnavailable Code = "temporarily_unavailable"
)

// Status is the HTTP status of an answer with the code: 401 for a client that
// could not be told, 503 for what may work in a moment, 400 for all else.
func (c Code) Status() int {
	switch c {
	case InvalidClient:
		return 401
	case TemporarilyUnavailable:
		return 503
	default:
		return 400
	}
}

// Refusal says why there is no token. Its texts are fixed: nothing that a caller
// sent is in them.
// +kubebuilder:object:generate=false
type Refusal struct {
	// Code goes over the wire as error.
	Code Code
	// Description goes over the wire as error_description: ASCII without quotes and
	// backslashes.
	Description string
}

// Error is the code and the description.
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Description }
