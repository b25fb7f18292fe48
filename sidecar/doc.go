// Package sidecar is the guard in front of an agent: HTTP in, HTTP out, and
// nothing goes in that the policy does not let in.
//
// A request comes through a listener whose connections are read strictly
// (package wire), then through the handlers that serve lists: observe, limits,
// preflight, guard, forward. The guard sees a small view of the request, not
// net/http's, asks the policy about the route, the verifier about the token and
// the policy again about the principal. What it refuses is answered from one
// table. What passes is forwarded as it came, byte for byte in its path and
// query, without any header that only the sidecar may set.
//
// Everything a decision depends on is one site: policy, keys and what follows
// from them, behind one atomic pointer. It is built completely from files as
// they were at one moment and swapped as a whole; a reload that fails keeps the
// last good one and says why. Without a site everything is refused with 503.
//
// A second, private address serves metrics, health and what the controller asks
// for. Nothing of a token, a key or a claim is ever in a log, a metric or an
// answer.
package sidecar
