// Package attack shows that nothing forged, ambiguous or non-conforming
// reaches an agent behind the built sidecar.
//
// The directory corpus holds requests that must not, row by row of the threats,
// each with the reason for which it is refused and an honest twin that differs
// in nothing but the flaw and does reach the agent. corpus/README.md says how
// they are written.
//
// The mutation test changes those requests at random, and holds everything that
// arrives at the agent against an oracle that shares no code with the sidecar: a
// reader of HTTP/1.1, a verifier of tokens and a model of the policy, each a few
// lines over the standard library.
//
// The agent of these tests is a plain TCP server that keeps every byte it gets.
package attack
