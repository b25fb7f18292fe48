package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// countPause is how long a status is left alone of which only counts changed:
// with thousands of pods they change all the time.
const countPause = 5 * time.Second

// replaces says how long to wait before a status replaces the one that was written
// so long ago; zero: it is to be written now, or, being the same, not at all.
func replaces(before, after v1alpha1.SigningKeyStatus, since, beat time.Duration) (wait time.Duration, same bool) {
	if equality.Semantic.DeepEqual(before, after) {
		return 0, true
	}
	if !equality.Semantic.DeepEqual(outline(before), outline(after)) {
		return 0, false
	}
	return max(0, min(countPause, beat)-since), false
}

// outline is a status without what changes step by step: how many of the
// verifiers have a key, which ones lag, and until when keys were used.
func outline(status v1alpha1.SigningKeyStatus) v1alpha1.SigningKeyStatus {
	out := *status.DeepCopy()
	for i := range out.Keys {
		key := &out.Keys[i]
		if key.Verifiers != nil {
			complete := key.Verifiers.Ready == key.Verifiers.Total
			key.Verifiers = &v1alpha1.VerifierStatus{}
			if complete {
				key.Verifiers.Ready = 1
			}
		}
		for _, at := range []**metav1.Time{&key.LastAcceptedTime, &key.LastObservedTime} {
			if *at != nil {
				*at = &metav1.Time{}
			}
		}
	}
	for i := range out.Conditions {
		if c := &out.Conditions[i]; c.Type != v1alpha1.ConditionReady {
			c.Message = ""
		}
	}
	return out
}
