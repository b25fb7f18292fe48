// Package issuing makes the document of a TokenIssuer and its keys into one
// Snapshot, ready to issue tokens.
//
// It is to issuers what package bundle is to policies: Load reads the bundle that
// the controller mounts (Files), or a document and a directory of files without a
// cluster (Directory), and returns the whole Snapshot or an error that names the
// field and the fix. The controller loads what it is about to mount, the issuer
// what it is about to sign with.
//
// It is a package of its own because it reaches the hashing of passwords, which no
// sidecar should link.
package issuing
