package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
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

// conditionEvents tells what became of conditions: a warning when one turns
// bad or is bad for another reason, a note when it is well again. good says
// which status of a condition is the good one.
func conditionEvents(before, after []metav1.Condition, good map[string]metav1.ConditionStatus) []notice {
	var list []notice
	for _, now := range after {
		want, judged := good[now.Type]
		if !judged {
			continue
		}
		was := meta.FindStatusCondition(before, now.Type)
		same := was != nil && was.Status == now.Status && was.Reason == now.Reason
		newlyFine := now.Status == want && (was == nil || was.Status == want)
		if same || newlyFine {
			continue
		}
		list = append(list, notice{warning: now.Status != want, reason: now.Reason, note: now.Message})
	}
	return list
}
