// Package token turns the text of a credential into a Verified principal, or
// into the one reason why it is not one.
//
// A request's header values become a Raw (Extract: carrier and size). A
// Verifier holds providers, each a set of keys with the algorithms, issuers and
// audiences it vouches for, and Verify judges a Raw at a given time. The compact
// JWS (RFC 7515) and its claims (RFC 7519) are read by a strict parser of this
// package, because what two readers could take differently is refused; keys and
// signatures are left to jwx. Only Verify makes a Verified: its zero value, like
// that of every type here, denies.
//
// Keys come from a static KeySet or from a remote JWKS (Remotes) that is fetched
// beside the requests: a token whose key is known never waits for the network,
// and a broken fetch never replaces a good set. Time and randomness are handed
// in. Secrets have a type of their own that prints as "redacted".
package token
