package keyring

import (
	"math"
	"time"
)

// Everywhere is Observations.Distributed when no bundle needs the keys.
const Everywhere = math.MaxInt64

// Observations are what was seen before planning.
type Observations struct {
	// Distributed is the lowest generation of this set that any bundle which needs
	// it holds, with the pods told of it; Everywhere when no bundle does.
	Distributed int64
	// ExportedKID is the current.kid of the exported Secret; it matters when
	// Spec.Exported.
	ExportedKID string
	// Verifiers are the pods that verify with the set (decision 18).
	Verifiers []Verifier
	// Signers are our own issuers; they matter unless Spec.External.
	Signers []Signer
	// Accepted is, by kid, when a verifier last accepted a token. Nil: no bundle
	// refers to the set, nothing was ever observed, and old keys retire by the clock.
	Accepted map[string]time.Time
	// Unneeded: no bundle refers to the set any more, and nobody verifies with it, so
	// that no proof will come: old keys go when what was seen of them is old.
	Unneeded bool
	// Doubt is the latest time at which acceptances may have gone unseen: a
	// verifier vanished unasked, or nobody asked. Every old key counts as accepted
	// then, no new one as taken up.
	Doubt time.Time
	// Floor is the highest generation that any bundle or sidecar names for a set
	// of this name, also of an earlier object: a new set begins above it, so that
	// an old acknowledgement never counts for a new key.
	Floor int64
	// Import is the imported Secret's content. The caller has checked the values.
	Import Import
	// Memory is what others remember of the set.
	Memory Memory
}

// Verifier is a pod that verifies with the key set.
type Verifier struct {
	// Name is the pod's.
	Name string
	// Acked is the generation that it proved to have loaded; zero: none.
	// State.Acknowledged tells it from what a sidecar answers.
	Acked int64
	// Silent: it has not answered lately, so what it accepts is unknown.
	Silent bool
	// Unasked: nobody has asked it yet, so that it could not acknowledge. Spec.Proceed
	// does not go over its head.
	Unasked bool
}

// Signer is one of our issuers.
type Signer struct {
	// Name is the pod's.
	Name string
	// KID is the key that it proved to sign with last; empty: it has proved none yet,
	// or to sign with none.
	KID string
	// Since is from when on, at the latest, it signs with that key: when it was first
	// heard to. Zero: it never had another one.
	Since time.Time
}

// Import is the content of the Secret that a SigningKey refers to.
type Import struct {
	// Current is the value that signs; empty: it could not be read, nothing is
	// imported, retired or removed.
	Current Octets
	// Next is the value that will sign; empty: there is none.
	Next Octets
}

// Memory is what the object's status, the bundles and sidecars remember of a key
// set; Recall makes it. It shows when the state is gone, older than what was
// already in force, or edited by hand.
type Memory struct {
	// Generation is the highest remembered; zero: nothing is remembered.
	Generation int64
	// ActiveKID is the key that signed; empty: not known.
	ActiveKID string
	// Live are the ids of the keys that were accepted in that generation.
	Live []string
	// Revoked are the ids of revoked keys.
	Revoked []string
	// Claimed are further ids of keys that sidecars call revoked, and nobody else.
	Claimed []string
	// Bundled are those of the live keys that somebody still has.
	Bundled []VerifyKey
	// Ahead: sidecars remember it, the cluster was restored.
	Ahead bool
}

// Result is a plan.
type Result struct {
	// State is to be written, with a precondition on the version that was read,
	// before anything of it is shown to anybody.
	State *State
	// Changed is false when State equals the one given; there is nothing to write.
	Changed bool
	// Events are what happens by this plan.
	Events []Event
	// Findings are what somebody should know.
	Findings []Finding
	// Progress is how far a rotation is.
	Progress Progress
	// Lagging are the verifiers that hold it up.
	Lagging []string
	// NextRotation is when the next key is due; zero: when somebody asks.
	NextRotation time.Time
	// Removal is, by kid, the earliest time a retiring key is removed.
	Removal map[string]time.Time
	// Wake is when to plan again at the latest; zero: when something changes.
	Wake time.Time
}

// Event is one thing that happens to a key.
type Event struct {
	Kind EventKind
	KID  string
}

// EventKind is what happens to a key.
type EventKind string

// What happens to keys.
const (
	EventCreated   EventKind = "KeyCreated"
	EventImported  EventKind = "KeyImported"
	EventPublished EventKind = "KeyPublished"
	EventActivated EventKind = "KeyActivated"
	EventRetiring  EventKind = "KeyRetiring"
	EventRemoved   EventKind = "KeyRemoved"
	EventRevoked   EventKind = "KeyRevoked"
	EventAdopted   EventKind = "KeyAdopted"
)

// Finding is something that somebody should know.
type Finding struct {
	Kind FindingKind
	// KID is the key it is about, where there is one.
	KID string
}

// FindingKind is the kind of a finding. The names are reasons of conditions.
type FindingKind string

// The kinds of findings.
const (
	// StateLost: the state was gone and has been rebuilt from bundles.
	StateLost FindingKind = "StateLost"
	// Regressed: the state was older than what others remember.
	Regressed FindingKind = "Regressed"
	// TooManyLiveKeys: a rotation waits, or an imported value pushed out the
	// oldest key before its time.
	TooManyLiveKeys FindingKind = "TooManyLiveKeys"
	// VerifiersLagging: VerifierTimeout is over.
	VerifiersLagging FindingKind = "VerifiersLagging"
	// RetiredKeyStillUsed: tokens of a retiring key keep coming.
	RetiredKeyStillUsed FindingKind = "RetiredKeyStillUsed"
	// SecretRevoked: the imported value is one that was revoked.
	SecretRevoked FindingKind = "SecretRevoked"
	// UnknownKeyToRevoke: Spec.RevokeKey is no key of this set.
	UnknownKeyToRevoke FindingKind = "UnknownKeyToRevoke"
)

// Progress is how far a rotation is. The names are reasons of Rotating.
type Progress string

// How far a rotation is.
const (
	Idle                Progress = "Idle"
	Suspended           Progress = "Suspended"
	PrePublishing       Progress = "PrePublishing"
	WaitingForVerifiers Progress = "WaitingForVerifiers"
	WaitingForSigner    Progress = "WaitingForSigner"
	WaitingForRetiring  Progress = "Retiring"
	WaitingForRoom      Progress = "TooManyLiveKeys"
)
