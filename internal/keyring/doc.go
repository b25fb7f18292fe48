// Package keyring is the life of a signing key as a pure state machine.
//
// A key is Published (verifiers accept it, nobody signs with it), then Active
// (the one that signs), then Retiring (accepted, no longer used), then gone; a
// revoked key is gone at once and remembered. All of a key set's state is one
// document, State. Plan takes it with what is wanted (Spec), what was seen
// (Observations) and the time, and returns the state to write next, what
// happened, and when to plan again. Whoever calls it writes the state with a
// precondition on the version it read and plans again when it lost; nothing of
// a plan may be shown to anybody before that write.
//
// Two waits count from what was seen, never from what was decided: prePublish
// from when every bundle held the key, retireAfter from when the signer was
// given its successor. So a controller that dies between two writes, or stays
// away for days, costs time and no valid token.
//
// The package imports the standard library and package policy only, and has no
// clock, no randomness and no I/O of its own. File is the keys.json that a
// sidecar mounts: verification keys, and the clients with API keys.
package keyring
