package controller

import (
	"slices"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// untoldPatience is how long a key that switches by the clock waits for pods
// that cannot be told of it. By then their kubelets have refreshed the mount by
// themselves.
const untoldPatience = 2 * time.Minute

// observations are what the planner gets to see.
func (w keyWorld) observations(view keyView) keyring.Observations {
	seen := keyring.Observations{
		Distributed: distributed(w.carriers, w.state, w.hurries()), Verifiers: w.verifiers(),
		Accepted: w.accepted(), Unneeded: len(w.carriers) == 0 && len(w.orphans.known()) == 0, Doubt: w.doubt(), Floor: w.floor(), Import: view.imported.values, Memory: w.memory(),
	}
	if w.export != nil && !foreign(w.export, w.key) {
		seen.ExportedKID = string(w.export.Data[v1alpha1.ExportCurrentKID])
	}
	return seen
}

// hurries reports whether the next key does not wait until every pod was told of
// it: sidecars acknowledge it anyway, or it replaces a revoked one, or some pod
// cannot be told.
func (w keyWorld) hurries() bool {
	if w.strict || w.state == nil {
		return true
	}
	return slices.ContainsFunc(w.state.Keys, func(key keyring.Key) bool {
		waits := key.Published.IsZero() || key.Phase == keyring.Published
		return waits && (key.Urgent || w.now.Sub(key.Created) > untoldPatience)
	})
}

// urgent reports whether the successor of a revoked key is on its way in. It does
// not wait for bundles that no pod mounts.
func urgent(state *keyring.State) bool {
	return state != nil && slices.ContainsFunc(state.Keys, func(key keyring.Key) bool { return key.Urgent })
}

// distributed is the lowest generation that every carrier holds and, unless it
// hurries, told its pods of. A bundle that lacks a key of the state does not
// count as holding it, whatever generation it names: it may stem from an earlier
// SigningKey.
func distributed(carriers []carrier, state *keyring.State, hurries bool) int64 {
	lowest := int64(keyring.Everywhere)
	for _, c := range carriers {
		if len(c.untold) > 0 && !hurries {
			return 0
		}
		if !c.mounted && urgent(state) {
			continue
		}
		lowest = min(lowest, c.holds(state))
	}
	return lowest
}

func (c carrier) holds(state *keyring.State) int64 {
	if state == nil {
		return c.generation
	}
	return state.Acknowledged(c.generation, c.kids())
}

func (c carrier) kids() []string {
	kids := make([]string, 0, len(c.keys))
	for _, key := range c.keys {
		kids = append(kids, key.KID)
	}
	return kids
}

// proves is the generation of the set that a sidecar proved to have in force. An
// older revision of the bundle proves it as well as the one of now, which holds
// the key too: sidecars do not go back, and a bundle that changes more often than
// all of them can follow, for other keys or its policy, would never let a key sign.
// But a revision from before the bundle was made anew or put back, or a later one,
// is of another history, and proves nothing.
func (c carrier) proves(state *keyring.State, set string, v verifier) int64 {
	answer := v.answer.State
	if v.answer.At.IsZero() || answer.Revision < c.since || answer.Revision > c.revision || state == nil {
		return 0
	}
	return state.Acknowledged(answer.Generations[set], answer.KIDs[set])
}

// silent reports whether it is unknown what a sidecar accepts.
func (v verifier) silent() bool { return v.answer.At.IsZero() || v.answer.Stale }

// unasked reports whether this process has not come to ask a sidecar yet.
func (c carrier) unasked(v verifier, now time.Time) bool {
	return v.answer.At.IsZero() && v.answer.Problem == "" && now.Sub(c.watchedSince(now)) < askedByThen
}

func (w keyWorld) anyUnasked() bool {
	return slices.ContainsFunc(w.verifiers(), func(v keyring.Verifier) bool { return v.Unasked })
}

// askedByThen is when every sidecar that can be asked was.
const askedByThen = time.Minute

// verifiers are the pods that verify with the set, and what they proved.
func (w keyWorld) verifiers() []keyring.Verifier {
	var all []keyring.Verifier
	for _, c := range w.carriers {
		for _, v := range c.verifiers {
			all = append(all, keyring.Verifier{
				Name: v.name, Acked: c.proves(w.state, w.key.Name, v), Silent: v.silent(), Unasked: c.unasked(v, w.now),
			})
		}
	}
	for _, o := range w.orphans.known() {
		all = append(all, keyring.Verifier{Name: o.pod, Silent: true})
	}
	return all
}

// memory is what the status, the bundles, and sidecars that are ahead of their
// bundle remember of a set. An object without a status remembers nothing: what
// bundles hold is then an earlier object's.
func (w keyWorld) memory() keyring.Memory {
	status := w.key.Status
	if status.KeyGeneration == 0 {
		return keyring.Memory{}
	}
	own := keyring.Witness{Generation: status.KeyGeneration, ActiveKID: status.ActiveKeyID, Revoked: status.RevokedKeyIDs}
	for _, key := range status.Keys {
		own.Live = append(own.Live, key.KID)
	}
	witnesses := []keyring.Witness{own}
	for _, c := range w.carriers {
		witnesses = append(witnesses, keyring.Witness{Generation: c.generation, Keys: c.keys, Live: c.kids()})
		witnesses = append(witnesses, w.testimonies(c)...)
	}
	return keyring.Recall(witnesses...)
}

// accepted is when tokens of each key were last accepted; nil when no bundle
// holds the set, and none did in the time of its keys. A policy that is deleted
// and made anew does not wipe out what was heard.
func (w keyWorld) accepted() map[string]time.Time {
	last := w.heard()
	if len(w.carriers) == 0 && len(w.orphans) == 0 && len(last) == 0 && w.doubt().IsZero() {
		return nil
	}
	return last
}

// heard is when sidecars told of the last accepted token of each key, now or as
// the status remembers it.
func (w keyWorld) heard() map[string]time.Time {
	last := map[string]time.Time{}
	for _, key := range w.key.Status.Keys {
		if key.LastAcceptedTime != nil {
			last[key.KID] = w.past(key.LastAcceptedTime.Time)
		}
	}
	for _, c := range w.carriers {
		for kid, at := range c.report.Accepted {
			if at.After(last[kid]) {
				last[kid] = at
			}
		}
	}
	return last
}

// past is a time of the status, or now if some earlier clock was ahead.
func (w keyWorld) past(at time.Time) time.Time {
	if at.After(w.now) {
		return w.now
	}
	return at
}

// doubt is the last time at which tokens of retiring keys may have been accepted
// unseen: a sidecar vanished before it could be asked, or nobody asked for longer
// than the margin. Zero: never.
func (w keyWorld) doubt() time.Time {
	var doubt time.Time
	if w.state == nil {
		return doubt
	}
	for _, key := range w.state.Keys {
		if at := w.doubtOf(key); key.Phase == keyring.Retiring && at.After(doubt) {
			doubt = at
		}
	}
	return doubt
}

// doubtOf is the doubt about one retiring key, that which the status remembers
// included.
func (w keyWorld) doubtOf(key keyring.Key) time.Time {
	var doubt time.Time
	watched, status := key.Retiring, statusOfKey(w.key.Status.Keys, key.KID)
	if at := status.LastObservedTime; at != nil && at.After(watched) && at.Sub(w.now) <= w.margin {
		watched = at.Time
	}
	if at := status.ObservedSinceTime; at != nil {
		doubt = w.past(at.Time)
	}
	doubt = latest(doubt, w.abandoned(status, watched))
	for _, c := range w.carriers {
		if c.report.Lost.After(doubt) {
			doubt = c.report.Lost
		}
		since := c.watchedSince(w.now)
		if w.strict && w.peopled.After(since) {
			since = w.peopled
		}
		if !watched.IsZero() && since.Sub(watched) > w.margin && since.After(doubt) {
			doubt = since
		}
	}
	return doubt
}

// abandoned is until when a key was watched that nobody watches any more; zero:
// somebody does, or nobody ever did.
func (w keyWorld) abandoned(status v1alpha1.KeyStatus, watched time.Time) time.Time {
	if len(w.carriers) > 0 || status.LastObservedTime == nil {
		return time.Time{}
	}
	return watched
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// watchedSince is since when this process asks the carrier's sidecars.
func (c carrier) watchedSince(now time.Time) time.Time {
	if c.report.Since.IsZero() {
		return now
	}
	return c.report.Since
}
