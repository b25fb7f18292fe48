package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// MayRevoke says why a key cannot be revoked; nil: it can, or was already.
func MayRevoke(key *v1alpha1.SigningKey, kid string) error {
	if find(key, kid) != nil || IsRevoked(key, kid) {
		return nil
	}
	var live []string
	for _, k := range key.Status.Keys {
		live = append(live, fmt.Sprintf("%s (%s)", k.KID, k.Phase))
	}
	if len(live) == 0 {
		return fmt.Errorf("SigningKey %s/%s has no key %s, nor any other", key.Namespace, key.Name, kid)
	}
	return fmt.Errorf("SigningKey %s/%s has no key %s: it has %s", key.Namespace, key.Name, kid, strings.Join(live, ", "))
}

// IsRevoked reports whether a key was revoked already.
func IsRevoked(key *v1alpha1.SigningKey, kid string) bool {
	return slices.Contains(key.Status.RevokedKeyIDs, kid)
}

// Consequences say what a revocation does, before it is done.
func Consequences(key *v1alpha1.SigningKey, kid string) []output.Line {
	lines := []output.Line{{Text: fmt.Sprintf("Every token of key %s is refused at once, for ever.", kid)}}
	if kid == key.Status.ActiveKeyID {
		lines = append(lines, output.Line{Tone: output.Bad, Text: "It is the key that signs: all its users are locked out until the signers have the next one. " + signersDo(key)})
	}
	if key.Spec.Source.Type == v1alpha1.SourceSecretRef {
		lines = append(lines, output.Line{Tone: output.Notice, Text: "It is imported: the value itself is refused from then on, so put another into its Secret first."})
	}
	return lines
}

func signersDo(key *v1alpha1.SigningKey) string {
	switch {
	case key.Spec.Signer == v1alpha1.SignerIssuer:
		return "The TokenIssuers take it up by themselves."
	case key.Spec.ExportTo != nil:
		return fmt.Sprintf("Restart those that do not re-read Secret %s.", key.Spec.ExportTo.SecretName)
	}
	return "Give it to them."
}

// Revocation follows one revocation.
type Revocation struct {
	kid   string
	asked time.Time
	said  map[string]bool
}

// FollowRevocation follows the revocation of a key that is asked for at that time.
func FollowRevocation(kid string, asked time.Time) *Revocation {
	return &Revocation{kid: kid, asked: asked, said: map[string]bool{}}
}

// See judges the SigningKey as it is now. Done: every guarded pod refuses the
// key. The stages between are Asked and Spreading.
func (r *Revocation) See(key *v1alpha1.SigningKey, now time.Time) Sight {
	var sight Sight
	say := func(once, text string, tone output.Tone) {
		if !r.said[once] {
			r.said[once] = true
			sight.News = append(sight.News, output.Line{Text: text, Tone: tone})
		}
	}
	last := key.Status.LastRevocation
	switch {
	case !IsRevoked(key, r.kid):
		sight.Stage, sight.Why = Asked, "the controller has not carried it out yet"
		if now.Sub(r.asked) > unheard {
			sight.Stage = Stalled
			sight.Why = fmt.Sprintf("the controller has not answered for %s, so the key is still accepted: does it run? See %s, and \"When the controller is down\" in docs/guides/rotation.md", unheard, seeController)
		}
		return sight
	case last == nil || last.KID != r.kid:
		sight.Stage = Done
		say("before", fmt.Sprintf("key %s was revoked before another one", r.kid), output.Plain)
	case last.AcknowledgedTime == nil:
		sight.Stage, sight.Why = Spreading, mayAccept(key)
		say("revoked", fmt.Sprintf("key %s is revoked: new bundles refuse it", r.kid), output.Plain)
	default:
		sight.Stage = Done
		say("revoked", fmt.Sprintf("key %s is revoked: new bundles refuse it", r.kid), output.Plain)
		say("acknowledged", fmt.Sprintf("every guarded pod refuses key %s; the last one acknowledged it %s after the revocation", r.kid, Took(last)), output.Good)
	}
	if sight.Stage == Done && key.Status.ActiveKeyID == "" {
		say("nobody", "no key signs yet: its successor does once the verifiers have it, 30 seconds after the revocation at the latest", output.Notice)
	}
	return sight
}

// mayAccept names the pods that have not acknowledged a revocation, as far as
// the status knows them.
func mayAccept(key *v1alpha1.SigningKey) string {
	view := Of(key, nil)
	if degraded := view.condition(v1alpha1.ConditionDegraded); degraded.Reason == v1alpha1.ReasonVerifiersLagging {
		return degraded.Message
	}
	if rotating := view.condition(v1alpha1.ConditionRotating); rotating.Reason == v1alpha1.ReasonWaitingForVerifiers {
		return rotating.Message
	}
	if newest := newest(key.Status.Keys); newest != nil && newest.Verifiers != nil && len(newest.Verifiers.Lagging) > 0 {
		return fmt.Sprintf("these pods have not taken up what is new: %s; delete those that cannot answer", strings.Join(newest.Verifiers.Lagging, ", "))
	}
	return "some pod may still accept it"
}

// MayConfirm says why a key cannot be confirmed as the one that every external
// signer uses; nil: it can.
func MayConfirm(key *v1alpha1.SigningKey, kid string) error {
	switch {
	case key.Spec.Signer == v1alpha1.SignerIssuer:
		return errors.New("its signers are TokenIssuers, which say themselves what they use")
	case kid == "":
		return errors.New("no key signs yet: there is nothing to confirm")
	case kid != key.Status.ActiveKeyID:
		return fmt.Errorf("%s is not the key that signs, which is %s", kid, orNone(key.Status.ActiveKeyID))
	}
	return nil
}
