// Package inject turns a pod into a guarded pod. Pod takes a pod and the policy
// that selects it and returns the pod with the Gatepost sidecar in front of the
// agent, or the reason why that pod cannot be guarded and what to change.
//
// The sidecar is a native one (an init container that keeps running) and comes
// first, so that it holds the agent's own port on the pod's addresses before
// the agent starts; the agent is left with 127.0.0.1 at the same port. Nothing
// else about the pod moves: Services, target ports, probes and commands stay.
//
// Everything here is pure: the same function serves the admission webhook and
// `gatepost inject`, and golden files show what it does. It never trusts what
// an earlier run wrote: an injected pod comes out as if injected anew.
package inject
