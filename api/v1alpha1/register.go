package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is gatepost.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme registers the kinds of this package and their lists.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&SigningKey{}, &SigningKeyList{},
		&AgentAuthPolicy{}, &AgentAuthPolicyList{},
		&APIKey{}, &APIKeyList{},
		&TokenIssuer{}, &TokenIssuerList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
