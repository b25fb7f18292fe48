// Package policy says what a request must be to reach an agent.
//
// Spec is what people write: the same struct is the inline spec of the
// AgentAuthPolicy resource, the document a standalone sidecar reads, the input
// of `gatepost policy test`, and the only input of Compile. Compile checks
// every field, applies every default and returns an immutable Policy; a Policy
// judges one request in two steps, Route (method and path, before any
// credential is looked at) and Decide (the route and a verified principal).
//
// Both steps are pure: no clock, no I/O, no randomness, no net/http. They
// answer with a Reason of a closed set that is also the metric label, the log
// field and the vocabulary of `gatepost explain`. The zero Policy and the zero
// Decision deny.
//
// +kubebuilder:object:generate=true
package policy
