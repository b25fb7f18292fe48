package keyring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is everything around a plan: the objects of the cluster, a controller
// that may die between any two writes, sidecars that see a bundle late or never
// answer, signers that see a key late or never, and a clock that steps. It goes
// from event to event; between two, every signer signs all the time, so what a
// verifier lacks is noticed at the moment at which it matters.
type world struct {
	rng    *rand.Rand
	broken fault
	kind   kind
	spec   Spec
	made   int

	now   time.Time     // true time
	error time.Duration // of the controller's clock, within a minute either way
	away  time.Time     // until then the controller is down

	state      object[*State]
	garbled    bool // the state Secret holds no document
	export     object[Export]
	status     object[Witness]
	bundles    []object[*file]
	stuck      []time.Time // by bundle: until then it cannot be written
	imports    Import
	unreadable bool     // the imported Secret cannot be read
	history    []*State // every state of this object, for restoring
	exported   []edition
	snapshot   *snapshot
	restored   bool // the whole cluster was, once

	leader  leader
	paused  []func() // what a leader that is paused will do when it goes on
	pods    []*pod
	signers []*signer

	mats     map[string]int // key material, by what signers or verifiers have of it
	tokens   []mat
	gone     map[place]bool // what was in a bundle once
	revoking map[string]int // the material of kids that somebody asked to revoke
	calm     bool           // nothing goes wrong any more
	figures  figures
	problem  string
	tell     func(format string, args ...any) // the story; nil: nobody listens
}

// figures say how much happened.
type figures struct{ rotations, tokens, plans, restores, revocations, removals int }

// kind is what sort of history it is.
type kind struct {
	observed bool // verifiers are asked
	byKID    bool // sidecars tell the ids of what they have
	restores bool // the whole cluster is restored at times
	steady   bool // verifiers neither vanish nor fall silent
	stubborn bool // external signers may keep a key for ever
}

// mat is what is known of the tokens of one key.
type mat struct {
	expires time.Time // of the youngest
	lenient bool      // verifiers may not have it yet: it signed in haste
	excused bool      // its tokens may be refused: revoked, or lost with a restore
	banned  int64     // the generation in which the status said that the value is revoked
}

// object is a stored object with its version.
type object[T any] struct {
	value   T
	version int
}

// put writes the object if nobody did since seen, as an Update with a
// resourceVersion does.
func (o *object[T]) put(value T, seen int) bool {
	if o.version != seen {
		return false
	}
	o.set(value)
	return true
}

func (o *object[T]) set(value T) { o.value, o.version = value, o.version+1 }

// file is a bundle. It never changes once it is made.
type file struct {
	revision, generation int64
	keys                 []VerifyKey
	kids                 []string
	mats                 []int
	revoked              []string
}

func (f *file) has(m int) bool         { return f != nil && slices.Contains(f.mats, m) }
func (f *file) hasKID(kid string) bool { return f != nil && slices.Contains(f.kids, kid) }

type place struct {
	bundle int
	kid    string
}

type pod struct {
	name     string
	bundle   int
	file     *file // in force; nil: not ready
	next     *file // on its way
	at       time.Time
	mute     time.Time // until then it does not answer
	slow     bool      // its mount is refreshed hours late
	accepted map[string]time.Time
	dropped  map[string]bool // what it had and has no more
}

type signer struct {
	name     string
	mat      int // -1: none
	kid      string
	reads    time.Time
	stubborn bool
	mute     time.Time
}

// leader is what the controller has in memory.
type leader struct {
	answers  map[*pod]answer // zero: not answered yet
	accepted map[string]time.Time
	signs    map[*signer]Signer // as it was first heard to sign with its key
	doubt    time.Time
	looked   time.Time
	nobody   bool // there was no pod then
}

type answer struct {
	at   time.Time
	file *file
}

// edition is what signers were offered from a time on.
type edition struct {
	at time.Time
	Export
}

// snapshot is a backup of the cluster.
type snapshot struct {
	state   *State
	export  Export
	status  Witness
	bundles []*file
}

const (
	mountDelay = 90 * time.Second
	signerLag  = 30 * time.Second
	clockError = time.Minute
	staleness  = time.Minute // of an answer
	lifetime   = 10 * time.Minute
	overlap    = lifetime + 2*clockError + staleness + signerLag + 15*time.Second
)

