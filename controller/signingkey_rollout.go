package controller

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// Pauses between writes of times that move on by themselves.
const (
	acceptedPause = 15 * time.Minute // while no key retires
	leastPause    = time.Second
)

// beat is how often times are written on which the end of a retiring key rests:
// a controller that was away for less than the margin then knows enough.
func (w keyWorld) beat() time.Duration { return max(w.margin/2, leastPause) }

// has reports whether a sidecar has told of having a key in force.
func (v verifier) has(set, kid string) bool { return slices.Contains(v.answer.State.KIDs[set], kid) }

// holders says how many verifiers have a key; nil while no bundle holds the set.
func (w keyWorld) holders(kid string) *v1alpha1.VerifierStatus {
	if len(w.carriers) == 0 && len(w.orphans.known()) == 0 {
		return nil
	}
	status := &v1alpha1.VerifierStatus{}
	for _, c := range w.carriers {
		for _, v := range c.verifiers {
			status.Total++
			if v.has(w.key.Name, kid) {
				status.Ready++
			} else {
				status.Lagging = append(status.Lagging, v.name)
			}
		}
	}
	for _, o := range w.orphans.known() {
		status.Total++
		status.Lagging = append(status.Lagging, o.pod)
	}
	slices.Sort(status.Lagging)
	status.Lagging = status.Lagging[:min(len(status.Lagging), mostNamed)]
	return status
}

// reached reports whether every bundle and every verifier proved to have the
// set's generation.
func (w keyWorld) reached(state *keyring.State, generation int64) bool {
	for _, c := range w.carriers {
		if c.holds(state) < generation {
			return false
		}
		for _, v := range c.verifiers {
			if c.proves(state, w.key.Name, v) < generation {
				return false
			}
		}
	}
	return len(w.orphans.known()) == 0
}

// tally counts the verifiers by whether they follow the set: have its newest key,
// and none that was revoked.
func (w keyWorld) tally(state *keyring.State) map[string]int {
	count := map[string]int{"acknowledged": 0, "lagging": 0, "silent": len(w.orphans.known())}
	for _, c := range w.carriers {
		for _, v := range c.verifiers {
			switch answer := v.answer.State; {
			case v.silent():
				count["silent"]++
			case answer.Revision <= c.revision && state.Acknowledged(answer.Generations[w.key.Name], answer.KIDs[w.key.Name]) >= state.Needed():
				count["acknowledged"]++
			default:
				count["lagging"]++
			}
		}
	}
	return count
}

// tallied is how many verifiers there are.
func (w keyWorld) tallied() int {
	total := 0
	for _, c := range w.carriers {
		total += len(c.verifiers)
	}
	return total
}

// keyStatuses are the live keys as the status shows them.
func (v keyView) keyStatuses(w keyWorld) []v1alpha1.KeyStatus {
	heard := w.heard()
	list := make([]v1alpha1.KeyStatus, 0, len(v.plan.State.Keys))
	for _, key := range v.plan.State.Keys {
		was := statusOfKey(w.key.Status.Keys, key.KID)
		now := v1alpha1.KeyStatus{
			KID: key.KID, Phase: string(key.Phase),
			CreatedTime: moment(key.Created), PublishedTime: moment(key.Published), ActivatedTime: moment(key.Activated),
			RetiringTime: moment(key.Retiring), RemovalTime: moment(v.plan.Removal[key.KID]),
			Verifiers: w.holders(key.KID), AcknowledgedTime: was.AcknowledgedTime,
		}
		if now.AcknowledgedTime == nil && w.rollsOut(key) && w.reached(v.plan.State, key.Generation) {
			now.AcknowledgedTime = moment(w.memo.first(changePublish, key.KID, w.now))
		}
		pause := acceptedPause
		if slices.ContainsFunc(v.plan.State.Keys, func(key keyring.Key) bool { return key.Phase != keyring.Active }) {
			pause = w.beat()
		}
		now.LastAcceptedTime = later(was.LastAcceptedTime, heard[key.KID], pause)
		if key.Phase == keyring.Retiring && v.spec.External {
			now.LastObservedTime = later(was.LastObservedTime, w.watchedUntil(), w.beat())
			if doubt := w.doubtOf(key); doubt.After(key.Retiring) {
				now.ObservedSinceTime = later(was.ObservedSinceTime, doubt, leastPause)
			}
		}
		list = append(list, now)
	}
	return list
}

func statusOfKey(keys []v1alpha1.KeyStatus, kid string) v1alpha1.KeyStatus {
	for _, key := range keys {
		if key.KID == kid {
			return key
		}
	}
	return v1alpha1.KeyStatus{}
}

// rollsOut reports whether the way of a key to the verifiers is worth noting: it
// is, or before this plan was, on its way in.
func (w keyWorld) rollsOut(key keyring.Key) bool {
	if key.Published.IsZero() || len(w.carriers) == 0 {
		return false
	}
	if key.Phase == keyring.Published || len(key.Imported) > 0 && key.Phase == keyring.Active {
		return true
	}
	return w.state != nil && slices.ContainsFunc(w.state.Keys, func(was keyring.Key) bool {
		return was.KID == key.KID && was.Phase == keyring.Published
	})
}

