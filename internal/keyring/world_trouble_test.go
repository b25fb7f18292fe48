package keyring

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// fault is a mistake put in on purpose, to prove that the histories find such.
type fault string

const (
	bundlesNotAwaited    fault = "prePublish counts although no bundle holds the key"
	acksNotAwaited       fault = "a key signs although verifiers have not acknowledged it"
	acksInvented         fault = "every verifier is taken to have acknowledged everything"
	exportNotAwaited     fault = "retireAfter counts although the exported Secret holds the old key"
	issuersNotAwaited    fault = "retireAfter counts although issuers sign with the old key"
	latecomersIgnored    fault = "an old key goes although an issuer that came since has proved nothing"
	overlapTooShort      fault = "retireAfter is shorter than a token's life"
	prePublishTooShort   fault = "prePublish is shorter than a mount's delay"
	useIgnored           fault = "an old key goes although its tokens are still accepted"
	successorImagined    fault = "a key counts as taken up although nobody used it"
	silenceIgnored       fault = "an old key goes although verifiers are silent"
	doubtForgotten       fault = "acceptances that went unseen are forgotten"
	confirmedTooEarly    fault = "somebody confirms although a signer has the old key"
	nothingRemembered    fault = "status and bundles are not asked about an old state"
	sidecarsNotAsked     fault = "sidecars are not asked about a restored cluster"
	revocationsForgotten fault = "nobody tells an old state what was revoked"
	editsBelieved        fault = "a state that was edited by hand is believed"
	floorForgotten       fault = "a new object's set begins below an earlier one's"
	stateWrittenBlindly  fault = "the state is written without a precondition"
	bundleWrittenLate    fault = "a leader that was paused writes its old bundle"
)

// disturb does what clusters and people do.
func (w *world) disturb() {
	dice := w.rng.IntN(100)
	w.note("%d: %s", dice, w.spec.RevokeKey)
	switch {
	case dice < 8:
		w.error = w.upTo(2*clockError) - clockError
	case dice < 20:
		w.disturbPods()
	case dice < 28:
		w.disturbSigners()
	case dice < 34:
		w.disturbState()
	case dice < 44:
		w.ask()
	case dice < 47:
		w.leader.forget()
		w.leader.doubt = w.now.Add(w.error)
	case dice < 48: // the controller is away, for up to ten overlaps
		w.leader.forget()
		w.leader.doubt = w.now.Add(w.error)
		w.away = w.now.Add(w.upTo(10 * w.spec.RetireAfter))
	case dice < 54 && len(w.paused) > 0:
		i := w.rng.IntN(len(w.paused))
		proceed := w.paused[i]
		w.paused = slices.Delete(w.paused, i, i+1)
		proceed()
	case dice < 62 && w.spec.Imported:
		w.changeImport()
	case dice >= 98 && !w.spec.Imported: // its policy is one that no sidecar would load
		w.stuck[w.rng.IntN(len(w.stuck))] = w.now.Add(w.upTo(3 * time.Hour))
	}
}

func (w *world) disturbPods() {
	dice := w.rng.IntN(10)
	switch {
	case len(w.pods) == 0 || dice < 3 && len(w.pods) < 5:
		w.startPod()
		return
	case w.kind.steady:
		return
	}
	i := w.rng.IntN(len(w.pods))
	switch p := w.pods[i]; {
	case dice < 5:
		p.mute = w.now.Add(w.upTo(time.Hour))
	case dice < 7: // its container restarts, and forgets what it accepted
		p.accepted = map[string]time.Time{}
		if w.now.Sub(w.leader.answers[p].at) > staleness {
			w.leader.doubt = w.now.Add(w.error)
		}
	default:
		w.pods = slices.Delete(w.pods, i, i+1)
	}
}

func (w *world) disturbSigners() {
	s := w.signers[w.rng.IntN(len(w.signers))]
	switch {
	case w.chance(40): // it restarts
		w.read(s)
	case !w.spec.External && w.chance(40):
		w.replaceIssuer()
	case !w.spec.External:
		s.mute = w.now.Add(w.upTo(time.Hour))
	default:
		w.confirm()
	}
}

// replaceIssuer starts a pod of an issuer, whose mount may be what its kubelet
// still remembers, and which may be unheard for long; another one may go for it.
func (w *world) replaceIssuer() {
	w.made++
	s := &signer{name: fmt.Sprintf("issuer-%d", w.made), mat: -1}
	then := w.now.Add(-w.upTo(mountDelay))
	for _, e := range w.exported {
		if len(e.Current) > 0 && !e.at.After(then) {
			s.mat, s.kid = w.mat(e.Current), e.CurrentKID
		}
	}
	s.reads = w.now.Add(w.upTo(2 * time.Hour))
	if w.chance(50) {
		s.mute = w.now.Add(w.upTo(time.Hour))
	}
	if len(w.signers) > 2 || w.chance(50) {
		i := w.rng.IntN(len(w.signers))
		w.signers = slices.Delete(w.signers, i, i+1)
	}
	w.signers = append(w.signers, s)
	w.note("%s appears and signs with %d %s", s.name, s.mat, s.kid)
}

