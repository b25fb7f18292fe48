package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// Stage is how far a rotation is.
type Stage string

// The stages of a rotation, in order; Stalled may follow any of the first four.
const (
	// Asked: the controller has not made the key yet.
	Asked Stage = "Asked"
	// Spreading: verifiers are given the key, nobody signs with it.
	Spreading Stage = "Published"
	// Signing: the new key signs, the old one is still accepted.
	Signing Stage = "Active"
	// Done: the old key is gone.
	Done Stage = "Done"
	// Stalled: it does not go on by itself, or not in time.
	Stalled Stage = "Stalled"
)

// unheard is how long a controller may take to do what is asked before it is
// thought to be down; settling is how long a status may still be that of before.
const (
	unheard  = 30 * time.Second
	settling = 20 * time.Second
)

const seeController = "kubectl get pods -A -l app.kubernetes.io/name=gatepost"

// MayRotate says why a rotation cannot begin, and what to do; nil: it can.
func MayRotate(key *v1alpha1.SigningKey) error {
	switch {
	case key.DeletionTimestamp != nil:
		return errors.New("it is being deleted")
	case Joins(key):
		return nil
	case key.Spec.Source.Type == v1alpha1.SourceSecretRef:
		name, field := "", ""
		if ref := key.Spec.Source.SecretRef; ref != nil {
			name, field = ref.Name, ref.Key
		}
		return fmt.Errorf("its key is imported: it rotates when the value %s of Secret %s changes, so change that", field, name)
	case key.Spec.Rotation.Suspend:
		return errors.New("spec.rotation.suspend is true, so no rotation begins: set it to false")
	}
	return nil
}

// Joins reports whether a rotation is under way already that has no new signer
// yet: asking for another would be the same one.
func Joins(key *v1alpha1.SigningKey) bool {
	return slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool { return k.Phase == Published })
}

// Rotation follows one rotation from what the SigningKey was before it.
type Rotation struct {
	known map[string]bool // before it was asked for
	old   string          // the key that signed then; empty: none did
	next  string          // the key that takes over; empty: not made yet
	asked time.Time
	said  map[string]bool
	stuck time.Time // since when a reason to stall is seen; zero: none is
}

// Sight is what is seen of a rotation at one moment.
type Sight struct {
	Stage Stage
	// News are what was not said before.
	News []output.Line
	// Why says what it waits for, or why it is stalled, and what to do.
	Why string
}

// Follow begins to follow the rotation that is asked for at that time, or the
// one that is under way.
func Follow(key *v1alpha1.SigningKey, asked time.Time) *Rotation {
	r := &Rotation{known: map[string]bool{}, old: key.Status.ActiveKeyID, asked: asked, said: map[string]bool{}}
	for _, k := range key.Status.Keys {
		if k.Phase == Published {
			r.next = k.KID
			continue
		}
		r.known[k.KID] = true
	}
	return r
}

// Old and New are the ids of the key that signed before and of the one that
// takes over; empty while unknown.
func (r *Rotation) Old() string { return r.old }

// New is the id of the key that takes over; empty while unknown.
func (r *Rotation) New() string { return r.next }

// See judges the SigningKey as it is now.
func (r *Rotation) See(key *v1alpha1.SigningKey, now time.Time) Sight {
	if r.next == "" {
		r.next = r.findNext(key)
	}
	sight := r.stage(key)
	switch why := stalled(key, sight.Stage); {
	case why == "":
		r.stuck = time.Time{}
	case r.stuck.IsZero():
		r.stuck = now
	case now.Sub(r.stuck) >= settling:
		sight.Stage, sight.Why = Stalled, why
	}
	if sight.Stage == Asked && now.Sub(r.asked) >= unheard {
		sight.Stage, sight.Why = Stalled, "the controller has not answered for "+unheard.String()+": does it run? See "+seeController
	}
	sight.News = r.news(key, sight)
	return sight
}

func (r *Rotation) findNext(key *v1alpha1.SigningKey) string {
	for _, k := range key.Status.Keys {
		if !r.known[k.KID] {
			return k.KID
		}
	}
	return ""
}

