//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestControllerDown: without a controller nothing that runs stops, however long
// it takes, no pod gets past the guard's post, and whoever has nothing to do with
// it notices nothing.
func TestControllerDown(t *testing.T) {
	agent := deployHasty(t, 2, true)
	elsewhere := namespace(t, agent.Stage, false)
	old, err := agent.SwitchWithoutSigner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err = agent.StopController(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := agent.StartController(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	t.Run("RefusedWhereInjectionIsEnabled", func(t *testing.T) {
		wantRefused(t, agent.Stage, pod(agent, agent.Namespace, nil))
	})
	t.Run("RefusedWhereThePodAsksForIt", func(t *testing.T) {
		wantRefused(t, agent.Stage, pod(agent, elsewhere, map[string]string{v1alpha1.LabelInject: "true"}))
	})
	t.Run("UnaffectedElsewhere", func(t *testing.T) {
		bystander := pod(agent, elsewhere, nil)
		if err := agent.Create(t.Context(), bystander); err != nil {
			t.Fatal(err)
		}
		if _, err := agent.Kubectl(t.Context(), "-n", elsewhere, "wait", "--for=condition=Ready", "pod/"+bystander.Name, "--timeout=60s"); err != nil {
			t.Error(err)
		}
	})
	t.Run("SidecarsGoOn", func(t *testing.T) {
		const watched = 10 * stage.HastyOverlap // nine of them with the key that retires
		tally := agent.UnderLoad(t.Context(), func(*stage.Load) {
			pause(t, watched*9/10)
			agent.Signer.Restart()
			pause(t, watched/10)
		})
		report(t, tally.Findings(), nil)
		if len(tally.Accepted) != 2 || tally.Accepted[old].Count == 0 {
			t.Errorf("accepted %+v, want tokens of key %s and of its successor", tally.Accepted, old)
		}
		figure(t, "controller_down_requests_by_retiring_key", tally.Accepted[old].Count, "requests")
		figure(t, "controller_down_overlaps", int(watched/stage.HastyOverlap), "overlaps")
		figure(t, "controller_down_valid_tokens_refused", len(tally.Refused), "requests")
		findings, err := agent.Answers(t.Context())
		report(t, findings, err)
	})
}

// wantRefused asks that the API server refuses the pod for want of the webhook.
func wantRefused(t *testing.T, s *stage.Stage, pod *corev1.Pod) {
	t.Helper()
	err := s.Create(t.Context(), pod)
	if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("error %v, want a webhook that cannot be called", err)
	} else {
		t.Log(err)
	}
}

// pod is one that sleeps.
func pod(agent *stage.Agent, namespace string, labels map[string]string) *corev1.Pod {
	no, yes, user := false, true, int64(10003)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sleeper", Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: new(int64(1)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "sleeper", Image: agent.Images.Caller, Args: []string{"wait"},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no,
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
