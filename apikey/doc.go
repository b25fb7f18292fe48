// Package apikey makes, recognises and looks up API keys: long random texts by
// which a program says who it is.
//
// A key is gpk_<id>_<random><checksum>, 52 characters of which 32 carry 160
// random bits. The prefix and the checksum let scanners of source code, and the
// guard, tell a key from anything else before anybody is asked about it; the id
// is a name that may be spoken. Who may call is known by the key's SHA-256 alone:
// a Set is built from policy.APIKeySpec, is immutable, and finds a client by the
// hash of what a request carries. Nothing here keeps, prints or logs a key.
//
// A random key needs no slow password hash: with 160 bits there is nothing to
// guess. Time and randomness come from outside. The zero Outcome and the nil Set
// let nobody in.
package apikey
