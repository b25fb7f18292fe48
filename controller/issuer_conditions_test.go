package controller

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// An issuer whose pods cannot be made, or cannot be replaced, says which policy
// selects them.
func TestAnIssuerSaysWhyItsPodsAreRefused(t *testing.T) {
	const selected = "; AgentAuthPolicy chat selects these pods, and where injection is enabled admission refuses them," +
		" because a pod with Gatepost's Secrets is never guarded: narrow its spec.selector"
	refusing := &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "the webhook refuses"},
	}}}
	const hint = "; kubectl describe pod and the pod's log say more"
	for name, test := range map[string]struct {
		deployment *appsv1.Deployment
		selecting  string
		pods       issuerPods
		want       condition
	}{
		"none were made": {
			refusing, "chat",
			issuerPods{wanted: 2},
			fails(v1alpha1.ConditionReady, v1alpha1.ReasonReplicasNotReady, "0 of 2 pods answer; new pods cannot be made: the webhook refuses"+selected+hint),
		},
		"none were made, and the Deployment does not say so yet": {
			nil, "chat",
			issuerPods{wanted: 2},
			fails(v1alpha1.ConditionReady, v1alpha1.ReasonReplicasNotReady, "0 of 2 pods answer"+selected+hint),
		},
		"all were made, and are not ready for another reason": {
			nil, "chat",
			issuerPods{wanted: 1, all: 1, down: []string{"auth-1 (CrashLoopBackOff)"}},
			fails(v1alpha1.ConditionReady, v1alpha1.ReasonReplicasNotReady, "0 of 1 pods answer, not auth-1 (CrashLoopBackOff)"+hint),
		},
		"the old ones serve and cannot be replaced": {
			refusing, "chat",
			issuerPods{wanted: 1, all: 1, ready: 1},
			holds(v1alpha1.ConditionReady, v1alpha1.ReasonServing, "1 pods answer, and sign with key k1; new pods cannot be made: the webhook refuses"+selected),
		},
		"no policy selects them": {
			refusing, "",
			issuerPods{wanted: 1, all: 1, ready: 1},
			holds(v1alpha1.ConditionReady, v1alpha1.ReasonServing, "1 pods answer, and sign with key k1; new pods cannot be made: the webhook refuses"),
		},
		"all serve, and a policy selects them": {
			&appsv1.Deployment{}, "chat",
			issuerPods{wanted: 1, all: 1, ready: 1},
			holds(v1alpha1.ConditionReady, v1alpha1.ReasonServing, "1 pods answer, and sign with key k1"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			view := issuerView{
				deployment: test.deployment, selecting: test.selecting, pods: test.pods,
				signer: &keyring.SignerFile{KID: "k1"}, file: &keyring.File{},
			}
			if got := view.readiness(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
