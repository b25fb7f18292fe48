package keyring

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// view is what a controller read before it plans.
type view struct {
	spec    Spec
	state   *State
	obs     Observations
	now     time.Time
	bundles []*file
	version struct{ state, export, status int }
}

func (w *world) look() view {
	v := view{now: w.now.Add(w.error), spec: w.spec, state: w.state.value}
	v.version.state, v.version.export, v.version.status = w.state.version, w.export.version, w.status.version
	for _, b := range w.bundles {
		v.bundles = append(v.bundles, b.value)
	}
	v.obs = Observations{
		Distributed: w.distributed(v.state), ExportedKID: w.export.value.CurrentKID,
		Verifiers: w.verifiers(v.state), Accepted: w.accepted(v.state), Doubt: w.leader.doubt,
		Floor: w.floor(), Import: w.imports, Memory: w.memory(v.state),
	}
	if w.unreadable {
		v.obs.Import = Import{}
	}
	if !w.spec.External {
		v.obs.Signers = w.reports()
	}
	switch w.broken {
	case bundlesNotAwaited:
		v.obs.Distributed = Everywhere
	case exportNotAwaited:
		v.spec.Exported = false
	case nothingRemembered:
		v.obs.Memory = Memory{}
	case revocationsForgotten:
		v.obs.Memory.Revoked, v.obs.Memory.Claimed = nil, nil
	case acksNotAwaited:
		v.spec.WaitForVerifiers = false
	case doubtForgotten:
		v.obs.Doubt = time.Time{}
	case issuersNotAwaited:
		v.obs.Signers = nil
	case latecomersIgnored:
		v.obs.Signers = slices.DeleteFunc(v.obs.Signers, func(s Signer) bool { return s.KID == "" })
	case floorForgotten:
		v.obs.Floor = 0
	case editsBelieved:
		if v.state != nil {
			v.state = v.state.clone()
			v.state.Edited = false
		}
	default:
	}
	return v
}

// distributed is the lowest generation that every bundle holds of the set. One
// that is still to come is not waited for.
func (w *world) distributed(state *State) int64 {
	lowest := int64(Everywhere)
	for i, b := range w.bundles {
		held := int64(0)
		switch {
		case b.value == nil && w.comesLater(i):
			continue
		case b.value == nil:
		case state != nil:
			held = min(b.value.generation, state.Acknowledged(b.value.generation, b.value.kids))
		default:
			held = b.value.generation
		}
		lowest = min(lowest, held)
	}
	return lowest
}

// comesLater reports whether a bundle is that of a policy which was made later than
// the others. Nobody could have observed a signer that keeps an old key and calls
// its agents alone. Where a cluster is restored to a time before the policy, its pods
// go too, which these here do not: then it is waited for.
func (w *world) comesLater(bundle int) bool {
	return bundle > 0 && !w.kind.stubborn && !w.restored
}

// floor is the highest generation that any bundle or sidecar names.
func (w *world) floor() int64 {
	highest := int64(0)
	for _, b := range w.bundles {
		if b.value != nil {
			highest = max(highest, b.value.generation)
		}
	}
	for _, a := range w.leader.answers {
		if a.file != nil {
			highest = max(highest, a.file.generation)
		}
	}
	return highest
}

// memory is what the status, the bundles and sidecars ahead of them remember.
func (w *world) memory(state *State) Memory {
	if w.status.value.Generation == 0 {
		return Memory{}
	}
	witnesses := append(make([]Witness, 0, 8), w.status.value)
	for _, b := range w.bundles {
		if f := b.value; f != nil {
			witnesses = append(witnesses, Witness{Generation: f.generation, Live: f.kids, Keys: f.keys, Revoked: f.revoked})
		}
	}
	for p, a := range w.leader.answers {
		if a.file == nil || w.broken == sidecarsNotAsked {
			continue
		}
		told := Witness{Claimed: a.file.revoked}
		if b := w.bundles[p.bundle].value; b == nil || a.file.revision > b.revision || state != nil && a.file.generation > state.Generation {
			told.Generation, told.Live, told.Ahead = a.file.generation, a.file.kids, true
		}
		witnesses = append(witnesses, told)
	}
	return Recall(witnesses...)
}

// reports are what our issuers say they sign with.
func (w *world) reports() []Signer {
	list := make([]Signer, len(w.signers))
	for i, s := range w.signers {
		list[i].Name = s.name
		if w.now.Before(s.mute) {
			continue
		}
		if w.leader.signs[s].KID != s.kid {
			w.leader.signs[s] = Signer{Name: s.name, KID: s.kid, Since: w.now.Add(w.error)}
		}
		list[i] = w.leader.signs[s]
	}
	return list
}

// reconcileKey looks, plans and writes, and dies, pauses or is overtaken in
// between.
func (w *world) reconcileKey() Result {
	if w.garbled {
		return Result{}
	}
	v := w.look()
	res, err := Planner{NewKey: w.newKey, Rand: w}.Plan(v.spec, v.state, v.obs, v.now)
	if err != nil {
		w.violate("planning: %v", err)
		return res
	}
	w.figures.plans++
	if w.chance(10) {
		w.checkPlan(v, res)
	}
	if w.chance(3) && !w.calm {
		w.paused = append(w.paused, func() { w.write(v, res) })
		return res
	}
	w.write(v, res)
	return res
}

