package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/policy"
)

// SigningKeyStatus is what the controller sees of a SigningKey. It never holds
// key material.
type SigningKeyStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// activeKeyID is the id (kid) of the key that signs.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ActiveKeyID string `json:"activeKeyID,omitempty"`

	// keyGeneration counts the changes of the key set; it never goes down, so that an old state that was restored by hand is recognised.
	// +optional
	KeyGeneration int64 `json:"keyGeneration,omitempty"`

	// nextRotationTime is when the next key is due.
	// +optional
	NextRotationTime *metav1.Time `json:"nextRotationTime,omitempty"`

	// lastRotationTime is when the active key took over.
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`

	// lastImportPropagation is how long the last changed value of an imported secret took until every guarded pod had acknowledged it.
	// +optional
	LastImportPropagation *policy.Duration `json:"lastImportPropagation,omitempty"`

	// keys are the live keys.
	// +optional
	// +listType=map
	// +listMapKey=kid
	// +kubebuilder:validation:MaxItems=16
	Keys []KeyStatus `json:"keys,omitempty"`

	// revokedKeyIDs are the ids of keys that were revoked and stay refused, the latest last.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	RevokedKeyIDs []string `json:"revokedKeyIDs,omitempty"`

	// lastRevocation is the last revocation, and whether every guarded pod refuses the key by now.
	// +optional
	LastRevocation *RevocationStatus `json:"lastRevocation,omitempty"`

	// conditions are Ready, Rotating and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// KeyStatus is one live key.
type KeyStatus struct {
	// kid is the key's id, the kid header of tokens signed with it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	KID string `json:"kid"`

	// phase is Published (accepted, not yet used), Active (accepted and used) or Retiring (accepted, no longer used).
	// +required
	// +kubebuilder:validation:Enum=Published;Active;Retiring
	Phase string `json:"phase"`

	// createdTime is when the key was made or imported.
	// +optional
	CreatedTime *metav1.Time `json:"createdTime,omitempty"`

	// publishedTime is when verifiers were first given the key.
	// +optional
	PublishedTime *metav1.Time `json:"publishedTime,omitempty"`

	// activatedTime is when the key began to sign.
	// +optional
	ActivatedTime *metav1.Time `json:"activatedTime,omitempty"`

	// retiringTime is when the key's successor took over.
	// +optional
	RetiringTime *metav1.Time `json:"retiringTime,omitempty"`

	// removalTime is the earliest time at which the key is removed.
	// +optional
	RemovalTime *metav1.Time `json:"removalTime,omitempty"`

	// acknowledgedTime is when every guarded pod had acknowledged the key for the first time.
	// +optional
	AcknowledgedTime *metav1.Time `json:"acknowledgedTime,omitempty"`

	// lastAcceptedTime is when a verifier last accepted a token of the key, to the second, as far as the controller has asked; written every 15 minutes at most while no key is on its way in or out.
	// +optional
	LastAcceptedTime *metav1.Time `json:"lastAcceptedTime,omitempty"`

	// observedSinceTime is, for a retiring key of external signers, since when the controller has watched without a gap whether tokens of the key are accepted, if that is later than retiringTime. In a gap the key counts as used.
	// +optional
	ObservedSinceTime *metav1.Time `json:"observedSinceTime,omitempty"`

	// lastObservedTime is, for a retiring key of external signers, until when the controller has watched whether tokens of the key are accepted.
	// +optional
	LastObservedTime *metav1.Time `json:"lastObservedTime,omitempty"`

	// verifiers says how many guarded pods have the key.
	// +optional
	Verifiers *VerifierStatus `json:"verifiers,omitempty"`
}

// RevocationStatus is what became of a revocation.
type RevocationStatus struct {
	// kid is the id of the revoked key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	KID string `json:"kid"`

	// revokedTime is when the revocation was carried out; acknowledgedTime says when every guarded pod refuses the key.
	// +optional
	RevokedTime *metav1.Time `json:"revokedTime,omitempty"`

	// acknowledgedTime is when every guarded pod had acknowledged that it refuses the key. Until then some may still accept it.
	// +optional
	AcknowledgedTime *metav1.Time `json:"acknowledgedTime,omitempty"`
}

// VerifierStatus says how many guarded pods have a key.
type VerifierStatus struct {
	// ready is how many verifiers have acknowledged the key.
	// +required
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready"`

	// total is how many verifiers there are.
	// +required
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total"`

	// lagging names up to 10 pods that have not.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=253
	Lagging []string `json:"lagging,omitempty"`
}
