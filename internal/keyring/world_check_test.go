package keyring

import (
	"fmt"
	"slices"
	"time"
)

// checkPlan holds a plan to what is true of every plan: planning again at once
// changes nothing, and nor does anything before the time to wake.
func (w *world) checkPlan(v view, res Result) {
	planner := Planner{NewKey: w.newKey, Rand: w}
	again, err := planner.Plan(v.spec, res.State, v.obs, v.now)
	if err != nil || again.Changed {
		w.violate("planning again changes something: %v %v", again.Events, err)
		return
	}
	until := 24 * time.Hour
	if !again.Wake.IsZero() {
		until = again.Wake.Sub(v.now) - 1
	}
	early, err := planner.Plan(v.spec, res.State, v.obs, v.now.Add(w.upTo(until)))
	if err != nil || early.Changed || len(early.Findings) != len(again.Findings) {
		w.violate("something happens before the time to wake, which is in %s: %v %v", until, early.Events, err)
	}
}

// checkState holds a state that was written to what is true of every state.
func (w *world) checkState(v view, res Result) {
	next := res.State
	if w.spec.RevokeKey != "" && w.spec.RevokeKey == v.spec.RevokeKey && next.live(v.spec.RevokeKey) {
		w.violate("key %s was revoked and is live", v.spec.RevokeKey)
	}
	active := 0
	for _, k := range next.Keys {
		if k.Phase == Active {
			active++
		}
		if next.revoked(k.KID) {
			w.violate("key %s is live and revoked", k.KID)
		}
	}
	rebuilt := slices.ContainsFunc(res.Findings, func(f Finding) bool { return f.Kind == StateLost || f.Kind == Regressed })
	happened := func(kind EventKind) bool {
		return slices.ContainsFunc(res.Events, func(e Event) bool { return e.Kind == kind })
	}
	switch {
	case active > 1:
		w.violate("%d keys are active", active)
	case next.retiring() > MaxRetiring && !rebuilt && next.Incident == "":
		w.violate("%d keys retire", next.retiring())
	case next.Generation < max(v.obs.Memory.Generation, w.floorOf(v)):
		w.violate("generation %d was known, and %d is written", v.obs.Memory.Generation, next.Generation)
	case v.state == nil:
	case !v.state.Edited && next.Generation < v.state.Generation:
		w.violate("the generation went down")
	case next.Generation == v.state.Generation && !slices.EqualFunc(next.Keys, v.state.Keys, samePhase):
		w.violate("keys changed and the generation did not")
	case active == 0 && v.state.index(Active) >= 0 && !rebuilt && !happened(EventRevoked):
		w.violate("no key is active any more")
	}
	w.checkHurry(v, next)
	for _, e := range res.Events {
		w.count(v, e, happened(EventRevoked))
	}
	for _, f := range res.Findings {
		if f.Kind == TooManyLiveKeys && f.KID != "" {
			w.excuse(f.KID)
		}
	}
}

// checkHurry holds the successor of a revoked key to signing soon, whatever
// bundles cannot be written and whatever verifiers say nothing.
func (w *world) checkHurry(v view, next *State) {
	for _, k := range next.Keys {
		switch {
		case !k.Urgent || k.Phase != Published || w.spec.Imported:
		case k.Published.IsZero() && v.now.Sub(k.Created) >= urgentWait:
			w.violate("the successor %s of a revoked key waits for bundles", k.KID)
		case !k.Published.IsZero() && v.now.Sub(k.Published) >= urgentWait:
			w.violate("the successor %s of a revoked key does not sign", k.KID)
		}
	}
}

func (w *world) floorOf(v view) int64 {
	if v.state == nil || w.broken == "" {
		return v.obs.Floor
	}
	return 0
}

func samePhase(a, b Key) bool { return a.KID == b.KID && a.Phase == b.Phase }

// excuse lets tokens of a key be refused that was pushed out of the set.
func (w *world) excuse(kid string) {
	for _, b := range w.bundles {
		if b.value == nil {
			continue
		}
		if i := slices.Index(b.value.kids, kid); i >= 0 {
			w.tokens[b.value.mats[i]].excused = true
		}
	}
	for _, s := range w.history {
		for _, k := range s.Keys {
			if k.KID == kid {
				w.tokens[w.mat(k.Value)].excused = true
			}
		}
	}
}