// watchedUntil is until when acceptances were watched: now, unless nobody watches
// or there is nothing to be seen.
func (w keyWorld) watchedUntil() time.Time {
	nobody := len(w.carriers) == 0 || slices.ContainsFunc(w.carriers, func(c carrier) bool { return c.report.Since.IsZero() })
	if nobody || w.strict && w.peopled.IsZero() {
		return time.Time{}
	}
	return w.now
}

// watchAgain is when to note until when acceptances were watched, and to look
// whether orphans are gone, of which nobody tells; zero: nothing is.
func (w keyWorld) watchAgain(v keyView) time.Duration {
	var look time.Duration
	if len(w.orphans) > 0 || w.anyUnasked() {
		look = slowArrivalPause
	}
	if v.plan.State == nil || !v.spec.External || len(w.carriers) == 0 {
		return look
	}
	if slices.ContainsFunc(v.plan.State.Keys, func(key keyring.Key) bool { return key.Phase == keyring.Retiring }) {
		return sooner(look, w.beat())
	}
	return look
}

// later is the time to show: the new one if it is the first, or later than the
// one shown by at least the pause. One that is shown ahead of it stems from a clock
// that was.
func later(shown *metav1.Time, at time.Time, pause time.Duration) *metav1.Time {
	if at.IsZero() || shown != nil && !shown.After(at) && at.Sub(shown.Time) < pause {
		return shown
	}
	return moment(at)
}

// lastRevocation says whether everybody refuses the key that was revoked last.
func (v keyView) lastRevocation(w keyWorld) *v1alpha1.RevocationStatus {
	all := v.plan.State.Revoked
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	now := &v1alpha1.RevocationStatus{KID: last.KID, RevokedTime: moment(last.Time)}
	if was := w.key.Status.LastRevocation; was != nil && was.KID == last.KID && was.AcknowledgedTime != nil {
		now.AcknowledgedTime = was.AcknowledgedTime
	} else if w.reached(v.plan.State, last.Generation) && len(w.orphans.mayAccept(last.Time)) == 0 && len(w.stillSign(last.KID)) == 0 {
		now.AcknowledgedTime = moment(w.memo.first(changeRevoke, last.KID, w.now))
	}
	return now
}

// propagation is how long the active imported value took to every verifier, as far
// as this process saw it; zero: it did not.
func (v keyView) propagation(w keyWorld) time.Duration {
	active, _ := v.plan.State.ActiveKey()
	at, noted := w.memo.noted(changePublish, active.KID)
	if len(active.Imported) == 0 || !noted {
		return 0
	}
	return max(0, at.Sub(active.Created)).Round(time.Millisecond)
}

// arrivals tell of what every verifier has just proved, and measure how long that
// took.
func (r *keyReconciler) arrivals(w keyWorld, v keyView) []notice {
	if v.plan.State == nil {
		return nil
	}
	pods := fmt.Sprintf("all %d pods that verify", w.tallied())
	var list []notice
	for _, key := range v.plan.State.Keys {
		if at, fresh := w.memo.news(changePublish, key.KID); fresh {
			r.metrics.acknowledged.WithLabelValues(changePublish).Observe(at.Sub(key.Created).Seconds())
			list = append(list, notice{reason: eventKeyAcknowledged, note: fmt.Sprintf(
				"key %s is known to %s, %s after it was made", key.KID, pods, roughly(at.Sub(key.Created)))})
		}
	}
	for _, revocation := range v.plan.State.Revoked {
		if at, fresh := w.memo.news(changeRevoke, revocation.KID); fresh {
			r.metrics.acknowledged.WithLabelValues(changeRevoke).Observe(at.Sub(revocation.Time).Seconds())
			list = append(list, notice{reason: eventRevocationAcknowledged, note: fmt.Sprintf(
				"key %s is refused by %s, %s after it was revoked", revocation.KID, pods, roughly(at.Sub(revocation.Time)))})
		}
	}
	return list
}

// roughly is a duration for people.
func roughly(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

// The reasons of events about what every verifier proved.
const (
	eventKeyAcknowledged        = "KeyAcknowledged"
	eventRevocationAcknowledged = "RevocationAcknowledged"
)

// lateUses counts that tokens of retiring keys were accepted which a signer must
// have made after their successor took over: no older token lives that long.
func (r *keyReconciler) lateUses(w keyWorld, v keyView) {
	if v.plan.State == nil {
		return
	}
	used := r.metrics.retiredUsed.WithLabelValues(w.key.Namespace, w.key.Name)
	for _, key := range v.plan.State.Keys {
		if key.Phase != keyring.Retiring || key.Retiring.IsZero() {
			continue
		}
		died := key.Retiring.Add(v.spec.MaxTokenLifetime + w.skew)
		for _, c := range w.carriers {
			minute := c.report.Accepted[key.KID].Truncate(time.Minute) // it was accepted then or later
			if minute.After(died) && w.memo.usedLater(key.KID, minute) {
				used.Inc()
			}
		}
	}
}
