package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/policy"
)

// APIKey is a client that identifies itself with an API key: its keys, known by
// their hashes alone, and what it may do. Policies of its namespace select it
// by its labels.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=apikeys,shortName=apk,categories=gatepost
// +kubebuilder:printcolumn:name="Client",type=string,JSONPath=`.spec.clientID`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Live",type=integer,JSONPath=`.status.liveValues`
// +kubebuilder:printcolumn:name="Policies",type=integer,JSONPath=`.status.policies`
// +kubebuilder:printcolumn:name="Next-Expiry",type=string,JSONPath=`.status.nextExpirationTime`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type APIKey struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata; policies select by its labels.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the client that is wanted.
	// +required
	Spec policy.APIKeySpec `json:"spec"`

	// status is what the controller sees.
	// +optional
	Status APIKeyStatus `json:"status,omitzero"`
}

// APIKeyList is a list of APIKeys.
// +kubebuilder:object:root=true
type APIKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the clients.
	Items []APIKey `json:"items"`
}

// APIKeyStatus is what the controller sees of a client.
type APIKeyStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// liveValues is how many of the client's keys are let in: none while it is suspended or not accepted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	LiveValues int32 `json:"liveValues"`

	// nextExpirationTime is when the next of them will expire.
	// +optional
	NextExpirationTime *metav1.Time `json:"nextExpirationTime,omitempty"`

	// policies is how many policies of the namespace select the client.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Policies int32 `json:"policies"`

	// conditions are Accepted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
