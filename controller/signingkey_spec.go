package controller

import (
	"strings"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// Defaults of fields that the API server fills in, or, for retireAfter, that
// depend on another field.
const (
	defaultTokenLifetime    = 15 * time.Minute
	defaultPrePublish       = 10 * time.Minute
	defaultVerifierTimeout  = time.Hour
	defaultRetireExternal   = 24 * time.Hour
	defaultRetireIssuer     = 20 * time.Minute
	defaultClockSkew        = 10 * time.Second
	defaultWaitForVerifiers = true
)

// keySpec is what a SigningKey asks of the planner.
func keySpec(key *v1alpha1.SigningKey) keyring.Spec {
	rotation := key.Spec.Rotation
	external := key.Spec.Signer != v1alpha1.SignerIssuer
	retire := defaultRetireIssuer
	if external {
		retire = defaultRetireExternal
	}
	wait := defaultWaitForVerifiers
	if rotation.WaitForVerifiers != nil {
		wait = *rotation.WaitForVerifiers
	}
	return keyring.Spec{
		Algorithm:        string(key.Spec.Algorithm),
		Imported:         key.Spec.Source.Type == v1alpha1.SourceSecretRef,
		External:         external,
		Exported:         key.Spec.ExportTo != nil,
		MaxTokenLifetime: durationOr(key.Spec.MaxTokenLifetime, defaultTokenLifetime),
		Interval:         durationOr(rotation.Interval, 0),
		PrePublish:       durationOr(rotation.PrePublish, defaultPrePublish),
		WaitForVerifiers: wait,
		VerifierTimeout:  durationOr(rotation.VerifierTimeout, defaultVerifierTimeout),
		Proceed:          rotation.OnTimeout == v1alpha1.OnTimeoutProceed,
		RetireAfter:      durationOr(rotation.RetireAfter, retire),
		Suspend:          rotation.Suspend,
		RotateNow:        key.Annotations[v1alpha1.AnnotationRotateNow],
		RevokeKey:        key.Annotations[v1alpha1.AnnotationRevokeKey],
		ConfirmSigner:    key.Annotations[v1alpha1.AnnotationConfirmSigner],
	}
}

func durationOr(d *policy.Duration, absent time.Duration) time.Duration {
	if d == nil {
		return absent
	}
	return d.Duration
}

// refusal is why a SigningKey's spec is not carried out; the zero refusal means
// that it is.
type refusal struct {
	reason, message string
}

// refuseSpec names what no code stands behind yet, and bounds under which valid
// tokens would be refused.
func refuseSpec(key *v1alpha1.SigningKey, bounds keyring.Bounds) refusal {
	spec := keySpec(key)
	if err := keyring.Check(spec, bounds); err != nil {
		return refusal{v1alpha1.ReasonUnsafeRotation, "spec." + strings.TrimPrefix(err.Error(), keyring.ErrUnsafeRotation.Error()+": ")}
	}
	return refusal{}
}

// largestSkew is the largest leeway of the providers that verify with a key.
func largestSkew(policies []v1alpha1.AgentAuthPolicy, key string) time.Duration {
	var largest time.Duration
	found := false
	for i := range policies {
		refersTo(&policies[i], func(provider *policy.Provider) bool {
			if provider.SigningKeyRef != nil && provider.SigningKeyRef.Name == key {
				largest, found = max(largest, durationOr(provider.ClockSkew, defaultClockSkew)), true
			}
			return false
		})
	}
	if !found {
		return defaultClockSkew
	}
	return largest
}
