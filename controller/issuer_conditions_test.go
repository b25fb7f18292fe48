package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// One URL with the keys of two SigningKeys works for nobody who fetches them.
func TestIssuersOfOneURLWithOtherKeysAreNamed(t *testing.T) {
	issuer := func(name, url, key string) v1alpha1.TokenIssuer {
		one := v1alpha1.TokenIssuer{ObjectMeta: metav1.ObjectMeta{Name: name}}
		one.Spec.Issuer, one.Spec.SigningKeyRef.Name = url, key
		return one
	}
	const url = "https://auth.example.com/agents"
	all := []v1alpha1.TokenIssuer{
		issuer("self", url, "tokens"), issuer("z-rival", url, "other"), issuer("a-rival", url, "third"),
		issuer("twin", url, "tokens"), issuer("elsewhere", url+"/b", "other"),
	}
	rivals := rivalsOf(&all[0], all)
	if diff := cmp.Diff([]string{"a-rival", "z-rival"}, rivals); diff != "" {
		t.Errorf("rivals (-want +got)\n%s", diff)
	}
	if none := rivalsOf(&all[4], all); none != nil {
		t.Errorf("a URL of its own has rivals %v", none)
	}
	view := issuerView{rivals: rivals, pods: issuerPods{wanted: 1, all: 1, ready: 1}, signer: &keyring.SignerFile{KID: "k1"}, file: &keyring.File{}}
	want := "1 pods answer, and sign with key k1; other TokenIssuers (a-rival, z-rival) have the same spec.issuer"
	if got := view.readiness(); got.reason != v1alpha1.ReasonServing || !strings.HasPrefix(got.message, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
}

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
