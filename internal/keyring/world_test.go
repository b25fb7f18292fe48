package keyring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is everything around a plan: the objects of the cluster, a controller
// that may die between any two writes, pods that see a bundle late, a signer
// that sees the exported Secret late, and a clock that steps.
type world struct {
	rng    *rand.Rand
	faults map[fault]bool
	spec   Spec
	made   int

	now   time.Time     // true time
	error time.Duration // of the controller's clock, within a minute either way
	away  time.Time     // until then the controller is down

	state   stored[[]byte]
	parsed  stored[*State]
	export  stored[Export]
	bundle  stored[bundle]
	status  stored[Memory]
	history [][]byte // every state there was, for restoring

	pods   []*pod
	signer signer
	tokens []madeToken

	gone     map[string]bool // kids that left the bundle, or were revoked
	revoked  map[string]bool
	hasty    map[string]time.Time // until then a successor of a revoked key may be unknown
	paused   bool                 // a leader is, while another one works
	rebuilt  bool                 // between a lost or revoked active key and the next one
	rotated  int
	minted   int
	violated string
}

// stored is an object with its version.
type stored[T any] struct {
	value   T
	version int
}

// put writes the object if nobody did since seen, as an Update with a
// resourceVersion does.
func (s *stored[T]) put(value T, seen int) bool {
	if s.version != seen {
		return false
	}
	s.value, s.version = value, s.version+1
	return true
}

type bundle struct {
	generation int64
	keys       []VerifyKey
}

type pod struct {
	loaded  bundle
	pending bundle
	at      time.Time // when pending is seen
}

type signer struct {
	kid   string
	reads time.Time
}

type madeToken struct {
	kid     string
	expires time.Time
}

// fault is a mistake put in on purpose, to prove that the test finds such.
type fault string

const (
	bundlesNotAwaited   fault = "prePublish counts although no bundle holds the key"
	exportNotAwaited    fault = "retireAfter counts although the signer has the old key"
	overlapTooShort     fault = "retireAfter is shorter than a token's life"
	prePublishTooShort  fault = "prePublish is shorter than a mount's delay"
	nothingRemembered   fault = "status and bundles are not asked about an old state"
	stateWrittenBlindly fault = "the state is written without a precondition"
	bundleWrittenLate   fault = "a leader that was paused writes its old bundle"
)

const (
	tick       = 15 * time.Second
	mountDelay = 90 * time.Second
	signerLag  = 30 * time.Second
	clockError = time.Minute
)

func newWorld(seed uint64, faults ...fault) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), faults: map[fault]bool{},
		now: day, gone: map[string]bool{}, revoked: map[string]bool{}, hasty: map[string]time.Time{},
		spec: Spec{
			Algorithm: "HS256", External: true, Exported: true, MaxTokenLifetime: 10 * time.Minute,
			Interval: 40 * time.Minute, PrePublish: mountDelay + 2*clockError + tick, VerifierTimeout: time.Hour,
			RetireAfter: 10*time.Minute + 2*clockError + signerLag + tick,
		},
	}
	for _, f := range faults {
		w.faults[f] = true
	}
	if w.faults[overlapTooShort] {
		w.spec.RetireAfter = 5 * time.Minute
	}
	if w.faults[prePublishTooShort] {
		w.spec.PrePublish = tick
	}
	for range 1 + w.rng.IntN(3) {
		w.pods = append(w.pods, &pod{})
	}
	return w
}

func (w *world) chance(percent float64) bool { return w.rng.Float64()*100 < percent }

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// Read makes the world a source of random bytes.
func (w *world) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(w.rng.Uint32())
	}
	return len(p), nil
}

func (w *world) newKey() (Material, error) {
	w.made++
	return Material{Value: fmt.Appendf(nil, "secret %d", w.made)}, nil
}

// live runs the world for some time, and stops at the first violation.
func (w *world) live(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end) && w.violated == ""; w.now = w.now.Add(tick) {
		w.disturb()
		if !w.now.Before(w.away) && w.chance(50) {
			w.reconcile(w.read())
		}
		w.deliver()
		w.sign()
		w.verify()
	}
}

