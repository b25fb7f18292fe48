package keyring

import (
	"errors"
	"fmt"
	"time"
)

// Spec is what is wanted of a key set: the part of a SigningKey that planning
// needs, with every default filled in.
type Spec struct {
	// Algorithm is the JWS algorithm. It never changes.
	Algorithm string
	// Imported: the key is the value of somebody else's Secret, and rotation is a
	// change of that value. Otherwise keys are generated.
	Imported bool
	// External: signers outside of Gatepost, which cannot acknowledge.
	External bool
	// Exported: signers read the exported Secret, so an old key retires only
	// once that Secret was seen with its successor.
	Exported bool
	// MaxTokenLifetime is the longest lifetime of a token.
	MaxTokenLifetime time.Duration
	// Interval is the time from a key's activation to its successor's creation;
	// zero: by hand only.
	Interval time.Duration
	// PrePublish is how long verifiers have a key before it signs.
	PrePublish time.Duration
	// WaitForVerifiers: a key signs only once every verifier acknowledged it.
	WaitForVerifiers bool
	// VerifierTimeout is how long lagging verifiers are waited for.
	VerifierTimeout time.Duration
	// Proceed: after VerifierTimeout the key signs although verifiers lag.
	Proceed bool
	// RetireAfter is how long a key is accepted after its successor took over.
	RetireAfter time.Duration
	// Suspend: no new rotation begins.
	Suspend bool
	// RotateNow, when it changes to a text that is not empty, begins a rotation.
	RotateNow string
	// RevokeKey is the id of a key to revoke.
	RevokeKey string
	// ConfirmSigner is the id of a key that every external signer is known to use.
	ConfirmSigner string
}

// Bounds are the installation's margins, against which Check holds a Spec.
type Bounds struct {
	// MinPrePublish is the shortest PrePublish: at least what a mounted Secret
	// needs to reach a pod, and the steps of the clock (2m by default).
	MinPrePublish time.Duration
	// RetireMargin covers the time in which signers take up a new key, and the
	// steps of the clock (2m by default).
	RetireMargin time.Duration
	// ClockSkew is the largest leeway of the providers that verify with the key.
	ClockSkew time.Duration
}

// Safe is what may still be done under a Spec that Check refuses: nothing new
// begins, what is under way ends with the waits that the bounds ask for, and
// keys can be revoked.
func Safe(s Spec, b Bounds) Spec {
	s.Suspend = true
	s.RetireAfter = max(s.RetireAfter, s.MaxTokenLifetime+b.ClockSkew+b.RetireMargin)
	s.PrePublish = max(s.PrePublish, b.MinPrePublish)
	return s
}

// ErrUnsafeRotation is the error of a Spec under which valid tokens could be
// refused.
var ErrUnsafeRotation = errors.New("unsafe rotation")

// Check refuses a Spec under which valid tokens could be refused, or keys would
// pile up. The error is an ErrUnsafeRotation and names the field and the fix.
func Check(s Spec, b Bounds) error {
	overlap := s.MaxTokenLifetime + b.ClockSkew + b.RetireMargin
	switch {
	case s.RetireAfter < overlap:
		return fmt.Errorf("%w: rotation.retireAfter is %s: set it to at least %s (maxTokenLifetime %s + clock skew %s + margin %s)",
			ErrUnsafeRotation, s.RetireAfter, overlap, s.MaxTokenLifetime, b.ClockSkew, b.RetireMargin)
	case !s.Imported && s.PrePublish < b.MinPrePublish:
		return fmt.Errorf("%w: rotation.prePublish is %s: set it to at least %s, which verifiers may need to learn of a key",
			ErrUnsafeRotation, s.PrePublish, b.MinPrePublish)
	case s.Interval > 0 && s.Interval <= s.PrePublish+s.RetireAfter:
		return fmt.Errorf("%w: rotation.interval is %s: set it to more than %s (prePublish + retireAfter)",
			ErrUnsafeRotation, s.Interval, s.PrePublish+s.RetireAfter)
	}
	return nil
}