// confirm says of the active key that every signer uses it, when that is so.
func (w *world) confirm() {
	state := w.state.value
	if state == nil || w.spec.Imported {
		return
	}
	k, ok := state.ActiveKey()
	if !ok {
		return
	}
	has := func(s *signer) bool { return s.mat == w.mat(k.Value) }
	if every := !slices.ContainsFunc(w.signers, func(s *signer) bool { return !has(s) }); every ||
		w.broken == confirmedTooEarly && slices.ContainsFunc(w.signers, has) {
		w.spec.ConfirmSigner = k.KID
		w.note("%s is confirmed", k.KID)
	}
}

// ask is what people ask for.
func (w *world) ask() {
	switch dice := w.rng.IntN(10); {
	case dice < 5:
		w.spec.RotateNow = fmt.Sprint(w.now.Unix())
	case dice < 6:
		w.spec.Suspend = !w.spec.Suspend
	case dice < 7:
		w.spec.RevokeKey, w.spec.ConfirmSigner = "", ""
	case dice < 8:
		w.recreate()
	default:
		w.revokeOne()
	}
}

// revokeOne asks to revoke a key that is in a bundle: the active one, the next,
// or one that retires.
func (w *world) revokeOne() {
	f := w.bundles[w.rng.IntN(len(w.bundles))].value
	if f == nil || len(f.keys) == 0 || w.state.value == nil {
		return
	}
	i := w.rng.IntN(len(f.keys))
	if !w.state.value.live(f.kids[i]) {
		return
	}
	w.spec.RevokeKey = f.kids[i]
	w.tokens[f.mats[i]].excused = true
	w.revoking[f.kids[i]] = f.mats[i]
	w.figures.revocations++
}

// disturbState is what befalls the state Secret.
func (w *world) disturbState() {
	dice := w.rng.IntN(10)
	switch {
	case w.status.value.Generation == 0: // nobody but bundles knows that the set was there
	case w.kind.restores && dice < 3:
		w.snapshot = w.backUp()
	case w.kind.restores && dice < 5 && w.snapshot != nil:
		w.restore(w.snapshot)
		w.snapshot = nil
	case w.garbled || dice < 6:
		w.garbled = false
		w.state.set(nil)
		w.note("the state is deleted")
	case dice < 8 && len(w.history) > 0:
		w.state.set(w.history[w.rng.IntN(len(w.history))])
		w.note("state %d comes back: %s", w.state.value.Generation, w.state.value.story())
		w.figures.restores++
	case dice < 9 && w.state.value != nil && w.status.value.Generation >= w.state.value.Generation:
		w.edit()
	default:
		w.garbled = w.state.value != nil
		w.state.version++
	}
}

// edit changes the state by hand: nobody tells the seal.
func (w *world) edit() {
	s := w.state.value.clone()
	s.Edited = true
	if len(s.Keys) > 0 {
		k := &s.Keys[w.rng.IntN(len(s.Keys))]
		switch w.rng.IntN(7) {
		case 0:
			s.Keys = slices.DeleteFunc(s.Keys, func(other Key) bool { return other.KID == k.KID })
		case 1:
			k.Phase = Retiring
		case 2:
			k.Retiring, k.Published, k.Activated = day, day, day
		case 3:
			k.Value, k.Public = nil, nil
			m, _ := w.newKey()
			k.Material = m
		case 4:
			s.Generation += 1000
		case 5:
			s.Generation, k.Generation = max(0, s.Generation-3), 0
			for i := range s.Keys {
				s.Keys[i].Generation = min(s.Keys[i].Generation, s.Generation)
			}
		default:
			s.Revoked = []Revocation{}
		}
	}
	w.state.set(s)
	w.note("edited: %s", s.story())
	w.figures.restores++
}

// recreate deletes the SigningKey and makes it anew. Bundles keep what they had
// until the new object's keys take its place.
func (w *world) recreate() {
	w.note("the object is made anew")
	w.garbled, w.history, w.snapshot = false, nil, nil
	if !w.kind.byKID { // a bundle of the earlier object could name the generation of the new one
		w.paused = nil
	}
	w.state.set(nil)
	w.export.set(Export{})
	w.status.set(Witness{})
	w.spec.RevokeKey, w.spec.ConfirmSigner = "", ""
	for i := range w.tokens {
		w.tokens[i].excused, w.tokens[i].banned = true, 0
	}
	w.revoking = map[string]int{}
}

