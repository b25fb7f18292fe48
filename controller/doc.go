// Package controller makes what people wrote true: it turns SigningKey, APIKey and
// AgentAuthPolicy objects into the Secrets that signers and sidecars mount.
//
// There is one reconciler per kind, and each reads everything it needs, decides
// in pure functions (internal/keyring for the life of a key, policy for what a
// policy means, the decide functions here for conditions), applies, and writes
// status once. What it writes it owns and watches, so that a deleted Secret
// comes back. Nothing in a running pod depends on the controller being up: it
// may be away for days and no valid token is refused for it.
//
// The path of a key: state Secret (private, one Update with a resourceVersion
// precondition, so that two leaders cannot make two active keys) - bundle
// Secrets of the policies that refer to it - an annotation on their pods, at
// which the kubelet refreshes the mounted Secret within a second.
package controller