// disturb does what clusters and people do.
func (w *world) disturb() {
	switch {
	case w.chance(1):
		w.error = w.upTo(2*clockError) - clockError
	case w.chance(0.1): // the controller is away, for up to ten overlaps
		w.away = w.now.Add(w.upTo(10 * w.spec.RetireAfter))
	case w.chance(0.2) && len(w.history) > 0: // somebody restores an old state
		w.state.put(w.history[w.rng.IntN(len(w.history))], w.state.version)
		w.rebuilt = true
	case w.chance(0.1):
		w.state.put(nil, w.state.version)
		w.rebuilt = true
	case w.chance(0.3):
		w.spec.RotateNow = fmt.Sprint(w.now.Unix())
	case w.chance(0.2):
		w.revokeOne()
	case w.chance(1): // a pod starts: it mounts the bundle as it is
		w.pods[w.rng.IntN(len(w.pods))] = &pod{loaded: w.bundle.value, pending: w.bundle.value}
	}
}

func (w *world) revokeOne() {
	if keys := w.bundle.value.keys; len(keys) > 0 {
		w.spec.RevokeKey = keys[w.rng.IntN(len(keys))].KID
		w.revoked[w.spec.RevokeKey] = true
		w.rebuilt = true
	}
}

// view is what a controller read before it plans.
type view struct {
	state   *State
	obs     Observations
	now     time.Time
	version struct{ state, export, bundle, status int }
}

func (w *world) read() view {
	v := view{now: w.now.Add(w.error)}
	v.version.state, v.version.export = w.state.version, w.export.version
	v.version.bundle, v.version.status = w.bundle.version, w.status.version
	if w.parsed.version != w.state.version {
		w.parsed = stored[*State]{version: w.state.version}
		if len(w.state.value) > 0 {
			state, err := ParseState(w.state.value)
			if err != nil {
				w.violated = err.Error()
				return v
			}
			w.parsed.value = state
		}
	}
	v.state = w.parsed.value
	v.obs = Observations{Distributed: w.bundle.value.generation, ExportedKID: w.export.value.CurrentKID, Verifiers: make([]Verifier, len(w.pods))}
	if w.bundle.version == 0 {
		v.obs.Distributed = 0
	}
	v.obs.Memory = w.status.value
	v.obs.Memory.Generation = max(v.obs.Memory.Generation, w.bundle.value.generation)
	v.obs.Memory.Bundled = w.bundle.value.keys
	if w.faults[bundlesNotAwaited] {
		v.obs.Distributed = Everywhere
	}
	if w.faults[nothingRemembered] {
		v.obs.Memory = Memory{}
	}
	return v
}

// reconcile plans and writes, and dies or is overtaken in between.
func (w *world) reconcile(v view) {
	spec := w.spec
	spec.Exported = !w.faults[exportNotAwaited]
	res, err := Planner{NewKey: w.newKey, Rand: w}.Plan(spec, v.state, v.obs, v.now)
	if err != nil {
		w.violated = err.Error()
		return
	}
	if w.chance(2) { // another leader is faster
		w.reconcile(w.read())
	}
	if res.Changed && !w.writeState(res, v) || w.dies() {
		return
	}
	export, err := res.State.Export()
	if err != nil {
		w.violated = err.Error()
		return
	}
	if !export.Hold && export.CurrentKID != w.export.value.CurrentKID && !w.export.put(export, v.version.export) || w.dies() {
		return
	}
	w.writeBundle(res, v)
}

// dies reports whether the controller dies here. Often the next one takes a
// while.
func (w *world) dies() bool {
	deadly := 2.0
	if len(w.faults) > 0 {
		deadly = 8
	}
	if !w.chance(deadly) {
		return false
	}
	if w.chance(30) {
		w.away = w.now.Add(w.upTo(2 * w.spec.RetireAfter))
	}
	return true
}

func (w *world) writeState(res Result, v view) bool {
	data, err := res.State.Marshal()
	if err != nil {
		w.violated = err.Error()
		return false
	}
	seen := v.version.state
	if w.faults[stateWrittenBlindly] {
		seen = w.state.version
	}
	if !w.state.put(data, seen) {
		return false
	}
	w.history = append(w.history, data)
	w.checkState(v, res)
	return true
}