// write does what follows from a plan, in the order in which it must be done.
func (w *world) write(v view, res Result) {
	if w.broken == stateWrittenBlindly {
		v.version.state = w.state.version
	}
	if w.fails() || res.Changed && !w.writeState(v, res) || w.fails() {
		return
	}
	if (w.spec.Exported || !w.spec.External) && !w.writeExport(v, res) || w.fails() {
		return
	}
	told := Witness{Generation: max(res.State.Generation, w.status.value.Generation)}
	for _, k := range res.State.Keys {
		told.Live = append(told.Live, k.KID)
		if k.Phase == Active {
			told.ActiveKID = k.KID
		}
	}
	for _, k := range res.State.Revoked {
		told.Revoked = append(told.Revoked, k.KID)
	}
	if !reflect.DeepEqual(told, w.status.value) && w.status.put(told, v.version.status) {
		for _, kid := range told.Revoked {
			if m, asked := w.revoking[kid]; asked && w.spec.Imported {
				w.tokens[m].banned = told.Generation
				delete(w.revoking, kid)
			}
		}
	}
}

func (w *world) writeExport(v view, res Result) bool {
	if k, ok := res.State.ActiveKey(); ok && k.KID == w.export.value.CurrentKID {
		return true
	}
	export, err := res.State.Export()
	if err != nil {
		w.violate("exporting: %v", err)
		return false
	}
	if export.Hold || export.CurrentKID == w.export.value.CurrentKID {
		return true
	}
	if !w.export.put(export, v.version.export) {
		return false
	}
	w.exported = append(w.exported, edition{w.now, export})
	w.wakeSigners()
	return true
}

func (w *world) writeState(v view, res Result) bool {
	next := res.State
	if w.chance(3) {
		data, err := next.Marshal()
		if err != nil {
			w.violate("marshalling: %v", err)
			return false
		}
		if next, err = ParseState(data); err != nil || !reflect.DeepEqual(next, res.State) {
			w.violate("the state does not survive being stored: %v", err)
			return false
		}
	}
	if !w.state.put(next, v.version.state) {
		return false
	}
	w.history = append(w.history, next)
	w.note("state %d: %s %v %v (from %d, memory %d of %v, floor %d)", next.Generation, next.story(), res.Events, res.Findings, v.generation(), v.obs.Memory.Generation, v.obs.Memory.Live, v.obs.Floor)
	w.checkState(v, res)
	return true
}

func (v view) generation() int64 {
	if v.state == nil {
		return 0
	}
	return v.state.Generation
}

// story shows the keys of a state.
func (s *State) story() string {
	text := ""
	for _, k := range s.Keys {
		text += fmt.Sprintf("%s %s (%d, retiring %s) ", k.Phase, k.KID, k.Generation, k.Retiring.Format(time.TimeOnly))
	}
	return text
}

// wakeSigners lets signers that look for a new key find it after a while.
func (w *world) wakeSigners() {
	for _, s := range w.signers {
		if !s.reads.After(w.now) {
			s.reads = w.now.Add(w.upTo(signerLag))
		}
	}
}

// fails reports whether the controller dies here, or its write is lost. Often
// the next one takes a while.
func (w *world) fails() bool {
	if w.calm || !w.chance(3) {
		return false
	}
	if w.chance(30) {
		w.leader.forget()
		w.away = w.now.Add(w.upTo(2 * w.spec.RetireAfter))
		w.note("the controller dies, and the next one comes at +%s", w.away.Sub(day))
	}
	return true
}

// reconcilePolicies writes the bundles that lack what the state holds.
func (w *world) reconcilePolicies() {
	for i := range w.bundles {
		if w.now.Before(w.away) {
			return // it died, and what it heard with it; the next one asks first
		}
		b := &w.bundles[i]
		next, seen := w.encode(i), b.version
		if next == nil || !w.calm && w.now.Before(w.stuck[i]) || w.fails() {
			continue
		}
		write := func() {
			if w.broken == bundleWrittenLate {
				seen = b.version
			}
			if before := b.value; b.put(next, seen) {
				w.note("bundle %d: revision %d, generation %d: %v", i, next.revision, next.generation, next.kids)
				w.checkBundle(i, before, next)
				w.deliver(i)
			}
		}
		// Nobody could tell a leader that was paused for hours that the first bundle of a
		// policy, which no other has made either, is one of the past.
		fresh := b.value == nil && w.comesLater(i)
		if w.chance(5) && !w.calm && !fresh {
			w.paused = append(w.paused, write)
			continue
		}
		write()
	}
}

// encode is the bundle that follows from the state; nil when there is nothing to
// write, or the state must not be shown to anybody before it is rebuilt.
func (w *world) encode(i int) *file {
	state, last := w.state.value, w.bundles[i].value
	if w.garbled || state == nil || state.Edited && w.broken != editsBelieved || state.Generation < w.status.value.Generation || state.Revives(w.status.value.Revoked) {
		return nil
	}
	next, highest := &file{generation: state.Generation}, int64(0)
	if last != nil {
		highest = last.revision
		if state.Generation < last.generation {
			return nil
		}
	}
	for p, a := range w.leader.answers {
		if p.bundle == i && a.file != nil && a.file.revision > highest {
			highest = a.file.revision
			if state.Behind(a.file.generation, a.file.kids) && w.broken != sidecarsNotAsked {
				return nil // the cluster was restored, and the set has not caught up
			}
		}
	}
	if last != nil && highest == last.revision &&
		(last.generation == next.generation && !state.Behind(last.generation, last.kids) || state.OnlySwitched(last.generation, last.keys)) {
		return nil
	}
	next.keys = state.VerifyKeys()
	for _, k := range next.keys {
		next.kids = append(next.kids, k.KID)
		next.mats = append(next.mats, w.matOf(k))
	}
	for _, k := range state.Revoked {
		next.revoked = append(next.revoked, k.KID)
	}
	next.revision = highest + 1
	return next
}
