//go:build cluster && linux

package fleet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/fleet"
)

// The accelerated run: CI does a twentieth of a thousand rotations.
const (
	rotationsInCI = 50
	podsPerPolicy = 5
	// retiringAtOnce is how many old keys a set may have before its next rotation
	// is asked for: the planner allows one more.
	retiringAtOnce = 3
)

// A thousand rotations, many at a time, while verifiers are late, silent, held
// back, restarted or gone and the controller is started anew: nobody with a
// valid token is refused, and no removed key is accepted by a verifier that
// acknowledged its removal.
func TestAThousandRotations(t *testing.T) {
	policies, keysEach := 2, 5
	if soak() > 1 {
		policies, keysEach = 4, 6
	}
	ns := world.cluster.Namespace(t)
	restart := restartable(t, ns)
	restart()
	f := newFleet(t, fleet.Options{Namespace: ns, Told: fleet.Span{Min: 50 * time.Millisecond, Max: 400 * time.Millisecond}})
	began := time.Now()
	run := &accelerated{t: t, fleet: f, namespace: ns, goal: int64(rotationsInCI * soak())}
	var traffic []fleet.Traffic
	for i := range policies {
		traffic = append(traffic, run.build(fmt.Sprint("agents-", i), keysEach)...)
	}
	sending := send(t, f, traffic...)
	chaos, calm := context.WithCancel(t.Context())
	var disturbers sync.WaitGroup
	disturbers.Go(func() { run.disturb(chaos) })
	disturbers.Go(func() { run.restartController(chaos, restart) })
	run.rotateAll()
	calm()
	disturbers.Wait()
	run.converge()
	sending()
	run.report(time.Since(began))
}

// accelerated is one run.
type accelerated struct {
	t         *testing.T
	fleet     *fleet.Fleet
	namespace string
	goal      int64

	sets     []*rotatingSet
	done     atomic.Int64 // rotations
	restarts atomic.Int64 // of the controller
	faults   atomic.Int64
}

// rotatingSet is one key set. The signers of some are confirmed by hand, the
// others are observed.
type rotatingSet struct {
	key      *v1alpha1.SigningKey
	signer   *fleet.Signer
	observed bool
	requests int
}

// build makes a policy with its keys, pods and signers.
func (a *accelerated) build(policy string, keys int) []fleet.Traffic {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	var names []string
	for i := range keys {
		name := fmt.Sprintf("%s-key-%d", policy, i)
		names = append(names, name)
		set := &rotatingSet{key: fastKey(a.namespace, name), observed: i%3 > 0}
		if i == 1 {
			set.key.Spec.Algorithm = "ES256"
		}
		a.sets = append(a.sets, set)
		create(a.t, set.key)
	}
	p := fastPolicy(a.namespace, policy, names...)
	p.Spec.JWT.Providers[1].Algorithms[0] = "ES256"
	create(a.t, p)
	if _, err := a.fleet.Add(ctx, policy, podsPerPolicy); err != nil {
		a.t.Fatal(err)
	}
	var traffic []fleet.Traffic
	for _, set := range a.sets[len(a.sets)-keys:] {
		var err error
		set.signer, err = a.fleet.Signer(ctx, set.key.Spec.ExportTo.SecretName, string(set.key.Spec.Algorithm), fleet.Span{Max: 500 * time.Millisecond})
		if err != nil {
			a.t.Fatal(err)
		}
		traffic = append(traffic, fleet.Traffic{Signer: set.signer, Policy: policy, Every: 100 * time.Millisecond})
	}
	return traffic
}

// rotateAll rotates all sets, each at its own pace, until the goal is reached.
func (a *accelerated) rotateAll() {
	var all sync.WaitGroup
	for _, set := range a.sets {
		all.Go(func() {
			for a.done.Load() < a.goal && a.rotate(set) {
				a.done.Add(1)
			}
		})
	}
	all.Wait()
}

// rotate asks for one rotation and returns when the signer signs with the new
// key. It reports false, and fails the test, if that does not happen.
func (a *accelerated) rotate(set *rotatingSet) bool {
	before := set.signer.KID()
	if !a.await(set, "old keys still retire", func(key *v1alpha1.SigningKey) bool { return len(key.Status.Keys) <= 1+retiringAtOnce }) {
		return false
	}
	set.requests++
	annotate(a.t, set.key, v1alpha1.AnnotationRotateNow, strconv.Itoa(set.requests))
	if !a.await(set, "the signer has no new key", func(*v1alpha1.SigningKey) bool { return set.signer.KID() != before && set.signer.KID() != "" }) {
		return false
	}
	if !set.observed {
		annotate(a.t, set.key, v1alpha1.AnnotationConfirmSigner, set.signer.KID())
	}
	return true
}

// await asks for a key set's state until it is as wanted.
func (a *accelerated) await(set *rotatingSet, what string, done func(*v1alpha1.SigningKey) bool) bool {
	var key v1alpha1.SigningKey
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if a.t.Context().Err() != nil {
			return false
		}
		err := world.api.Get(a.t.Context(), client.ObjectKeyFromObject(set.key), &key)
		if err == nil && done(&key) {
			return true
		}
	}
	a.t.Errorf("%s: %s: keys %+v, conditions %+v", set.key.Name, what, key.Status.Keys, key.Status.Conditions)
	return false
}