// stage is how far it is, from the phases of the two keys alone.
func (r *Rotation) stage(key *v1alpha1.SigningKey) Sight {
	rotating := Of(key, nil).condition(v1alpha1.ConditionRotating)
	next, old := find(key, r.next), find(key, r.old)
	switch {
	case r.next == "":
		return Sight{Stage: Asked, Why: "the controller has not made a key yet"}
	case next == nil && slices.Contains(key.Status.RevokedKeyIDs, r.next):
		return Sight{Stage: Stalled, Why: fmt.Sprintf("the new key %s was revoked: gatepost keys status %s -n %s shows what signs now", r.next, key.Name, key.Namespace)}
	case next == nil && old != nil:
		return Sight{Stage: Stalled, Why: fmt.Sprintf("the new key %s is gone before it signed: gatepost keys status %s -n %s shows why", r.next, key.Name, key.Namespace)}
	case next != nil && next.Phase == Published:
		return Sight{Stage: Spreading, Why: rotating.Message}
	case old != nil:
		return Sight{Stage: Signing, Why: rotating.Message}
	}
	return Sight{Stage: Done}
}

// find is the live key of that id; nil without it.
func find(key *v1alpha1.SigningKey, kid string) *v1alpha1.KeyStatus {
	for i := range key.Status.Keys {
		if key.Status.Keys[i].KID == kid {
			return &key.Status.Keys[i]
		}
	}
	return nil
}

// stalled says why a rotation does not go on by itself; empty: it does. What
// degrades a key for another reason holds no rotation.
func stalled(key *v1alpha1.SigningKey, stage Stage) string {
	view := Of(key, nil)
	degraded, ready, rotating := view.condition(v1alpha1.ConditionDegraded), view.condition(v1alpha1.ConditionReady), view.condition(v1alpha1.ConditionRotating)
	holding := map[Stage][]string{
		Spreading: {v1alpha1.ReasonVerifiersLagging, v1alpha1.ReasonExportConflict},
		Signing:   {v1alpha1.ReasonVerifiersLagging, v1alpha1.ReasonExportConflict, v1alpha1.ReasonRetiredKeyStillUsed},
	}
	switch {
	case degraded.Status == metav1.ConditionTrue && slices.Contains(holding[stage], degraded.Reason):
		return degraded.Message
	case stage == Asked && rotating.Reason == v1alpha1.ReasonTooManyLiveKeys:
		return rotating.Message
	case stage == Asked && ready.Status == metav1.ConditionFalse:
		return ready.Message
	}
	return ""
}

// news are the sentences that were not said before.
func (r *Rotation) news(key *v1alpha1.SigningKey, sight Sight) []output.Line {
	var lines []output.Line
	say := func(once string, tone output.Tone, format string, args ...any) {
		if !r.said[once] {
			r.said[once] = true
			lines = append(lines, output.Line{Text: fmt.Sprintf(format, args...), Tone: tone})
		}
	}
	next := find(key, r.next)
	if next != nil {
		r.spread(next, say)
		if next.Phase != Published {
			say("active", output.Good, "key %s signs from now on", r.next)
		}
	}
	if old := find(key, r.old); old != nil && old.Phase == Retiring {
		say("retiring", output.Plain, "key %s signs no more and stays accepted until its last tokens have died", r.old)
		if old.RemovalTime != nil {
			say("removal "+stamp(old.RemovalTime), output.Plain, "key %s is removed at %s at the earliest", r.old, stamp(old.RemovalTime))
		}
	}
	if rotating := Of(key, nil).condition(v1alpha1.ConditionRotating); sight.Stage == Spreading || sight.Stage == Signing {
		switch rotating.Reason {
		case v1alpha1.ReasonWaitingForVerifiers, v1alpha1.ReasonWaitingForSigner:
			say(rotating.Message, output.Notice, "%s", rotating.Message)
		}
	}
	if sight.Stage == Done && r.old != "" {
		say("done", output.Good, "key %s is no longer accepted", r.old)
	}
	return lines
}

// spread tells how the new key comes to the verifiers.
func (r *Rotation) spread(next *v1alpha1.KeyStatus, say func(once string, tone output.Tone, format string, args ...any)) {
	say("made", output.Plain, "key %s is made and on its way to the verifiers", r.next)
	if next.PublishedTime != nil {
		say("published", output.Plain, "key %s is published: accepted, and not used before all have it", r.next)
	}
	if by := next.Verifiers; by != nil && next.AcknowledgedTime != nil && by.Ready == by.Total {
		say("acknowledged", output.Plain, "key %s is acknowledged by %d of %d verifiers", r.next, by.Ready, by.Total)
	}
}

// Block is what is drawn again and again while a rotation goes on.
func Block(key *v1alpha1.SigningKey, sight Sight, began, now time.Time) output.Table {
	table := Live(key.Status, now)
	text := fmt.Sprintf("%s: %s", now.Sub(began).Round(time.Second), strings.ToLower(string(sight.Stage)))
	if sight.Why != "" {
		text += ": " + sight.Why
	}
	table.Title = output.Cell{Text: text, Tone: output.Faint}
	return table
}