func (w *world) backUp() *snapshot {
	if w.garbled || w.state.value == nil || w.state.value.Edited || w.status.value.Generation == 0 {
		return nil
	}
	s := &snapshot{state: w.state.value, export: w.export.value, status: w.status.value}
	for _, b := range w.bundles {
		s.bundles = append(s.bundles, b.value)
	}
	return s
}

// restore puts the whole cluster back to a backup, while sidecars live on. Keys
// that were made since are lost, and so are keys that were removed since.
func (w *world) restore(s *snapshot) {
	w.note("the cluster is restored to state %d", s.state.Generation)
	w.garbled, w.restored = false, true
	w.state.set(s.state)
	w.export.set(s.export)
	w.status.set(s.status)
	newest := int64(0)
	for _, p := range w.pods {
		if p.file != nil {
			newest = max(newest, p.file.generation)
		}
	}
	kept := map[int]bool{}
	for _, k := range s.state.VerifyKeys() {
		m := w.matOf(k)
		kept[m] = !slices.ContainsFunc(s.bundles, func(f *file) bool { return !f.has(m) })
		for _, p := range w.pods {
			if p.file != nil && p.file.generation == newest && newest > s.state.Generation && !p.file.has(m) {
				kept[m] = false
			}
		}
	}
	for m := range w.tokens {
		if !kept[m] {
			w.tokens[m].excused = true
		}
	}
	for i, f := range s.bundles {
		w.bundles[i].set(f)
		w.deliver(i)
	}
	w.rememberAfter(s, newest)
	w.leader.forget()
	w.leader.doubt = w.now.Add(w.error)
	w.paused, w.history = nil, nil // what came after the backup is gone
	for _, p := range w.pods {
		p.mute = time.Time{}
		w.leader.answers[p] = answer{w.now, p.file}
	}
	w.figures.restores++
}

// rememberAfter forgets what left bundles if nobody who is left can tell.
func (w *world) rememberAfter(s *snapshot, newest int64) {
	known := map[string]bool{}
	for _, k := range s.state.Keys {
		known[k.KID] = newest <= s.state.Generation
	}
	for _, p := range w.pods {
		if p.file != nil && p.file.generation == newest && newest > s.state.Generation {
			for _, kid := range p.file.kids {
				known[kid] = true
			}
		}
	}
	for at := range w.gone {
		if known[at.kid] {
			delete(w.gone, at)
		}
	}
}

// changeImport is what somebody does with a secret of his own.
func (w *world) changeImport() {
	switch dice := w.rng.IntN(10); {
	case dice < 3:
		w.imports.Next = w.newValue()
	case dice < 5 && len(w.imports.Next) > 0:
		w.promote()
	case dice < 6:
		w.imports.Next = nil
	case dice < 8:
		w.hurry(w.newValue())
	case dice < 9 && len(w.history) > 0: // an old value comes back
		if keys := w.history[w.rng.IntN(len(w.history))].Keys; len(keys) > 0 {
			w.hurry(keys[w.rng.IntN(len(keys))].Value)
		}
	default:
		w.unreadable = !w.unreadable
	}
	w.note("imports %d, next %s", w.offered(), string(w.imports.Next))
	w.wakeSigners()
}

// promote makes the next value the current one, once every pod has it.
func (w *world) promote() {
	m := w.mat(w.imports.Next)
	if w.spread(m) {
		w.imports = Import{Current: w.imports.Next}
	}
}

// hurry makes a value the current one that verifiers do not have yet.
func (w *world) hurry(value Octets) {
	if s := w.state.value; s == nil || w.garbled || !slices.ContainsFunc(s.Keys, func(k Key) bool {
		return k.Phase == Active && bytes.Equal(k.Value, w.imports.Current)
	}) {
		w.tokens[w.mat(w.imports.Current)].excused = true // nobody ever knew that it was in use
	}
	w.imports.Current = value
	t := &w.tokens[w.mat(value)]
	t.lenient = true
	marked := slices.ContainsFunc(w.bundles, func(b object[*file]) bool { return b.value.has(w.mat(value)) })
	if s := w.state.value; s != nil {
		known := run{state: s}
		marked = known.isRevoked(known.mark(value))
	}
	if !marked {
		t.banned = 0 // it comes back after its mark was lost
	}
}

// spread reports whether every bundle and pod has the key.
func (w *world) spread(m int) bool {
	return !slices.ContainsFunc(w.pods, func(p *pod) bool { return !p.file.has(m) || p.next != nil && !p.next.has(m) }) &&
		!slices.ContainsFunc(w.bundles, func(b object[*file]) bool { return !b.value.has(m) })
}