// disturb does to one pod after the other what happens to pods.
func (a *accelerated) disturb(ctx context.Context) {
	random := rand.New(rand.NewPCG(7, 11))
	for sleep(ctx, 400*time.Millisecond) {
		if a.faults.Load() > 10+3*a.done.Load() {
			continue // a machine that is slow gets its faults more slowly too
		}
		pods := a.fleet.Pods("")
		pod := pods[random.IntN(len(pods))]
		a.faults.Add(1)
		switch random.IntN(5) {
		case 0:
			pod.Late(time.Duration(random.Int64N(int64(3 * time.Second))))
			time.AfterFunc(4*time.Second, func() { pod.Late(0) })
		case 1:
			pod.Silence(true)
			time.AfterFunc(2*time.Second, func() { pod.Silence(false) })
		case 2:
			pod.Hold(true)
			time.AfterFunc(2*time.Second, func() { pod.Hold(false) })
		case 3:
			if err := pod.Restart(ctx, 300*time.Millisecond); err != nil && ctx.Err() == nil {
				a.t.Error(err)
			}
		case 4:
			a.replace(ctx, pod)
		}
	}
}

// replace deletes a pod and makes another, as a Deployment would.
func (a *accelerated) replace(ctx context.Context, pod *fleet.Pod) {
	if err := pod.Remove(ctx); err != nil && ctx.Err() == nil {
		a.t.Error(err)
	}
	if _, err := a.fleet.Add(ctx, pod.Policy, 1); err != nil && ctx.Err() == nil {
		a.t.Error(err)
	}
}

// restartController starts the controller anew every so many rotations.
func (a *accelerated) restartController(ctx context.Context, restart func()) {
	const every = 15
	for sleep(ctx, 100*time.Millisecond) {
		if a.done.Load() < every*(a.restarts.Load()+1) {
			continue
		}
		began := time.Now()
		restart()
		a.t.Logf("controller number %d after %d rotations; the last took %.1f s to end", a.restarts.Add(1)+1, a.done.Load(), time.Since(began).Seconds())
	}
}

// sleep reports false when ctx ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// converge waits until every set has one key.
func (a *accelerated) converge() {
	for _, set := range a.sets {
		a.await(set, "it does not come to rest", func(key *v1alpha1.SigningKey) bool { return len(key.Status.Keys) == 1 })
	}
}

func (a *accelerated) report(took time.Duration) {
	counts := a.fleet.Counts()
	figure("accelerated_rotations", a.done.Load(), "rotations")
	figure("accelerated_rotations_took", fmt.Sprintf("%.0f", took.Seconds()), "s")
	figure("accelerated_valid_tokens_accepted", counts.Accepted, "tokens")
	figure("accelerated_valid_tokens_refused", counts.Refused, "tokens")
	figure("accelerated_removed_keys_refused", counts.RemovedRefused, "tokens")
	figure("accelerated_removed_keys_accepted", counts.RemovedAccepted, "tokens")
	figure("accelerated_faults", a.faults.Load(), "faults")
	figure("accelerated_controller_restarts", a.restarts.Load(), "restarts")
	held(a.t, a.fleet)
	if a.done.Load() < a.goal {
		a.t.Errorf("%d rotations, want %d", a.done.Load(), a.goal)
	}
	if counts.Activations < a.done.Load() || counts.Accepted < 100*a.done.Load() || counts.RemovedRefused < a.done.Load() ||
		counts.Questions == 0 || counts.Restarts == 0 || counts.Vanished == 0 {
		a.t.Errorf("the run shows little: %+v", counts)
	}
}

// restartable returns a function that ends the controller of a namespace, if one
// runs, and starts another.
func restartable(t *testing.T, namespace string) (restart func()) {
	t.Helper()
	end := func() {}
	t.Cleanup(func() { end() })
	return func() {
		end()
		end = startController(t, namespace, func(c *controller.Config) { c.NudgeRate = 1000 })
	}
}

// The run above can fail: verifiers that acknowledge what they have not loaded
// make signers use keys that verifiers lack, and removals count that never
// happened. Both are seen.
func TestLyingVerifiersAreSeen(t *testing.T) {
	s := newScene(t, 5)
	s.pods[0].Hold(true)
	s.pods[0].Lie(true)
	first := s.signer.KID()
	annotate(t, s.key, v1alpha1.AnnotationRotateNow, "1")
	eventually(t, patience, func() string {
		if s.signer.KID() == first {
			return "the signer has no new key"
		}
		return ""
	})
	annotate(t, s.key, v1alpha1.AnnotationConfirmSigner, s.signer.KID())
	eventually(t, patience, func() string {
		if counts := s.fleet.Counts(); counts.Refused == 0 || counts.RemovedAccepted == 0 {
			return fmt.Sprintf("the lie is not seen: %+v", counts)
		}
		return ""
	})
	s.quiet()
	for _, pod := range s.pods[1:] {
		if !pod.Knows(s.signer.KID()) {
			t.Errorf("%s, which does not lie, lacks the new key", pod.Name)
		}
	}
}

// A verifier that is held back holds up the rotation, and nobody is refused.
func TestARotationWaitsForAHeldVerifier(t *testing.T) {
	s := newScene(t, 5)
	s.pods[0].Hold(true)
	first := s.signer.KID()
	annotate(t, s.key, v1alpha1.AnnotationRotateNow, "1")
	time.Sleep(5 * time.Second) // without the wait the switch takes one
	if s.signer.KID() != first {
		t.Error("a new key signs although a verifier lacks it")
	}
	s.pods[0].Hold(false)
	eventually(t, patience, func() string {
		if s.signer.KID() == first {
			return "the signer has no new key although every verifier could have it"
		}
		return ""
	})
	s.quiet()
	held(t, s.fleet)
}
