// Package wire is the strict HTTP/1.1 reader that stands between a client's
// connection and net/http.
//
// net/http is lenient where two servers may read the same bytes differently: it
// drops Content-Length beside Transfer-Encoding, folds duplicate lengths, joins
// continuation lines and takes a bare line feed for a line end. Requests that
// are understood in two ways are how a second request is smuggled past a guard,
// so Conn reads every request head first, completely, and hands it on byte for
// byte only when RFC 9112 leaves one reading of it. Everything else is replaced
// by a short, well-formed request of our own that Refused recognises: it takes
// the ordinary way through the handlers and is answered, counted and logged like
// any refusal, and the connection ends with it.
//
// Heads wait in memory until they are complete, so all connections share a Budget
// for what they hold of large ones; beyond it a head is refused with 503.
//
// Between two heads Conn follows the body's framing (Content-Length or strict
// chunks), so that it knows where the next head begins. What a Conn cannot see
// is what comes after a protocol switch: Raw hands the bytes through from there.
package wire
