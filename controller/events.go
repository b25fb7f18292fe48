package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// notice is one sentence about an object for `kubectl describe`. It never holds
// key material.
type notice struct {
	warning bool
	reason  string
	note    string
}

func emit(recorder events.EventRecorder, object runtime.Object, list []notice) {
	for _, n := range list {
		kind := corev1.EventTypeNormal
		if n.warning {
			kind = corev1.EventTypeWarning
		}
		recorder.Eventf(object, nil, kind, n.reason, "Reconcile", "%s", n.note)
	}
}

// conditionEvents tells what became of conditions: a warning when one turns bad,
// is bad for another reason, or is good and yet worth a look; a note when it is
// well again. good says which status of a condition is the good one.
func conditionEvents(before, after []metav1.Condition, good map[string]metav1.ConditionStatus) []notice {
	var list []notice
	for _, now := range after {
		want, judged := good[now.Type]
		if !judged {
			continue
		}
		was := meta.FindStatusCondition(before, now.Type)
		same := was != nil && was.Status == now.Status && was.Reason == now.Reason
		bad := now.Status != want || worthALook(now.Reason)
		wasFine := was == nil || was.Status == want && !worthALook(was.Reason)
		if same || !bad && wasFine {
			continue
		}
		list = append(list, notice{warning: bad, reason: now.Reason, note: now.Message})
	}
	return list
}

// worthALook are the reasons of conditions that are as they should be while
// somebody has something to do.
func worthALook(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonAgentAddressInUse, v1alpha1.ReasonAgentCrashLooping, v1alpha1.ReasonForwardsUnverified,
	}, reason)
}
