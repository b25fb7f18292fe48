package rollcall

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

// Pod is a sidecar that is to be asked.
type Pod struct {
	UID  types.UID
	Name string
	// Address is host:port of the admin port; empty: the pod has no address yet.
	Address string
	// Told says that the pod is annotated with Call.Revision, so that its kubelet
	// refreshes the mount at once.
	Told bool
}

// Call is who has to answer for one bundle.
type Call struct {
	// Pods are the started, living sidecars that mount the bundle.
	Pods []Pod
	// AckKey is the bundle's; without one nothing can be proven and nobody is asked.
	AckKey token.Secret
	// Revision is the bundle's current one.
	Revision int64
	// Every is how often a sidecar that has the revision is asked again; zero: 5 min.
	Every time.Duration
	// Keys are the SigningKeys that the sidecars are heard on, each with the ids of
	// its live keys. What a sidecar says of any other is left out: it has none of it
	// from its bundle.
	Keys map[string][]string
	// Signs are the SigningKeys that the pods may sign with, where they are issuers.
	// What a pod says to sign with for another is left out.
	Signs []string
}

// Why a question was not answered: the values of Answer.Problem.
const (
	// Unreachable: no connection, no answer in time, or one of another status than 200 and 503.
	Unreachable = "unreachable"
	// WrongPod: another pod answered; addresses are reused.
	WrongPod = "wrong_pod"
	// BadMAC: the answer is not signed with the bundle's key for this question.
	BadMAC = "bad_mac"
	// Malformed: the answer is too large or is no state.
	Malformed = "malformed"
	// NotLoaded: the sidecar has no bundle in force yet.
	NotLoaded = "not_loaded"
)

// Answer is what is known of one sidecar.
type Answer struct {
	// State is the last good answer, without MAC. Its maps are shared among pods
	// and must not be changed.
	State bundle.State
	// At is when the last good answer came; zero: none did.
	At time.Time
	// First is when State.Revision was first proven.
	First time.Time
	// Problem is that of the last attempt; empty: it was good, or none was made yet.
	Problem string
	// Stale says, at the time of the Report, that there is no good answer or that
	// the last is older than Call.Every and Options.Stale allow.
	Stale bool
}

// Report is what is known of the sidecars of one bundle.
type Report struct {
	// Answers are by the UID of the pods that are expected.
	Answers map[types.UID]Answer
	// Accepted is until when a token of each key id may have been accepted by any
	// sidecar that ever proved it, pods that are gone included: the end of the
	// second that it named, but not after its answer.
	Accepted map[string]time.Time
	// Lost is the last time that a pod vanished whose last answer was stale, so
	// that it may have accepted tokens unheard; zero: never.
	Lost time.Time
	// Since is when this process first expected the bundle; zero: it never did.
	Since time.Time
}

// Options set a Roll up. The zero value of a field means its default.
type Options struct {
	// Concurrency is how many questions are under way at once; default 64.
	Concurrency int
	// Timeout is how long one question may take; default 2 s.
	Timeout time.Duration
	// Stale is by how much an answer may be older than Call.Every (and a tenth)
	// before it is stale; default 15 s.
	Stale time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Random is where nonces come from; default crypto/rand.
	Random io.Reader
	// Notify is called when an acknowledgement, a problem, the first use of a key
	// or who is expected changed: as often as once a second per bundle, with
	// thousands of sidecars less often, and at once when the last one
	// acknowledged. While it blocks, news wait.
	Notify func(bundle types.NamespacedName)
}

func (o Options) complete() Options {
	o.Concurrency = cmp.Or(max(o.Concurrency, 0), 64)
	o.Timeout = cmp.Or(max(o.Timeout, 0), 2*time.Second)
	o.Stale = cmp.Or(max(o.Stale, 0), 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Notify == nil {
		o.Notify = func(types.NamespacedName) {}
	}
	return o
}

// Roll is the table of all bundles. Its methods may be called from anywhere.
type Roll struct {
	options Options
	ask     func(context.Context, question) reply

	mu    sync.Mutex
	table *table
	// wake and news say that there may be somebody to ask, or something to tell.
	wake, news chan struct{}
}

// New returns a Roll that asks nobody before Start.
func New(o Options) *Roll {
	o = o.complete()
	r := &Roll{options: o, table: newTable(o), wake: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	r.ask = asker{timeout: o.Timeout, random: o.Random}.ask
	return r
}

// Expect replaces who has to answer for the bundle. It costs little when nothing
// changed.
func (r *Roll) Expect(bundle types.NamespacedName, c Call) {
	r.change(func(now time.Time) { r.table.expect(bundle, c, now) })
}

// Told says that the pod was just annotated with the revision: a shorter way to
// say Pod.Told. Other revisions than the expected one are passed over.
func (r *Roll) Told(bundle types.NamespacedName, pod types.UID, revision int64) {
	r.change(func(now time.Time) {
		if g, known := r.table.groups[bundle]; known {
			g.told(pod, revision, now)
		}
	})
}

// Forget drops the bundle and everything known of it.
func (r *Roll) Forget(bundle types.NamespacedName) {
	r.change(func(time.Time) { r.table.forget(bundle) })
}

// Report returns what is known of the bundle; Answers and Accepted are the caller's.
func (r *Roll) Report(bundle types.NamespacedName) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, known := r.table.groups[bundle]
	if !known {
		return Report{}
	}
	return g.report(r.options.Now())
}

// change changes the table, and wakes those who act on it.
func (r *Roll) change(do func(now time.Time)) {
	r.mu.Lock()
	do(r.options.Now())
	r.mu.Unlock()
	for _, sleeper := range []chan struct{}{r.wake, r.news} {
		select {
		case sleeper <- struct{}{}:
		default: // it is awake already
		}
	}
}

// NeedLeaderElection keeps replicas that wait for the lease from asking.
func (*Roll) NeedLeaderElection() bool { return true }

// Start asks and notifies until the context ends, then waits for what is under
// way. It is called once.
func (r *Roll) Start(ctx context.Context) error {
	var under sync.WaitGroup
	under.Go(func() { r.repeat(ctx, r.news, r.tell) })
	r.repeat(ctx, r.wake, func() time.Time {
		errands, next := r.due()
		for _, e := range errands {
			under.Go(func() { r.run(ctx, e) })
		}
		return next
	})
	under.Wait()
	return nil
}

// repeat does something whenever it is woken, and at the time that it asked for.
func (r *Roll) repeat(ctx context.Context, woken <-chan struct{}, do func() (next time.Time)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
		if next := do(); !next.IsZero() {
			timer.Reset(next.Sub(r.options.Now()))
		}
	}
}

func (r *Roll) due() ([]errand, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.take(r.options.Now())
}

func (r *Roll) run(ctx context.Context, e errand) {
	began := time.Now()
	answer := r.ask(ctx, e.question)
	if ctx.Err() != nil {
		return // it was cut short and says nothing about the sidecar
	}
	answer.slow = time.Since(began) > r.options.Timeout/4
	r.change(func(now time.Time) { r.table.settle(e, answer, now) })
}

func (r *Roll) tell() time.Time {
	r.mu.Lock()
	names, next := r.table.notices(r.options.Now())
	r.mu.Unlock()
	for _, name := range names {
		r.options.Notify(name)
	}
	return next
}
