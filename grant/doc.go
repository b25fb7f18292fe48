// Package grant says who gets which token of a token issuer.
//
// Spec is what people write: the same struct is the inline spec of the
// TokenIssuer resource and the document that an issuer without a cluster reads.
// Compile checks every field, applies every default and returns an immutable
// Plan. A Plan answers one question, Decide: may this principal, whom the issuer
// has verified, have a token by this grant, and what is in it? The answer is a
// Ticket (subject, audience, scopes, claims, lifetime) for the issuer to sign, or
// a Refusal with an error code of OAuth (RFC 6749 section 5.2, RFC 8707 section 2).
//
// Everything is pure: no clock, no I/O, no randomness, no net/http. So the issuer
// that answers, the controller that judges the resource and the command line that
// explains a token say the same. The zero Plan and the zero Principal get nothing.
//
// +kubebuilder:object:generate=true
package grant
