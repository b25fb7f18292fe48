package v1alpha1

// Condition types of a SigningKey.
const (
	// ConditionReady is True while a key signs and every part of the spec is in
	// force.
	ConditionReady = "Ready"
	// ConditionRotating is True while a key is on its way in or out.
	ConditionRotating = "Rotating"
	// ConditionDegraded is True while the key works and somebody should look.
	ConditionDegraded = "Degraded"
)

// Condition types of an AgentAuthPolicy.
const (
	// ConditionAccepted is True when the spec is valid, supported and not in
	// conflict with an older object. An APIKey has this condition alone.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs is True when everything the spec refers to exists
	// and is usable.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed is True when the bundle of this generation is written
	// and every guarded pod has been told.
	ConditionProgrammed = "Programmed"
	// ConditionEnforced is True when every selected pod refuses what the policy
	// refuses.
	ConditionEnforced = "Enforced"
)

// Reasons of Ready.
const (
	ReasonReady = "KeyActive"
	// ReasonUnsafeRotation: the overlap is too short for the tokens' lifetime,
	// or prePublish is too short for verifiers to follow.
	ReasonUnsafeRotation = "UnsafeRotation"
	// ReasonNoActiveKey: the first key has not begun to sign.
	ReasonNoActiveKey = "NoActiveKey"
	// ReasonActiveKeyRevoked: the active key was revoked and its successor does
	// not sign yet.
	ReasonActiveKeyRevoked = "ActiveKeyRevoked"
	// ReasonSecretNotFound and the following six are also reasons of
	// ResolvedRefs.
	ReasonSecretNotFound    = "SecretNotFound"
	ReasonSecretKeyNotFound = "SecretKeyNotFound"
	// ReasonSecretTooShort: an HMAC secret is shorter than its hash (RFC 7518
	// section 3.2).
	ReasonSecretTooShort = "SecretTooShort"
	// ReasonSecretLooksLikeKey: an HMAC secret is a PEM block or a JWK; verifying
	// with a public key's text as the secret lets anybody sign.
	ReasonSecretLooksLikeKey = "SecretLooksLikeKey"
	// ReasonSecretRevoked: the imported value is one that was revoked.
	ReasonSecretRevoked = "SecretRevoked"
	// ReasonStateLost: the state Secret is gone while verifiers still hold keys.
	ReasonStateLost = "StateLost"
	// ReasonStateInvalid: the state Secret cannot be read; it is left alone.
	ReasonStateInvalid = "StateInvalid"
	// ReasonStateConflict: a Secret of the state's name is not ours.
	ReasonStateConflict = "StateConflict"
)

// Reasons of Ready of a TokenIssuer, beside ReasonInvalid and those of references.
const (
	// ReasonServing: every pod that is wanted answers and signs with the active key.
	ReasonServing = "Serving"
	// ReasonSignerIsExternal: the SigningKey says that a back end outside signs.
	ReasonSignerIsExternal = "SignerIsExternal"
	// ReasonTokenLifetimeTooLong: tokenLifetime is more than the SigningKey's
	// maxTokenLifetime, so that verifiers would refuse the tokens.
	ReasonTokenLifetimeTooLong = "TokenLifetimeTooLong"
	// ReasonUsersInvalid: a line of the users cannot be read.
	ReasonUsersInvalid = "UsersInvalid"
	// ReasonWorkloadConflict: a Deployment or a Service of the issuer's name is not
	// ours.
	ReasonWorkloadConflict = "WorkloadConflict"
	// ReasonServiceAccountKeysUnavailable: the API server does not show the keys of
	// service accounts.
	ReasonServiceAccountKeysUnavailable = "ServiceAccountKeysUnavailable"
	// ReasonIssuerImageMissing: the controller does not know which image to run.
	ReasonIssuerImageMissing = "IssuerImageMissing"
	// ReasonReplicasNotReady: too few pods answer; the message says which do not,
	// and why.
	ReasonReplicasNotReady = "ReplicasNotReady"
)

// Reasons of Rotating.
const (
	// ReasonIdle: one key, nothing under way.
	ReasonIdle = "Idle"
	// ReasonSuspended: spec.rotation.suspend holds the schedule.
	ReasonSuspended = "Suspended"
	// ReasonPrePublishing: the next key waits until prePublish is over.
	ReasonPrePublishing = "PrePublishing"
	// ReasonWaitingForVerifiers: the message names the pods that lag.
	ReasonWaitingForVerifiers = "WaitingForVerifiers"
	// ReasonWaitingForSigner: the new key has not been seen in use.
	ReasonWaitingForSigner = "WaitingForSigner"
	// ReasonRetiring: an old key is still accepted and will be removed.
	ReasonRetiring = "Retiring"
	// ReasonTooManyLiveKeys: no further key is made until one is removed.
	ReasonTooManyLiveKeys = "TooManyLiveKeys"
)

