//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestControllerDown: without a controller nothing that runs stops, no pod gets
// past the guard's post, and whoever has nothing to do with it notices nothing.
func TestControllerDown(t *testing.T) {
	agent := deploy(t)
	elsewhere := namespace(t, agent.Stage, false)
	if err := agent.StopController(t.Context()); err != nil {
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
		const watched = 15 * time.Second // more than the life of any token
		tally := agent.UnderLoad(t.Context(), func(*stage.Load) { pause(t, watched) })
		report(t, tally.Findings(), nil)
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
