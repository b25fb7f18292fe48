package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
)

// nudgePlaces is how many pods are annotated at once.
const nudgePlaces = 8

// nudger annotates the pods that mount a bundle with its revision, at which
// their kubelets refresh the mount at once instead of within a minute or so. It
// comes after the Secret was written, never before. It works beside the
// reconcilers: bundles take turns, after those of which a key was revoked, as
// fast as the rate allows, and a pod that cannot be told does not keep it from
// the rest.
type nudger struct {
	client client.Client
	limit  *rate.Limiter
	log    logr.Logger
	now    func() time.Time
	// told hears of every pod that was told, and pause after which its policy
	// should look: zero when it was the last.
	told func(bundle types.NamespacedName, pod types.UID, revision int64, pause time.Duration)

	wake  chan struct{} // capacity 1
	mu    sync.Mutex
	lists map[types.NamespacedName]*nudgeList
	ring  []*nudgeList // in the order in which they take turns
	turn  int
	taken uint
}

func newNudger(cfg Config) *nudger {
	return &nudger{
		limit: rate.NewLimiter(rate.Limit(cfg.NudgeRate), cfg.NudgeRate), log: cfg.Logger.WithName("nudge"), now: cfg.Now,
		wake: make(chan struct{}, 1), lists: map[types.NamespacedName]*nudgeList{},
	}
}

// tell has the pods told that mount the bundle and were not told of its
// revision, and completes the view with how the pods fare.
func (r *policyReconciler) tell(w policyWorld, view *policyView) {
	revision, bundle := view.bundle.revision, bundleKey(w.policy)
	view.pods = judgePods(w.claim.pods, w.policy.Name, r.image, revision)
	if revision == 0 || view.bundle.foreign {
		r.switchboard.nudger.forget(bundle)
		return
	}
	r.switchboard.nudger.expect(bundle, revision, w.from.urgent(), w.pods)
}

// urgent reports whether sidecars have not all acknowledged a revocation yet, or
// an imported value that is signed with already.
func (s sources) urgent() bool {
	for _, source := range s.keys {
		if source.state != nil && source.unacknowledged() {
			return true
		}
	}
	return false
}

// expect replaces who has to be told for a bundle: those of the pods that mount
// it and were not told of the revision.
func (n *nudger) expect(bundle types.NamespacedName, revision int64, urgent bool, pods []corev1.Pod) {
	var untold []nudge
	mounting := 0
	for i := range pods {
		if !mounts(&pods[i], bundle.Name) {
			continue
		}
		mounting++
		if !toldOf(&pods[i], revision) {
			untold = append(untold, nudge{uid: pods[i].UID, name: pods[i].Name})
		}
	}
	n.mu.Lock()
	list, known := n.lists[bundle]
	if !known && len(untold) > 0 {
		list = newNudgeList(bundle)
		n.lists[bundle], n.ring = list, append(n.ring, list)
	}
	if list != nil {
		list.hurry(urgent, n.now())
		list.pods = mounting
		list.replace(revision, untold, n.now())
		n.tidy(list)
	}
	n.mu.Unlock()
	n.rouse()
}

// tidy drops a list that has nothing left to do or to remember.
func (n *nudger) tidy(list *nudgeList) {
	if !list.done() || len(list.told) > 0 {
		return
	}
	delete(n.lists, list.bundle)
	n.ring = slices.DeleteFunc(n.ring, func(other *nudgeList) bool { return other == list })
}

// forget drops what was left to do for a bundle.
func (n *nudger) forget(bundle types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if list, known := n.lists[bundle]; known {
		delete(n.lists, bundle)
		n.ring = slices.DeleteFunc(n.ring, func(other *nudgeList) bool { return other == list })
	}
}

// overlay shows in listed pods what they were told and the cache does not show yet.
func (n *nudger) overlay(bundle types.NamespacedName, pods []corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if list, known := n.lists[bundle]; known && len(list.told) > 0 {
		list.overlay(pods)
	}
}

func annotatedWith(annotations map[string]string, revision int64) map[string]string {
	changed := maps.Clone(annotations)
	if changed == nil {
		changed = map[string]string{}
	}
	changed[v1alpha1.AnnotationBundleRevision] = strconv.FormatInt(revision, 10)
	return changed
}