func (w *world) writeBundle(res Result, v view) {
	next := bundle{res.State.Generation, res.State.VerifyKeys()}
	if w.faults[bundleWrittenLate] && !w.paused && w.chance(2) { // others go on meanwhile
		w.paused = true
		defer func() { w.paused = false }()
		for range 200 {
			w.now = w.now.Add(tick)
			w.reconcile(w.read())
			w.deliver()
			w.sign()
		}
		v.version.bundle = w.bundle.version
	}
	if next.generation != w.bundle.value.generation || w.bundle.version == 0 {
		before := w.bundle.value.keys
		if !w.bundle.put(next, v.version.bundle) {
			return
		}
		w.checkBundle(before, next.keys)
		for _, p := range w.pods {
			if p.loaded.generation == p.pending.generation { // else the sync to come brings this bundle too
				p.at = w.now.Add(w.upTo(mountDelay))
			}
			p.pending = next
		}
	}
	if w.dies() {
		return
	}
	memory := Memory{Generation: res.State.Generation}
	if k, ok := res.State.ActiveKey(); ok {
		memory.ActiveKID = k.KID
	}
	for _, k := range res.State.Keys {
		memory.Live = append(memory.Live, k.KID)
	}
	for _, k := range res.State.Revoked {
		memory.Revoked = append(memory.Revoked, k.KID)
	}
	w.status.put(memory, v.version.status)
}

// checkState holds a state that was written to what is true of every state.
func (w *world) checkState(v view, res Result) {
	_, isActive := res.State.ActiveKey()
	wasActive := false
	if v.state != nil {
		_, wasActive = v.state.ActiveKey()
	}
	switch {
	case wasActive && !isActive && !w.rebuilt:
		w.violated = "no key is active any more"
	case res.State.retiring() > MaxRetiring && !w.rebuilt:
		w.violated = "too many keys retire"
	case v.state != nil && res.State.Generation < v.state.Generation:
		w.violated = "the generation went down"
	}
	if isActive && res.State.Incident == "" {
		w.rebuilt = false
	}
	for _, e := range res.Events {
		if e.Kind == EventActivated {
			w.rotated++
			if urgent(v.state, e.KID) || slices.ContainsFunc(res.Events, func(e Event) bool { return e.Kind == EventRevoked }) {
				w.hasty[e.KID] = w.now.Add(mountDelay)
			}
		}
	}
}

func urgent(s *State, kid string) bool {
	return s != nil && slices.ContainsFunc(s.Keys, func(k Key) bool { return k.KID == kid && k.Urgent })
}

// checkBundle holds a bundle to what must never come back.
func (w *world) checkBundle(before, after []VerifyKey) {
	kids := map[string]bool{}
	for _, k := range after {
		kids[k.KID] = true
		if w.gone[k.KID] {
			w.violated = fmt.Sprintf("key %s is accepted again", k.KID)
		}
		if w.revoked[k.KID] && w.spec.RevokeKey == k.KID {
			w.violated = fmt.Sprintf("key %s was revoked and is accepted", k.KID)
		}
	}
	for _, k := range before {
		if !kids[k.KID] {
			w.gone[k.KID] = true
		}
	}
}

// deliver brings bundles to pods and the exported Secret to the signer.
func (w *world) deliver() {
	for _, p := range w.pods {
		if !w.now.Before(p.at) && p.pending.generation > 0 {
			p.loaded = p.pending
		}
	}
	if !w.now.Before(w.signer.reads) {
		w.signer = signer{w.export.value.CurrentKID, w.now.Add(w.upTo(signerLag))}
	}
}

// sign mints one token with what the signer has.
func (w *world) sign() {
	w.tokens = slices.DeleteFunc(w.tokens, func(t madeToken) bool { return !w.now.Before(t.expires) })
	if w.signer.kid != "" {
		w.minted++
		w.tokens = append(w.tokens, madeToken{w.signer.kid, w.now.Add(w.upTo(w.spec.MaxTokenLifetime))})
	}
}

// verify shows every token that is still valid to every pod that serves.
func (w *world) verify() {
	for i, p := range w.pods {
		if p.loaded.generation == 0 {
			continue
		}
		for _, t := range w.tokens {
			if !w.now.Before(t.expires) || w.revoked[t.kid] || w.now.Before(w.hasty[t.kid]) {
				continue
			}
			if !slices.ContainsFunc(p.loaded.keys, func(k VerifyKey) bool { return k.KID == t.kid }) {
				w.violated = fmt.Sprintf("pod %d refuses a valid token of key %s", i, t.kid)
			}
		}
	}
}
