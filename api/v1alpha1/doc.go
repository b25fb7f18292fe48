// Package v1alpha1 is the Kubernetes API of Gatepost: group gatepost.dev,
// version v1alpha1, every kind namespaced and in the category gatepost.
//
// A SigningKey owns a key and its rotation; an AgentAuthPolicy says which pods
// are guarded and which requests they let in; an APIKey is a client that calls
// with a key of its own; a TokenIssuer signs tokens with a SigningKey. The policy's
// judgement is policy.Spec, embedded inline: the same struct is a standalone
// sidecar's file. The issuer's is grant.Spec.
// What two fields say together is checked by CEL in the schema, with a message
// that names the fix; what needs another object is a condition (conditions.go).
// The package holds types, markers and names, and no logic.
//
// +kubebuilder:object:generate=true
// +groupName=gatepost.dev
// +versionName=v1alpha1
package v1alpha1

//go:generate go tool -modfile=../../internal/tools/go.mod controller-gen object paths=./...;../../policy;../../grant
//go:generate go tool -modfile=../../internal/tools/go.mod controller-gen crd paths=./... output:crd:dir=../../config/crd
//go:generate go test -count=1 -run ^TestReferencePageIsCurrent$ . -args -update
