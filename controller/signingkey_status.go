package controller

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// arrivalPause and slowArrivalPause are how often the bundles are looked at
// while a new key is on its way into them.
const (
	arrivalPause     = time.Second
	slowArrivalPause = 10 * time.Second
	arrivalPatience  = time.Minute
)

// again is when to look again; zero: when something changes.
func (v keyView) again(now time.Time) time.Duration {
	if v.plan.State == nil {
		return 0
	}
	var pause time.Duration
	if !v.plan.Wake.IsZero() {
		pause = max(v.plan.Wake.Sub(now), time.Millisecond)
	}
	for _, key := range v.plan.State.Keys {
		if !key.Published.IsZero() {
			continue
		}
		wait := arrivalPause
		if now.Sub(key.Created) > arrivalPatience {
			wait = slowArrivalPause
		}
		if pause == 0 || wait < pause {
			pause = wait
		}
	}
	return pause
}

// status is the whole status of a SigningKey. What was not planned stays as it
// was: a state that cannot be read is no reason to forget what it held.
func (v keyView) status(w keyWorld) v1alpha1.SigningKeyStatus {
	status := *w.key.Status.DeepCopy()
	status.ObservedGeneration = w.key.Generation
	status.Conditions = setConditions(status.Conditions, w.key.Generation, v.conditions()...)
	state := v.plan.State
	if state == nil {
		return status
	}
	active, _ := state.ActiveKey()
	status.ActiveKeyID = active.KID
	status.KeyGeneration = max(status.KeyGeneration, state.Generation)
	status.NextRotationTime = moment(v.plan.NextRotation)
	if !active.Activated.IsZero() {
		status.LastRotationTime = moment(active.Activated)
	}
	status.Keys = v.keyStatuses(w)
	if took := v.propagation(w); took > 0 {
		status.LastImportPropagation = &policy.Duration{Duration: took}
	}
	status.LastRevocation = v.lastRevocation(w)
	status.RevokedKeyIDs = nil
	for _, revocation := range state.Revoked {
		status.RevokedKeyIDs = append(status.RevokedKeyIDs, revocation.KID)
	}
	return status
}

// moment is a time as the API stores it, to the second, and nothing for none.
func moment(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	stored := metav1.NewTime(at.Truncate(time.Second))
	return &stored
}

// notices tell what the plan did to keys.
func (v keyView) notices() []notice {
	var list []notice
	for _, e := range v.plan.Events {
		note, warning := v.story(e)
		list = append(list, notice{warning: warning, reason: string(e.Kind), note: note})
	}
	return list
}

// story is one event in words: what happened and what comes next.
func (v keyView) story(e keyring.Event) (note string, warning bool) {
	key := "key " + e.KID
	switch e.Kind {
	case keyring.EventCreated:
		return key + " was made and goes into the bundles", false
	case keyring.EventImported:
		if v.imported.warning != "" {
			return key + " was imported; " + v.imported.warning, true
		}
		return key + " was imported and goes into the bundles", false
	case keyring.EventPublished:
		return key + " is in every bundle", false
	case keyring.EventActivated:
		return key + " signs from now on", false
	case keyring.EventRetiring:
		return key + " signs no more and stays accepted until its last tokens have died", false
	case keyring.EventRemoved:
		return key + " is no longer accepted", false
	case keyring.EventRevoked:
		return key + " is revoked: its tokens are refused from now on", true
	case keyring.EventAdopted:
		return key + " was taken over from a bundle because the state was gone or old; it stays accepted for a while", true
	}
	return key, false
}

// measure updates the metrics.
func (r *keyReconciler) measure(w keyWorld, v keyView, status v1alpha1.SigningKeyStatus) {
	namespace, name := w.key.Namespace, w.key.Name
	r.metrics.conditions(v1alpha1.KindSigningKey, w.key, status.Conditions, goodKey())
	if v.plan.State == nil {
		return
	}
	count := map[keyring.Phase]int{}
	for _, key := range v.plan.State.Keys {
		count[key.Phase]++
	}
	for _, phase := range []keyring.Phase{keyring.Published, keyring.Active, keyring.Retiring} {
		r.metrics.keyPhase.WithLabelValues(namespace, name, string(phase)).Set(float64(count[phase]))
	}
	r.metrics.keyPhase.WithLabelValues(namespace, name, "Revoked").Set(float64(len(v.plan.State.Revoked)))
	if status.NextRotationTime == nil {
		r.metrics.nextRotation.DeleteLabelValues(namespace, name)
	} else {
		r.metrics.nextRotation.WithLabelValues(namespace, name).Set(float64(status.NextRotationTime.Unix()))
	}
	if status.LastRotationTime != nil {
		r.metrics.lastRotation.WithLabelValues(namespace, name).Set(float64(status.LastRotationTime.Unix()))
	}
	for state, count := range w.tally(v.plan.State) {
		r.metrics.verifiers.WithLabelValues(namespace, name, state).Set(float64(count))
	}
	for _, e := range v.plan.Events {
		if result := rotationResult(e.Kind); result != "" {
			r.metrics.rotations.WithLabelValues(namespace, name, result).Inc()
		}
	}
}

func rotationResult(kind keyring.EventKind) string {
	switch kind {
	case keyring.EventActivated:
		return "completed"
	case keyring.EventRevoked:
		return "revoked"
	default:
		return ""
	}
}
