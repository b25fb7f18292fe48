package controller

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// keyView is everything that a SigningKey's conditions are made of.
type keyView struct {
	refused       refusal // of the spec
	state         refusal // of the state Secret, which is then left alone
	imported      importation
	spec          keyring.Spec // what is planned with
	plans         bool
	plan          keyring.Result // zero unless plans
	exportForeign bool
	exportName    string
	waits         waits
}

// waits is what a key waits for, in words.
type waits struct {
	bundles []string          // that do not hold every key yet
	untold  []string          // pods that were not told of their bundle
	why     map[string]string // by pod: why it proves nothing

	revocation []string // pods that may accept the key that was revoked last, whoever else refuses it
}

// view judges what can be judged before planning.
func (w keyWorld) view(bounds keyring.Bounds) keyView {
	bounds.ClockSkew = w.skew
	view := keyView{refused: refuseSpec(w.key, bounds), imported: importFrom(w.key, w.imported), spec: keySpec(w.key)}
	name := v1alpha1.StateName(w.key.Name)
	switch {
	case foreign(w.secret, w.key):
		view.state = refusal{v1alpha1.ReasonStateConflict, fmt.Sprintf("Secret %s exists and does not belong to this SigningKey: delete it", name)}
	case w.stateErr != nil:
		view.state = refusal{v1alpha1.ReasonStateInvalid, fmt.Sprintf("Secret %s cannot be read and is left alone: restore it, or delete it to start over (%v)", name, w.stateErr)}
	}
	if view.refused.reason != "" {
		view.spec = keyring.Safe(view.spec, bounds)
	}
	if to := w.key.Spec.ExportTo; to != nil {
		view.exportName = to.SecretName
	}
	importable := !view.spec.Imported || len(view.imported.values.Current) > 0 || w.state != nil
	view.waits = w.waits()
	view.plans = view.state.reason == "" && importable && (view.refused.reason == "" || w.state != nil)
	return view
}

// goodKey is the status each condition of a SigningKey should have. Rotating is
// neither good nor bad; what happens to keys has events of its own.
func goodKey() map[string]metav1.ConditionStatus {
	return map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionTrue, v1alpha1.ConditionDegraded: metav1.ConditionFalse,
	}
}

func (v keyView) conditions() []condition {
	return []condition{v.readiness(), v.rotating(), v.degradation()}
}

func (v keyView) readiness() condition {
	const kind = v1alpha1.ConditionReady
	for _, r := range []refusal{v.refused, v.state, v.imported.problem} {
		if r.reason != "" {
			return fails(kind, r.reason, r.message)
		}
	}
	active, signs := v.active()
	switch {
	case v.found(keyring.StateLost):
		return fails(kind, v1alpha1.ReasonStateLost,
			"the state Secret was gone: keys that bundles held are accepted until a fresh key has taken over; if you deleted it to get rid of a key, revoke that key")
	case v.found(keyring.SecretRevoked):
		return fails(kind, v1alpha1.ReasonSecretRevoked, "the imported value is one that was revoked: put another into the Secret")
	case !signs && v.revokedActive():
		return fails(kind, v1alpha1.ReasonActiveKeyRevoked, "the active key was revoked, and its successor does not sign yet")
	case !signs:
		return fails(kind, v1alpha1.ReasonNoActiveKey, "the first key does not sign before every bundle has it")
	}
	message := fmt.Sprintf("key %s signs", active.KID)
	if v.imported.warning != "" {
		message += "; warning: " + v.imported.warning
	}
	return holds(kind, v1alpha1.ReasonReady, message)
}

func (v keyView) active() (keyring.Key, bool) {
	if v.plan.State == nil {
		return keyring.Key{}, false
	}
	return v.plan.State.ActiveKey()
}

// next is the key that is about to sign; the zero Key when none is.
func (v keyView) next() keyring.Key {
	for _, key := range v.plan.State.Keys {
		if key.Phase == keyring.Published {
			return key
		}
	}
	return keyring.Key{}
}

// revokedActive reports whether there is no active key because it was revoked.
func (v keyView) revokedActive() bool {
	return v.plan.State != nil && len(v.plan.State.Revoked) > 0
}

