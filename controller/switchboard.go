package controller

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
)

// idlePause gathers what sidecars answer while no key is on its way in or out:
// it only shows in counts.
const idlePause = 10 * time.Second

// switchboard connects the reconcilers with the roll call: policies and issuers say
// who is to be asked, the answers wake the keys, and the policy or issuer whose pods
// are ahead of it.
type switchboard struct {
	roll                    *rollcall.Roll
	nudger                  *nudger
	keys, policies, issuers bell

	mu     sync.Mutex
	lines  map[types.NamespacedName]line      // by bundle
	climbs map[types.NamespacedName]allowance // of those
	gone   map[types.NamespacedName][]string  // by bundle that nobody writes any more: the SigningKeys that its pods had
}

// line is what waking needs to know of one bundle.
type line struct {
	revision int64
	keys     []string // the SigningKeys that its policy refers to, or its sidecars know
	moving   bool     // one of them is on its way in or out
	// heard are the SigningKeys that the sidecars were ever heard on, and the last
	// ids of their keys: one may still have an edition from before the policy changed.
	heard map[string][]string
}

// maxHeard is how many SigningKeys sidecars are heard on that a policy refers to
// no more.
const maxHeard = 64

func newSwitchboard(cfg Config) *switchboard {
	s := &switchboard{lines: map[types.NamespacedName]line{}, climbs: map[types.NamespacedName]allowance{}, gone: map[types.NamespacedName][]string{}}
	s.roll = rollcall.New(rollcall.Options{Now: cfg.Now, Notify: s.answered})
	s.nudger = newNudger(cfg)
	s.nudger.told = s.told
	return s
}

// told has a pod asked that was just told of a revision, and its policy look
// after a pause. When that was the last one, its keys look too.
func (s *switchboard) told(bundle types.NamespacedName, pod types.UID, revision int64, pause time.Duration) {
	s.roll.Told(bundle, pod, revision)
	s.wake(pause, bundle)
	if pause > 0 {
		return
	}
	s.mu.Lock()
	keys := s.lines[bundle].keys
	s.mu.Unlock()
	s.keys.ring(0, bundle.Namespace, keys...)
}

// expect says who has to answer for a bundle.
func (s *switchboard) expect(bundle types.NamespacedName, call rollcall.Call, keys []string, moving bool) {
	s.mu.Lock()
	heard := map[string][]string{}
	maps.Copy(heard, call.Keys)
	for name, kids := range s.lines[bundle].heard {
		if _, now := heard[name]; !now && len(heard) < len(call.Keys)+maxHeard {
			heard[name] = kids
		}
	}
	call.Keys = heard
	s.lines[bundle] = line{revision: call.Revision, keys: keys, moving: moving, heard: heard}
	delete(s.gone, bundle)
	s.mu.Unlock()
	s.roll.Expect(bundle, call)
}

// forget drops a bundle that is gone, or is not ours, and wakes the keys that
// waited for its sidecars.
func (s *switchboard) forget(bundle types.NamespacedName) {
	asked := len(s.roll.Report(bundle).Answers) > 0
	s.mu.Lock()
	gone, known := s.lines[bundle]
	delete(s.lines, bundle)
	delete(s.climbs, bundle)
	if known && asked { // its pods go on with what they have
		s.gone[bundle] = gone.had()
	}
	s.mu.Unlock()
	s.roll.Forget(bundle)
	s.nudger.forget(bundle)
	if known {
		s.keys.ring(0, bundle.Namespace, gone.keys...)
	}
}

// left are the SigningKeys that pods of a bundle had which nobody writes any more,
// if this process has seen it. Keys may look before whoever wrote the bundle has
// come to know that its policy, or the Secret, is gone.
func (s *switchboard) left(bundle types.NamespacedName) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, known := s.lines[bundle]; known {
		return last.had(), true
	}
	keys, known := s.gone[bundle]
	return keys, known
}

// had are the SigningKeys that pods of a bundle may have.
func (l line) had() []string { return append(slices.Collect(maps.Keys(l.heard)), l.keys...) }

// answered wakes whom a new answer concerns.
func (s *switchboard) answered(bundle types.NamespacedName) {
	s.mu.Lock()
	line, known := s.lines[bundle]
	s.mu.Unlock()
	if !known {
		return
	}
	seen := recall(s.roll.Report(bundle), line.revision)
	pause := idlePause
	if line.moving || seen.ahead() {
		pause = 0
	}
	s.keys.ring(pause, bundle.Namespace, slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(seen.named)), line.keys...))))...)
	if seen.ahead() {
		s.wake(0, bundle)
	}
}

// wake has whoever writes a bundle look, after a pause.
func (s *switchboard) wake(pause time.Duration, bundle types.NamespacedName) {
	if issuer, isIssuer := strings.CutSuffix(bundle.Name, v1alpha1.IssuerSuffix); isIssuer {
		s.issuers.ring(pause, bundle.Namespace, issuer)
		return
	}
	s.policies.ring(pause, bundle.Namespace, policyOf(bundle))
}

// recollection is what the sidecars of one bundle know that the cluster may have
// forgotten.
type recollection struct {
	revision int64              // the highest above the bundle's own; 0: none is
	named    map[string]int64   // by SigningKey, the highest generation that any sidecar names
	beyond   map[string]edition // by SigningKey, the latest that sidecars have whose revision is above the bundle's
}

// edition is what a sidecar has of a SigningKey.
type edition struct {
	generation int64
	kids       []string
}

func (r recollection) ahead() bool { return r.revision > 0 }

// recall sums up what sidecars answered, against the revision of their bundle.
func recall(report rollcall.Report, revision int64) recollection {
	return recallOf(report, revision, func(string) int64 { return 0 })
}

// recallOf is recall where the generation of each set in the bundle is known.
func recallOf(report rollcall.Report, revision int64, bundled func(set string) int64) recollection {
	seen := recollection{named: map[string]int64{}, beyond: map[string]edition{}}
	for _, answer := range report.Answers {
		state := &answer.State
		above := state.Revision > revision && believable(state.Revision, revision)
		if above {
			seen.revision = max(seen.revision, state.Revision)
		}
		for name, generation := range state.Generations {
			seen.named[name] = max(seen.named[name], generation)
			if above && generation > seen.beyond[name].generation && believable(generation, bundled(name)) {
				seen.beyond[name] = edition{generation, state.KIDs[name]}
			}
		}
	}
	return seen
}

// mayClimb reports whether a bundle may be numbered above what its sidecars say
// once more.
func (s *switchboard) mayClimb(bundle types.NamespacedName, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	climbs := s.climbs[bundle]
	return climbs.left(maxClimbs, now)
}

func (s *switchboard) climbed(bundle types.NamespacedName, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	climbs := s.climbs[bundle]
	climbs.take(maxClimbs, now)
	s.climbs[bundle] = climbs
}
