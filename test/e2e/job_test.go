//go:build e2e

package e2e

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestJobCompletes: a native sidecar ends with its Job instead of keeping it alive.
func TestJobCompletes(t *testing.T) {
	agent := deploy(t)
	job := guardedJob(agent)
	began := time.Now()
	if err := agent.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Kubectl(t.Context(), "-n", agent.Namespace, "wait", "--for=condition=Complete", "job/"+job.Name, "--timeout=90s"); err != nil {
		t.Fatal(err)
	}
	figure(t, "job_with_sidecar_completes", time.Since(began).Round(100*time.Millisecond).Seconds(), "seconds")
	var pods corev1.PodList
	if err := agent.API.List(t.Context(), &pods, client.InNamespace(agent.Namespace), client.MatchingLabels{"job-name": job.Name}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("%d pods, want 1", len(pods.Items))
	}
	for _, status := range pods.Items[0].Status.InitContainerStatuses {
		if end := status.State.Terminated; status.Name == v1alpha1.ContainerName && (end == nil || end.ExitCode != 0) {
			t.Errorf("the sidecar's state is %+v, want a clean end", status.State)
		}
	}
}

// guardedJob serves for a moment on the agent's port, and ends.
func guardedJob(agent *stage.Agent) *batchv1.Job {
	no, yes, user := false, true, int64(10001)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: "work"},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": stage.AgentName, v1alpha1.LabelInject: "true", "variant": "job"}},
				Spec: corev1.PodSpec{
					RestartPolicy:                corev1.RestartPolicyNever,
					AutomountServiceAccountToken: &no,
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: &yes, RunAsUser: &user,
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: "agent", Image: agent.Images.Agent,
						Command: []string{"python3", "-c", "import time; time.sleep(2); print('work done')"},
						Ports:   []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: &no,
							Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}
}
