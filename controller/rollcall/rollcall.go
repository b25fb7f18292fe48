package rollcall

import (
	"cmp"
	"context"
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
}

// Why a question was not answered: the values of Answer.Problem.
const (
	// Unreachable: no connection, no answer in time, or another status than 200 and 503.
	Unreachable = "unreachable"
	// WrongPod: another pod answered; addresses are reused.
	WrongPod = "wrong_pod"
	// BadMAC: the answer is not signed with the bundle's key for this question.
	BadMAC = "bad_mac"
	// Malformed: the answer is too large or no state.
	Malformed = "malformed"
	// NotLoaded: the sidecar has no bundle in force yet.
	NotLoaded = "not_loaded"
)

// Answer is what is known of one sidecar.
type Answer struct {
	// State is the last good answer.
	State bundle.State
	// At is when the last good answer came; zero: none did.
	At time.Time
	// Problem is that of the last attempt; empty: it was good, or none was made yet.
	Problem string
}

// Report is what is known of the sidecars of one bundle.
type Report struct {
	// Answers are by the UID of the pods that are expected.
	Answers map[types.UID]Answer
	// Accepted is when a token of each key id was last accepted, by any sidecar
	// that ever proved it, pods that are gone included.
	Accepted map[string]time.Time
	// Lost is the last time that a pod vanished whose last answer was older than
	// it may be (Options.Stale); zero: never.
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
	// Stale is how old an answer may be beyond Call.Every before a pod that
	// vanishes counts as lost; default 15 s.
	Stale time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Notify is called when an acknowledgement, a problem or the first use of a key
	// changed, at most once a second per bundle unless the last pod just
	// acknowledged. It must not block.
	Notify func(bundle types.NamespacedName)
}

// Roll is the table of all bundles. Its methods may be called from anywhere.
type Roll struct {
	options Options

	mu      sync.Mutex
	reports map[types.NamespacedName]Report
}

// New returns a Roll that asks nobody before Start.
func New(o Options) *Roll {
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.Timeout = cmp.Or(o.Timeout, 2*time.Second)
	o.Stale = cmp.Or(o.Stale, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Notify == nil {
		o.Notify = func(types.NamespacedName) {}
	}
	return &Roll{options: o, reports: map[types.NamespacedName]Report{}}
}

// Expect replaces who has to answer for the bundle.
func (r *Roll) Expect(bundle types.NamespacedName, _ Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report, known := r.reports[bundle]
	if !known {
		report.Since = r.options.Now()
	}
	r.reports[bundle] = report
}

// Forget drops the bundle and everything known of it.
func (r *Roll) Forget(bundle types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reports, bundle)
}

// Report returns what is known of the bundle; its maps are the caller's.
func (r *Roll) Report(bundle types.NamespacedName) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reports[bundle]
}

// Start asks until the context ends, and waits for questions under way.
func (*Roll) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// NeedLeaderElection keeps replicas that wait for the lease from asking.
func (*Roll) NeedLeaderElection() bool { return true }
