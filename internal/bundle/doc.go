// Package bundle makes a policy and its keys into one Snapshot, ready to judge
// requests.
//
// A policy alone decides nothing: its providers name Secrets, SigningKeys and
// ConfigMaps. Where those are found differs. In a pod they are one keys.json
// beside the policy (File); without a cluster they are a directory of files,
// DIR/name/key (Directory). Load reads either, and everything has to be right:
// a policy that compiles and uses nothing that is not built yet, every reference
// resolved, every key sound. It returns the whole Snapshot or an error that
// names the field and the fix, never half of one, so that a caller can keep the
// last good Snapshot and say why.
//
// The controller loads what it is about to mount, the command line what it is
// about to test, and the sidecar what it is about to enforce, all through Load.
package bundle