// count notes what happened, and holds a key that begins to sign to who has it.
func (w *world) count(v view, e Event, revoked bool) {
	if e.Kind == EventRemoved {
		w.figures.removals++
	}
	if e.Kind != EventActivated {
		return
	}
	w.figures.rotations++
	i := slices.IndexFunc(w.state.value.Keys, func(k Key) bool { return k.KID == e.KID })
	m := w.mat(w.state.value.Keys[i].Value)
	switch {
	case w.spec.Imported:
		return
	case revoked || urgent(v.state, e.KID):
		w.tokens[m].lenient = true
		return
	}
	for _, p := range w.pods {
		if p.file != nil && !p.file.has(m) {
			w.violate("key %s signs before %s has it", e.KID, p.name)
		}
	}
	for i, b := range v.bundles {
		if b != nil && !b.has(m) {
			w.violate("key %s signs before bundle %d has it", e.KID, i)
		}
	}
}

func urgent(s *State, kid string) bool {
	return s != nil && slices.ContainsFunc(s.Keys, func(k Key) bool { return k.KID == kid && k.Urgent })
}

// checkBundle holds a bundle to what must never come back. After a restore the
// bundle itself is an old one until sidecars are heard, which refuse it.
func (w *world) checkBundle(i int, before, after *file) {
	for _, kid := range after.kids {
		if w.gone[place{i, kid}] && !w.restored {
			w.violate("key %s is accepted again", kid)
		}
	}
	for _, m := range after.mats {
		if banned := w.tokens[m].banned; banned > 0 && after.generation >= banned {
			w.violate("the value %d was revoked, and is accepted again", m)
		}
	}
	if before != nil {
		for _, kid := range before.kids {
			if !after.hasKID(kid) {
				w.gone[place{i, kid}] = true
			}
		}
	}
	for m := range w.tokens {
		if t := &w.tokens[m]; t.lenient && w.spread(m) && w.signs(m) {
			t.lenient = false
		}
	}
}

// signs reports whether the key is the active one.
func (w *world) signs(m int) bool {
	if w.state.value == nil {
		return false
	}
	k, ok := w.state.value.ActiveKey()
	return ok && w.mat(k.Value) == m
}

// converge ends all trouble, and expects one key in the end, everywhere.
func (w *world) converge() {
	w.calm, w.error, w.paused = true, 0, nil
	if w.now.Before(w.away) {
		w.away = w.now
	}
	w.spec.Suspend, w.spec.Interval, w.spec.RevokeKey, w.spec.RotateNow = false, 0, "", ""
	if w.garbled {
		w.garbled = false
		w.state.set(nil)
	}
	if w.spec.Imported {
		w.imports.Next, w.unreadable = nil, false
		w.hurry(w.newValue())
	}
	for _, p := range w.pods {
		p.mute, p.at, p.slow = time.Time{}, w.now, false
	}
	for range 60 {
		if len(w.pods) < len(w.bundles) {
			w.startPod()
		}
		for _, s := range w.signers {
			s.mute = time.Time{}
			w.read(s)
		}
		w.advance(time.Second)
		w.poll()
		res := w.reconcileKey()
		w.reconcilePolicies()
		if w.problem != "" || w.settled(res) {
			return
		}
		if slices.Contains(res.Findings, Finding{Kind: SecretRevoked}) {
			w.hurry(w.newValue()) // as the condition asks for
		}
		if wait := res.Wake.Sub(w.now) - time.Second; wait > 0 && !res.Wake.IsZero() {
			w.advance(wait)
		}
	}
	w.violate("60 plans after the last fault it is not settled: %s", w.describe())
}

func (w *world) settled(res Result) bool {
	if res.State == nil || res.Changed || res.Progress != Idle || len(res.Findings) > 0 || len(res.State.Keys) != 1 {
		return false
	}
	k := res.State.Keys[0]
	m := w.mat(k.Value)
	return k.Phase == Active && w.spread(m) && !slices.ContainsFunc(w.pods, func(p *pod) bool { return len(p.file.kids) != 1 })
}

func (w *world) describe() string {
	v := w.look()
	res, err := Planner{NewKey: w.newKey, Rand: w}.Plan(v.spec, v.state, v.obs, v.now)
	text := ""
	if err != nil {
		return err.Error()
	}
	for _, k := range res.State.Keys {
		text += string(k.Phase) + " "
	}
	return fmt.Sprintf("%s%s %v, keys %v", text, res.Progress, res.Findings, w.offered())
}
