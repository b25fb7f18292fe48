package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// nudgePause is how long to wait when the rate is used up.
const nudgePause = time.Second

// tell annotates the pods that mount the bundle with its revision, at which
// their kubelets refresh the mount at once instead of within a minute or so. It
// comes after the Secret was written, never before. It tells as many as the rate
// allows, completes the view with how the pods fare, and returns when to go on
// (zero: all were told). A pod that cannot be told does not keep it from the rest.
func (r *policyReconciler) tell(ctx context.Context, w policyWorld, view *policyView) (time.Duration, error) {
	revision := view.bundle.revision
	view.pods = judgePods(w.claim.pods, w.policy.Name, r.image, revision)
	if revision == 0 || view.bundle.foreign || len(view.pods.untold) == 0 {
		return 0, nil
	}
	var again time.Duration
	var errs []error
	for i := range w.claim.pods {
		pod := &w.claim.pods[i]
		if !untold(pod, w.policy.Name, revision) {
			continue
		}
		if !r.nudges.Allow() {
			again = nudgePause
			break
		}
		errs = append(errs, r.annotate(ctx, pod, revision))
	}
	view.pods = judgePods(w.claim.pods, w.policy.Name, r.image, revision)
	return again, errors.Join(errs...)
}

// annotate changes nothing of the pod but the one annotation, which is all that
// the admission policy of the chart lets the controller change.
func (r *policyReconciler) annotate(ctx context.Context, pod *corev1.Pod, revision int64) error {
	value := strconv.FormatInt(revision, 10)
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, pod.UID, v1alpha1.AnnotationBundleRevision, value)
	told := &corev1.Pod{}
	told.Namespace, told.Name = pod.Namespace, pod.Name
	err := r.client.Patch(ctx, told, client.RawPatch(types.MergePatchType, patch))
	if client.IgnoreNotFound(err) != nil && !lostRace(err) {
		return fmt.Errorf("annotating pod %s: %w", pod.Name, err)
	}
	if err == nil {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[v1alpha1.AnnotationBundleRevision] = value
	}
	return nil
}
