package keyring

import (
	"encoding/base32"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Planner plans. Its fields are its only ways to the outside.
type Planner struct {
	// NewKey makes the material of a generated key of Spec.Algorithm.
	NewKey func() (Material, error)
	// Rand is a source of random bytes for ids and the salt.
	Rand io.Reader
}

const (
	saltBytes = 32
	// urgentWait is how long the successor of a revoked key waits for bundles, and
	// then for verifiers that cannot acknowledge it.
	urgentWait = 30 * time.Second
	// maxStep is a step of the clock that is taken as one. A stamp further in the
	// future is a mistake of some earlier clock and is set to now: whatever
	// counts from it takes longer, never shorter.
	maxStep = 2 * time.Minute
	// leap is more generations than a state is ahead of what others were told.
	leap = 64
)

// Plan returns the state that follows from state (nil: there is none) under what
// is wanted and what was seen, at the time now. It does everything that is due;
// planning again at once changes nothing. It never changes the state given.
func (p Planner) Plan(spec Spec, state *State, obs Observations, now time.Time) (Result, error) {
	run := &run{planner: p, spec: spec, obs: obs, now: now.UTC().Round(0)}
	if err := run.begin(state); err != nil {
		return Result{}, fmt.Errorf("planning keys: %w", err)
	}
	run.repairStamps()
	run.revoke()
	run.countDown()
	run.retire()
	next := run.rotate
	if spec.Imported {
		next = run.follow
	}
	if err := next(); err != nil {
		return Result{}, fmt.Errorf("planning keys: %w", err)
	}
	run.publish()
	run.activate()
	run.countDown()
	run.retire()
	run.confirm()
	run.closeIncident()
	return run.result(state), nil
}

// run is one plan in the making.
type run struct {
	planner Planner
	spec    Spec
	obs     Observations
	now     time.Time

	state    *State
	base     int64 // the generation before
	urgent   bool  // the active key was revoked
	noRoom   bool
	unshown  bool // no bundle could have shown the imported value that signed
	held     bool // an old key stays because verifiers are silent
	events   []Event
	findings []Finding
}

// begin sets out from the state, or from a new or rebuilt one.
func (r *run) begin(state *State) error {
	r.disbelieve()
	fresh := state == nil
	if fresh {
		salt := make([]byte, saltBytes)
		if _, err := io.ReadFull(r.planner.Rand, salt); err != nil {
			return fmt.Errorf("making a salt: %w", err)
		}
		state = &State{Version: StateVersion, Algorithm: r.spec.Algorithm, Salt: salt, Keys: []Key{}, Revoked: []Revocation{}}
	}
	if state.Algorithm != r.spec.Algorithm {
		return fmt.Errorf("the state is of %s keys, the spec wants %s: the algorithm cannot be changed", state.Algorithm, r.spec.Algorithm)
	}
	r.state = state.clone()
	r.state.Edited = false
	incident := r.incident(fresh, state.Edited)
	r.climb(incident != "", fresh)
	r.recallRevoked()
	if incident != "" {
		r.rebuild(incident, state.Edited)
	}
	return r.distrustImport()
}

// disbelieve leaves out generations that only a liar can name.
func (r *run) disbelieve() {
	if r.obs.Memory.Generation > maxClaim {
		r.obs.Memory = Memory{Revoked: r.obs.Memory.Revoked, Claimed: r.obs.Memory.Claimed}
	}
	if r.obs.Floor > maxClaim {
		r.obs.Floor = 0
	}
}

// incident says what befell the state, if others remember better.
func (r *run) incident(fresh, edited bool) FindingKind {
	memory := r.obs.Memory
	switch {
	case memory.Generation == 0 && len(memory.Bundled) == 0:
		return ""
	case fresh:
		return StateLost
	case edited || r.state.Generation < memory.Generation || memory.Ahead && r.state.Behind(memory.Generation, memory.Live):
		return Regressed
	}
	return ""
}

// climb goes on above every generation that anybody names for the set. What was
// acknowledged below that may have been another set's, so a key that waits for
// acknowledgements begins anew. A state that is lost may have been ahead of what
// anybody was told, and come back later, so a rebuilt set leaves its numbers out,
// and one that is made anew those of an earlier object.
func (r *run) climb(rebuilt, fresh bool) {
	r.base = max(r.state.Generation, r.obs.Memory.Generation)
	if rebuilt {
		r.base += leap
	}
	floor := r.obs.Floor
	if fresh && floor > 0 {
		floor += leap
	}
	if floor <= r.base {
		return
	}
	r.base = floor
	r.change()
	for i := range r.state.Keys {
		if k := &r.state.Keys[i]; k.Phase == Published {
			k.Generation, k.Published = r.state.Generation, time.Time{}
		}
	}
}

// change marks that keys or phases change by this plan, and returns the
// generation in which they do.
func (r *run) change() int64 {
	r.state.Generation = r.base + 1
	return r.state.Generation
}

func (r *run) event(kind EventKind, kid string) { r.events = append(r.events, Event{kind, kid}) }
func (r *run) find(kind FindingKind, kid string) {
	if f := (Finding{kind, kid}); !slices.Contains(r.findings, f) {
		r.findings = append(r.findings, f)
	}
}

// repairStamps sets stamps of a clock that was far ahead to now.
func (r *run) repairStamps() {
	for i := range r.state.Keys {
		k := &r.state.Keys[i]
		for _, stamp := range []*time.Time{&k.Created, &k.Published, &k.Activated, &k.Confirmed, &k.Retiring} {
			if stamp.After(r.now.Add(maxStep)) {
				*stamp = r.now
			}
		}
	}
}

// newKID is <generation, base36>-<10 random base32>, in lower case.
func (r *run) newKID(generation int64) (string, error) {
	random := make([]byte, 7)
	if _, err := io.ReadFull(r.planner.Rand, random); err != nil {
		return "", fmt.Errorf("making a key id: %w", err)
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random)[:10]
	return strconv.FormatInt(generation, 36) + "-" + strings.ToLower(text), nil
}

// add makes a key of the material in the phase.
func (r *run) add(phase Phase, material Material) (*Key, error) {
	generation := r.change()
	kid, err := r.newKID(generation)
	if err != nil {
		return nil, err
	}
	r.state.Keys = append(r.state.Keys, Key{KID: kid, Phase: phase, Generation: generation, Created: r.now, Material: material})
	return &r.state.Keys[len(r.state.Keys)-1], nil
}

// result reports where the set stands.
func (r *run) result(before *State) Result {
	res := Result{
		State: r.state, Changed: before == nil || !reflect.DeepEqual(before, r.state),
		Events: r.events, Findings: r.findings,
		NextRotation: r.nextRotation(), Removal: map[string]time.Time{},
	}
	for _, k := range r.state.Keys {
		if k.Phase == Retiring && !k.Retiring.IsZero() {
			res.Removal[k.KID] = r.removal(k)
		}
	}
	res.Progress, res.Lagging = r.progress(res.Removal)
	if r.held && len(res.Lagging) == 0 {
		res.Lagging = r.silent()
	}
	res.Wake = r.wake(res)
	if incident := (Finding{Kind: r.state.Incident}); incident.Kind != "" && !slices.Contains(res.Findings, incident) {
		res.Findings = append(res.Findings, incident)
	}
	return res
}