// Reasons of Degraded.
const (
	ReasonHealthy = "AsExpected"
	// ReasonVerifiersLagging: verifierTimeout is over and pods still lag.
	ReasonVerifiersLagging = "VerifiersLagging"
	// ReasonRetiredKeyStillUsed: tokens of a retiring key keep coming.
	ReasonRetiredKeyStillUsed = "RetiredKeyStillUsed"
	// ReasonExportConflict: the Secret to export to exists and is not ours.
	ReasonExportConflict = "ExportConflict"
	// ReasonRegressed: an older state came back and was rebuilt.
	ReasonRegressed = "Regressed"
	// ReasonUnknownKeyToRevoke: the revoke annotation names no key of ours.
	ReasonUnknownKeyToRevoke = "UnknownKeyToRevoke"
)

// Reasons of Accepted.
const (
	ReasonAccepted = "Accepted"
	// ReasonNotSupportedYet: the message names the fields that no code stands behind
	// yet.
	ReasonNotSupportedYet = "NotSupportedYet"
	// ReasonForwardsUnverified: accepted, and Authorization reaches the agent as
	// received (forward: Always).
	ReasonForwardsUnverified = "ForwardsUnverified"
	// ReasonInvalid: the message lists the fields that are wrong.
	ReasonInvalid = "Invalid"
	// ReasonConflicted: an older policy selects some of the same pods.
	ReasonConflicted = "Conflicted"
	// ReasonDuplicateClientID and ReasonDuplicateKey: an older APIKey of the
	// namespace has the client id, or one of the keys.
	ReasonDuplicateClientID = "DuplicateClientID"
	ReasonDuplicateKey      = "DuplicateKey"
	// ReasonTakenOver, of an event: the older APIKey with the same client id or key
	// is gone, and a younger one is let in.
	ReasonTakenOver = "TakenOver"
	// ReasonTooManyLiveValues: more than two keys of a client are live.
	ReasonTooManyLiveValues = "TooManyLiveValues"
)

// Reasons of ResolvedRefs, beside those of Secrets above.
const (
	ReasonResolvedRefs       = "ResolvedRefs"
	ReasonSigningKeyNotFound = "SigningKeyNotFound"
	// ReasonSigningKeyNotReady: the SigningKey has no key that verifies yet.
	ReasonSigningKeyNotReady = "SigningKeyNotReady"
	// ReasonAlgorithmMismatch: the provider's algorithms lack the key's.
	ReasonAlgorithmMismatch    = "AlgorithmMismatch"
	ReasonConfigMapNotFound    = "ConfigMapNotFound"
	ReasonConfigMapKeyNotFound = "ConfigMapKeyNotFound"
	// ReasonInvalidKeySet: a JWKS cannot be read, or none of its keys is usable.
	ReasonInvalidKeySet = "InvalidKeySet"
	// ReasonInvalidCABundle: the certificates of a caBundleRef cannot be read.
	ReasonInvalidCABundle = "InvalidCABundle"
	// ReasonTooManyAPIKeys: the selector selects more clients than a bundle holds;
	// the oldest are let in.
	ReasonTooManyAPIKeys = "TooManyAPIKeys"
	// ReasonBundleTooLarge: keys and certificates do not fit into one Secret
	// together; the named provider keeps its last ones.
	ReasonBundleTooLarge = "BundleTooLarge"
)

// Reasons of Programmed.
const (
	ReasonProgrammed = "Programmed"
	// ReasonNotAccepted: the last accepted policy stays in force.
	ReasonNotAccepted = "NotAccepted"
	// ReasonRefsUnresolved: nothing can be written before the references resolve.
	ReasonRefsUnresolved = "RefsUnresolved"
	// ReasonBundleConflict: a Secret of the bundle's name is not ours.
	ReasonBundleConflict = "BundleConflict"
	// ReasonBundleInvalid: the bundle would be refused by a sidecar, so it was
	// not written.
	ReasonBundleInvalid = "BundleInvalid"
	// ReasonPodsPending: some pods have not been told of the bundle.
	ReasonPodsPending = "PodsPending"
)

// Reasons of Enforced.
const (
	ReasonEnforced = "Enforced"
	// ReasonAgentAddressInUse: the guard holds, and the agent ends because it
	// wants the very address that the guard listens on.
	ReasonAgentAddressInUse = "AgentAddressInUse"
	// ReasonAgentCrashLooping: the guard holds, and the agent keeps ending
	// without a word that the controller sees.
	ReasonAgentCrashLooping = "AgentCrashLooping"
	// ReasonAuditMode: refusals are counted and not carried out.
	ReasonAuditMode = "AuditMode"
	// ReasonNoPodsSelected: no pod carries the labels of the selector.
	ReasonNoPodsSelected = "NoPodsSelected"
	// ReasonPodsNotInjected: selected pods run without the sidecar; they are
	// older than the policy or its namespace's label.
	ReasonPodsNotInjected = "PodsNotInjected"
	// ReasonPortTaken: another process of the pod holds the guarded port.
	ReasonPortTaken = "PortTaken"
	// ReasonSidecarDown: a sidecar that has run before is down while its agent
	// runs.
	ReasonSidecarDown = "SidecarDown"
	// ReasonPodsNotReady: a sidecar has not loaded its bundle.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonNotProgrammed: no bundle has been written yet.
	ReasonNotProgrammed = "NotProgrammed"
)
