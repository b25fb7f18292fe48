package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/grant"
)

// TokenIssuer is a server that signs tokens with a SigningKey: for sessions of
// another system, OAuth clients, users with passwords, and service accounts. The
// controller runs one Deployment and one Service for it, which have no rights in
// the cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=tokenissuers,shortName=tiss,categories=gatepost
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.issuer`
// +kubebuilder:printcolumn:name="Key",type=string,JSONPath=`.spec.signingKeyRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Active-Key",type=string,JSONPath=`.status.activeKeyID`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="metadata.name may have at most 52 characters, because names of Secrets and Services are made from it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",message="metadata.name must begin with a letter and have only lower-case letters, digits and hyphens, because a Service is named after it"
type TokenIssuer struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata; the name has at most 52 characters and is that of a Service.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the issuer that is wanted.
	// +required
	Spec grant.Spec `json:"spec"`

	// status is what the controller sees.
	// +optional
	Status TokenIssuerStatus `json:"status,omitzero"`
}

// TokenIssuerList is a list of TokenIssuers.
// +kubebuilder:object:root=true
type TokenIssuerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items are the issuers.
	Items []TokenIssuer `json:"items"`
}

// TokenIssuerStatus is what the controller sees of an issuer and its pods.
type TokenIssuerStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// endpoints are the issuer's addresses.
	// +optional
	Endpoints *IssuerEndpoints `json:"endpoints,omitempty"`

	// activeKeyID is the id of the key that the pods were last told to sign with; absent, nobody may sign.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ActiveKeyID string `json:"activeKeyID,omitempty"`

	// bundleRevision is the revision of the bundle that was written last; it never goes down.
	// +optional
	BundleRevision int64 `json:"bundleRevision,omitempty"`

	// replicas is how many pods the issuer has.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`

	// readyReplicas is how many of them answer.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReadyReplicas int32 `json:"readyReplicas"`

	// conditions are Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// IssuerEndpoints are the addresses of an issuer: that of its Service, and those
// that clients use, which are below spec.issuer.
type IssuerEndpoints struct {
	// service is the address of the Service inside the cluster, where an ingress leads to.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Service string `json:"service,omitempty"`

	// getToken answers {"token"} to sessions.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	GetToken string `json:"getToken,omitempty"`

	// refreshToken answers {"token"} to sessions again.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	RefreshToken string `json:"refreshToken,omitempty"`

	// token is the OAuth token endpoint.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Token string `json:"token,omitempty"`

	// jwks has the public keys.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	JWKS string `json:"jwks,omitempty"`

	// oauthMetadata describes the issuer (RFC 8414).
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	OAuthMetadata string `json:"oauthMetadata,omitempty"`

	// openIDMetadata describes the issuer to OpenID Connect clients.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	OpenIDMetadata string `json:"openIDMetadata,omitempty"`
}
