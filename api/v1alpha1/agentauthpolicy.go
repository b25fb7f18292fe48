package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"gatepost.dev/gatepost/policy"
)

// AgentAuthPolicy says which pods are guarded, and which requests they let in.
// One policy guards a pod; where two select it, the older one wins.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=agentauthpolicies,shortName=aap,categories=gatepost
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods.selected`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name may have at most 52 characters, because names of Secrets are made from it"
type AgentAuthPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata; the name has at most 52 characters.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the policy that is wanted.
	// +required
	Spec AgentAuthPolicySpec `json:"spec"`

	// status is what the controller sees.
	// +optional
	Status AgentAuthPolicyStatus `json:"status,omitzero"`
}

// AgentAuthPolicyList is a list of AgentAuthPolicies.
// +kubebuilder:object:root=true
type AgentAuthPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the policies.
	Items []AgentAuthPolicy `json:"items"`
}

// AgentAuthPolicySpec is which pods are guarded, on which ports, and the
// judgement itself: the fields of policy.Spec stand beside selector and capture.
// +kubebuilder:validation:XValidation:rule="!has(self.authorization) || !has(self.authorization.rules) || self.authorization.rules.all(r, !has(r.principal) || !has(r.principal.providers) || has(self.jwt) && r.principal.providers.all(name, self.jwt.providers.exists(p, p.name == name)))",message="authorization.rules[].principal.providers may only name providers of jwt.providers"
// +kubebuilder:validation:XValidation:rule="has(self.apiKeyAuth) || !has(self.authorization) || !has(self.authorization.rules) || self.authorization.rules.all(r, !has(r.principal) || !has(r.principal.apiKeys))",message="authorization.rules[].principal.apiKeys can match only with apiKeyAuth"
type AgentAuthPolicySpec struct {
	// selector selects the pods of this namespace that are guarded. Empty: all of them; absent: none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || size(self.matchLabels) <= 32",message="matchLabels may have at most 32 entries"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || size(self.matchExpressions) <= 32",message="matchExpressions may have at most 32 entries"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// capture says which ports are guarded, and how.
	// +optional
	// +kubebuilder:default={}
	Capture Capture `json:"capture,omitzero"`

	policy.Spec `json:",inline"`
}

// Capture says which ports are guarded, and how.
type Capture struct {
	// mode is SamePort (the sidecar listens on the pod's addresses at the agent's own port, the agent on 127.0.0.1) or NamedPort.
	// +optional
	// +kubebuilder:default=SamePort
	Mode CaptureMode `json:"mode,omitempty"`

	// ports are the names or numbers of the guarded container ports; default: every declared TCP port of the regular containers.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:XIntOrString
	// +kubebuilder:validation:items:MaxLength=15
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9]+-)*[a-z0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$`
	// +kubebuilder:validation:XValidation:rule="self.all(port, type(port) != int || (port >= 1 && port <= 65535))",message="ports that are numbers must be between 1 and 65535"
	Ports []intstr.IntOrString `json:"ports,omitempty"`
}

// CaptureMode says how requests are led through the sidecar.
// +kubebuilder:validation:Enum=SamePort;NamedPort
type CaptureMode string

// The capture modes.
const (
	CaptureSamePort  CaptureMode = "SamePort"
	CaptureNamedPort CaptureMode = "NamedPort"
)

// AgentAuthPolicyStatus is what the controller sees of a policy and its pods.
type AgentAuthPolicyStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// bundleRevision is the revision of the bundle that was written last; it never goes down.
	// +optional
	BundleRevision int64 `json:"bundleRevision,omitempty"`

	// pods counts the pods that the policy is about.
	// +optional
	Pods PodCounts `json:"pods,omitzero"`

	// conditions are Accepted, ResolvedRefs, Programmed and Enforced.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PodCounts counts the pods that a policy is about.
type PodCounts struct {
	// selected is how many pods the selector selects.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Selected int32 `json:"selected"`

	// injected is how many of them carry the sidecar.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Injected int32 `json:"injected"`

	// programmed is how many of them were told of the latest bundle.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Programmed int32 `json:"programmed"`

	// outdated is how many of them carry a sidecar of another image, or run without one.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Outdated int32 `json:"outdated"`
}
