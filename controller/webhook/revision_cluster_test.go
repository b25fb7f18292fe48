//go:build cluster

package webhook

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// A pod is admitted with the revision that its policy's bundle has, whatever its
// author says, and the controller may tell it of the next.
func (h *house) testRevision(t *testing.T) {
	policy := h.policy(t, "agents", "revised", func(spec *v1alpha1.AgentAuthPolicySpec) {
		spec.Selector.MatchLabels = map[string]string{"app": "revised"}
	})
	boasting := func() *corev1.Pod {
		return agent("agents", map[string]string{"app": "revised"}, func(pod *corev1.Pod) {
			pod.Annotations = map[string]string{v1alpha1.AnnotationBundleRevision: "99"}
		})
	}
	admitted := func(options ...client.CreateOption) (*corev1.Pod, error) {
		pod := boasting()
		if err := h.guards(t, pod, options...); err != nil {
			return nil, err
		}
		return pod, nil
	}
	eventually(t, "waiting for a guarded pod", func() error {
		pod, err := admitted(client.DryRunAll)
		if err == nil {
			if told, there := pod.Annotations[v1alpha1.AnnotationBundleRevision]; there {
				t.Errorf("without a bundle it was admitted with %q", told)
			}
		}
		return err
	})
	before := policy.DeepCopy()
	policy.Status.BundleRevision = 7
	if err := h.admin.Status().Patch(t.Context(), policy, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the webhook to see the revision", func() error {
		pod, err := admitted(client.DryRunAll)
		if err != nil {
			return err
		}
		return contains(pod.Annotations[v1alpha1.AnnotationBundleRevision], "7")
	})
	pod, err := admitted()
	if err != nil {
		t.Fatal(err)
	}
	if sidecar := pod.Spec.InitContainers[0]; !slices.Contains(sidecar.Args, "--min-revision=7") {
		t.Errorf("the sidecar's arguments: %q", sidecar.Args)
	}
	if got := pod.Spec.Containers[0].TerminationMessagePolicy; got != corev1.TerminationMessageFallbackToLogsOnError {
		t.Errorf("an agent that leaves its last words at the default has %q", got)
	}
	tell := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"gatepost.dev/bundle-revision":"8"}}}`))
	if err := h.controller.Patch(t.Context(), pod, tell); err != nil {
		t.Errorf("the controller tells of the next revision: %v", err)
	}
}