func newWorld(seed uint64, broken fault) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), broken: broken, now: day,
		mats: map[string]int{}, gone: map[place]bool{}, revoking: map[string]int{},
		spec: Spec{
			Algorithm: "HS256", External: true, Exported: true, WaitForVerifiers: true, MaxTokenLifetime: lifetime,
			Interval: 45 * time.Minute, PrePublish: 10 * time.Second, VerifierTimeout: time.Hour, RetireAfter: overlap,
		},
	}
	w.choose()
	w.leader.forget()
	w.bundles = make([]object[*file], 1+w.rng.IntN(5)/4)
	w.stuck = make([]time.Time, len(w.bundles))
	for i := range w.bundles {
		if w.comesLater(i) {
			w.stuck[i] = day.Add(w.upTo(6 * time.Hour))
		}
	}
	for range w.rng.IntN(4) {
		w.startPod()
	}
	for i := range 1 + w.rng.IntN(2) {
		w.signers = append(w.signers, &signer{name: fmt.Sprintf("signer-%d", i), mat: -1, stubborn: w.kind.stubborn && w.chance(60)})
	}
	return w
}

// choose settles what sort of history it is.
func (w *world) choose() {
	w.kind = kind{observed: true, byKID: w.chance(50), restores: w.chance(30), steady: w.chance(20)}
	switch dice := w.rng.IntN(100); {
	case dice < 15:
		w.spec.External, w.spec.Exported = false, false
	case dice < 40:
		w.spec.Imported, w.spec.Exported, w.kind.restores = true, false, false
		w.hurry(w.newValue())
	case dice < 50:
		w.spec.Algorithm = "ES256"
	}
	if w.chance(35) { // by the clock
		w.spec.WaitForVerifiers, w.spec.PrePublish = false, mountDelay+2*clockError+10*time.Second
		w.kind.observed = w.chance(60)
	}
	w.kind.byKID = w.kind.byKID || w.kind.restores
	w.kind.stubborn = w.spec.External && w.kind.observed && w.spec.WaitForVerifiers && !w.spec.Imported
	switch w.broken {
	case overlapTooShort:
		w.spec.RetireAfter = 5 * time.Minute
	case prePublishTooShort:
		w.spec.PrePublish = 10 * time.Second
	default:
	}
}

func (l *leader) forget() {
	*l = leader{answers: map[*pod]answer{}, accepted: map[string]time.Time{}, signs: map[*signer]Signer{}}
}

func (w *world) chance(percent float64) bool { return w.rng.Float64()*100 < percent }

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

func (w *world) violate(format string, args ...any) {
	if w.problem == "" {
		w.problem = fmt.Sprintf(format, args...)
	}
}

// note tells a part of the story.
func (w *world) note(format string, args ...any) {
	if w.tell != nil {
		w.tell("+%s "+format, append([]any{w.now.Sub(day)}, args...)...)
	}
}

// Read makes the world a source of random bytes.
func (w *world) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(w.rng.Uint32())
	}
	return len(p), nil
}

func (w *world) newValue() Octets {
	w.made++
	return fmt.Appendf(nil, "secret %d", w.made)
}

func (w *world) newKey() (Material, error) {
	m := Material{Value: w.newValue()}
	if w.spec.Algorithm == "ES256" {
		m.Public = fmt.Appendf(nil, `{"kty":"EC","x":"%d"}`, w.made)
		w.mats[string(m.Public)] = w.mat(m.Value)
	}
	return m, nil
}

// mat is the number of a key by its material.
func (w *world) mat(material []byte) int {
	i, known := w.mats[string(material)]
	if !known {
		i = len(w.tokens)
		w.mats[string(material)] = i
		w.tokens = append(w.tokens, mat{})
	}
	return i
}

func (w *world) matOf(k VerifyKey) int {
	if len(k.K) > 0 {
		return w.mat(k.K)
	}
	return w.mat(k.JWK)
}

// live plays the history, and stops at the first violation.
func (w *world) live() {
	for range steps {
		w.advance(w.pause())
		if w.problem != "" {
			return
		}
		if w.now.Before(w.away) {
			continue
		}
		w.disturb()
		if w.now.Before(w.away) {
			continue
		}
		w.poll()
		if w.chance(75) {
			w.reconcileKey()
		}
		if w.chance(75) {
			w.reconcilePolicies()
		}
	}
	if w.problem == "" {
		w.converge()
	}
}

// pause is how long nothing happens but what is under way.
func (w *world) pause() time.Duration {
	switch dice := w.rng.IntN(10); {
	case dice < 4:
		return w.upTo(5 * time.Second)
	case dice < 8:
		return w.upTo(time.Minute)
	default:
		return w.upTo(8 * time.Minute)
	}
}