// NeedLeaderElection keeps replicas that wait for the lease from telling.
func (*nudger) NeedLeaderElection() bool { return true }

// Start tells pods until the context ends, then waits for those under way.
func (n *nudger) Start(ctx context.Context) error {
	places := make(chan struct{}, nudgePlaces)
	var under sync.WaitGroup
	defer under.Wait()
	for n.await(ctx) {
		if n.limit.Wait(ctx) != nil {
			return nil // the context ended
		}
		places <- struct{}{}
		turn, found := n.take()
		if !found {
			<-places
			continue
		}
		under.Go(func() {
			defer func() { <-places }()
			n.carryOut(ctx, turn)
		})
	}
	return nil
}

// await waits until somebody may be told; false: the context ended.
func (n *nudger) await(ctx context.Context) bool {
	for {
		waiting, next := n.waiting()
		if waiting {
			return ctx.Err() == nil
		}
		var clock <-chan time.Time
		if !next.IsZero() {
			clock = time.After(next.Sub(n.now()))
		}
		select {
		case <-ctx.Done():
			return false
		case <-n.wake:
		case <-clock:
		}
	}
}

// waiting reports whether somebody may be told now, or else when; zero: nobody.
func (n *nudger) waiting() (now bool, next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, list := range n.ring {
		if len(list.left) > 0 {
			return true, time.Time{}
		}
		if len(list.late) == 0 {
			continue
		}
		if due := list.late[0].due; !due.After(n.now()) {
			return true, time.Time{}
		} else if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return false, next
}

// turn is a pod that is being told.
type turn struct {
	nudge
	list     *nudgeList
	revision int64
}

// For how long an urgent bundle goes before all others, and how often they come
// to their turn after that: a revocation that somebody never acknowledges must not
// stop everybody else.
const (
	urgentPrivilege = time.Minute
	fairTurn        = 4
)

// take takes the next turn: of urgent bundles first, and of each kind in turns.
func (n *nudger) take() (turn, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.taken++
	fair := n.taken%fairTurn == 0
	for _, urgent := range []bool{true, false} {
		for range n.ring {
			n.turn = (n.turn + 1) % len(n.ring)
			list := n.ring[n.turn]
			if list.goesFirst(now, fair) != urgent {
				continue
			}
			if pod, found := list.take(now); found {
				return turn{pod, list, list.revision}, true
			}
		}
	}
	return turn{}, false
}

// carryOut tells one pod. One that is gone, or was replaced, counts as told.
func (n *nudger) carryOut(ctx context.Context, t turn) {
	err := n.annotate(ctx, t)
	if ctx.Err() != nil {
		return
	}
	told := client.IgnoreNotFound(err) == nil || lostRace(err)
	n.mu.Lock()
	t.list.settle(t.nudge, t.revision, told, n.now())
	pause := time.Duration(0)
	if !t.list.done() {
		pause = rollcall.Breather(t.list.pods)
	}
	complains := !told && !t.list.complained
	t.list.complained = t.list.complained || complains
	n.mu.Unlock()
	switch {
	case told:
		n.told(t.list.bundle, t.uid, t.revision, pause)
	case complains:
		n.log.Error(err, "a pod could not be told of its bundle; its kubelet will notice within a minute or so",
			"namespace", t.list.bundle.Namespace, "pod", t.name)
	}
	n.rouse()
}

// annotate changes nothing of the pod but the one annotation, which is all that
// the admission policy of the chart lets the controller change.
func (n *nudger) annotate(ctx context.Context, t turn) error {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q}}}`,
		t.uid, v1alpha1.AnnotationBundleRevision, strconv.FormatInt(t.revision, 10))
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = t.list.bundle.Namespace, t.name
	if err := n.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotating pod %s: %w", t.name, err)
	}
	return nil
}

func (n *nudger) rouse() {
	select {
	case n.wake <- struct{}{}:
	default: // it is awake already
	}
}

// policyOf is the name of the policy whose bundle it is.
func policyOf(bundle types.NamespacedName) string {
	return strings.TrimSuffix(bundle.Name, v1alpha1.BundleSuffix)
}