func (v keyView) found(kind keyring.FindingKind) bool {
	return slices.ContainsFunc(v.plan.Findings, func(f keyring.Finding) bool { return f.Kind == kind })
}

func (v keyView) rotating() condition {
	const kind = v1alpha1.ConditionRotating
	if v.plan.State == nil {
		return fails(kind, v1alpha1.ReasonIdle, "there is no key yet")
	}
	next := v.next()
	switch v.plan.Progress {
	case keyring.PrePublishing:
		return holds(kind, v1alpha1.ReasonPrePublishing, v.prePublishing(next))
	case keyring.WaitingForVerifiers:
		return holds(kind, v1alpha1.ReasonWaitingForVerifiers, v.waitingForVerifiers(next))
	case keyring.WaitingForSigner:
		return holds(kind, v1alpha1.ReasonWaitingForSigner, v.waitingForSigner())
	case keyring.WaitingForRetiring:
		return holds(kind, v1alpha1.ReasonRetiring, "the key before the active one is accepted until its last tokens have died: "+v.removals())
	case keyring.WaitingForRoom:
		return holds(kind, v1alpha1.ReasonTooManyLiveKeys, "no further key is made before one of the retiring keys is removed: "+v.removals())
	case keyring.Suspended:
		return fails(kind, v1alpha1.ReasonSuspended, "spec.rotation.suspend holds the schedule")
	case keyring.Idle:
	}
	return fails(kind, v1alpha1.ReasonIdle, "no rotation is under way")
}

func (v keyView) prePublishing(next keyring.Key) string {
	switch {
	case next.Published.IsZero():
		return fmt.Sprintf("key %s is on its way into the bundles and their pods%s", next.KID, v.waits.distribution())
	case v.spec.Imported:
		return fmt.Sprintf("key %s is accepted and becomes the active one when the Secret's current value changes to it", next.KID)
	}
	return fmt.Sprintf("key %s is accepted since %s and signs after prePublish (%s)", next.KID, stamp(next.Published), v.spec.PrePublish)
}

func (v keyView) removals() string {
	var list []string
	for _, key := range v.plan.State.Keys {
		if at, counting := v.plan.Removal[key.KID]; counting {
			list = append(list, fmt.Sprintf("%s until %s", key.KID, stamp(at)))
		}
	}
	if len(list) == 0 {
		return "the countdown begins when the exported Secret holds the successor"
	}
	return someOf(list)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// degradation is the gravest of the findings that leave a SigningKey working.
func (v keyView) degradation() condition {
	const kind = v1alpha1.ConditionDegraded
	if v.exportForeign {
		return holds(kind, v1alpha1.ReasonExportConflict, fmt.Sprintf(
			"Secret %s is not this SigningKey's to write, so nothing is exported and no old key retires: delete it or change spec.exportTo.secretName", v.exportName))
	}
	for _, grave := range []struct {
		kind            keyring.FindingKind
		reason, message string
	}{
		{keyring.Regressed, v1alpha1.ReasonRegressed, "an older or edited state Secret came back and was rebuilt: no revoked or removed key returned; check who restored or edits it"},
		{keyring.VerifiersLagging, v1alpha1.ReasonVerifiersLagging, "verifierTimeout is over and pods have not acknowledged: " + v.waits.pods(v.plan.Lagging)},
		{keyring.RetiredKeyStillUsed, v1alpha1.ReasonRetiredKeyStillUsed, v.stillUsed()},
		{keyring.TooManyLiveKeys, v1alpha1.ReasonTooManyLiveKeys, "keys are replaced faster than old ones may be removed: rotate less often, or lower rotation.retireAfter"},
		{keyring.UnknownKeyToRevoke, v1alpha1.ReasonUnknownKeyToRevoke, "the annotation " + v1alpha1.AnnotationRevokeKey + " names no key of this SigningKey: take an id from status.keys"},
	} {
		if v.found(grave.kind) {
			return holds(kind, grave.reason, grave.message)
		}
	}
	if len(v.waits.revocation) > 0 {
		return holds(kind, v1alpha1.ReasonVerifiersLagging, "these pods may still accept the key that was revoked last: "+v.waits.pods(v.waits.revocation))
	}
	return fails(kind, v1alpha1.ReasonHealthy, "nothing needs attention")
}
