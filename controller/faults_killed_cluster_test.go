//go:build cluster

package controller_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/fleet"
)

// convergesWithin is how soon after a restart everything rests on one key again;
// a whole rotation takes about six seconds of it. It is asked of a soak, which has
// the machine to itself. Others wait for six times as long: how fast they are is
// printed, not judged.
func convergesWithin() time.Duration {
	const goal = 30 * time.Second
	if soak() > 1 {
		return goal
	}
	return 6 * goal
}

// story is something that happens to a key set from one rest to the next.
type story struct {
	key    func(namespace string) *v1alpha1.SigningKey
	begins func(t *testing.T, run *lane)
	lanes  int // how many key sets are killed side by side
	reads  int // at how many reads CI kills
}

// stories are the ways in which keys follow each other.
func stories() map[string]story {
	return map[string]story{
		"rotation": {
			key:   loopKey,
			lanes: 8, reads: 6,
			begins: func(t *testing.T, run *lane) {
				annotate(t, run.key, v1alpha1.AnnotationRotateNow, rand.Text())
			},
		},
		"issuer": {
			key: func(namespace string) *v1alpha1.SigningKey {
				key := loopKey(namespace)
				key.Spec.Signer, key.Spec.ExportTo = v1alpha1.SignerIssuer, nil
				return key
			},
			lanes: 4, reads: 3,
			begins: func(t *testing.T, run *lane) {
				annotate(t, run.key, v1alpha1.AnnotationRotateNow, rand.Text())
			},
		},
		"revocation": {
			key:   loopKey,
			lanes: 5, reads: 4,
			begins: func(t *testing.T, run *lane) {
				annotate(t, run.key, v1alpha1.AnnotationRevokeKey, run.witness.activeKID())
			},
		},
		"import": {
			key: func(namespace string) *v1alpha1.SigningKey {
				key := quickKey(namespace, "tokens")
				key.Spec.ExportTo = nil
				key.Spec.Source = v1alpha1.KeySource{Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "laravel", Key: "JWT_SECRET"}}
				return key
			},
			lanes: 5, reads: 4,
			begins: func(t *testing.T, run *lane) {
				patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"stringData":{"JWT_SECRET":%q}}`, rand.Text()+rand.Text()))
				if err := world.api.Patch(t.Context(), secretWith(run.key.Namespace, "laravel", nil), patch); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
}

// soak is the factor of GATEPOST_SOAK.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// A controller is killed at every call that a rotation, a revocation and the
// change of an imported value cost, in turn: once before the call reached the
// API server, once after it was carried out and before its answer came. Nothing
// it does after that gets through, and another is started. At every moment at
// most one key is active, signers have none that a bundle lacks, nothing is lost,
// and soon everything rests on one key.
func TestKilledAtEveryCall(t *testing.T) {
	alone(t)
	var group sync.WaitGroup
	for name, s := range stories() {
		group.Go(func() {
			t.Run(name, func(t *testing.T) { killAtEveryCall(t, name, s) })
		})
	}
	group.Wait()
}

// killAtEveryCall counts the calls of a story and then lets it fail at each.
func killAtEveryCall(t *testing.T, name string, s story) {
	var calls []string
	first := newLane(t, s)
	for range 2 {
		first.play(t, s, fault{})
		if sent := first.link.sent(); len(sent) > len(calls) {
			calls = sent
		}
	}
	faults := faultsOf(calls, s.reads*soak())
	queue := make(chan fault, len(faults))
	for _, f := range faults {
		queue <- f
	}
	close(queue)
	var group sync.WaitGroup
	runs := make([]*lane, s.lanes)
	for i := range runs {
		group.Go(func() {
			t.Run(fmt.Sprint("lane ", i), func(t *testing.T) {
				run := first
				if i > 0 {
					run = newLane(t, s)
				}
				runs[i] = run
				for f := range queue {
					run.play(t, s, f)
				}
			})
		})
	}
	group.Wait()
	tell(t, name, len(calls), runs)
}

// faultsOf are two at every call; in CI one at every write, lost now on its way
// and now on its way back, and some at reads, spread evenly.
func faultsOf(calls []string, reads int) []fault {
	var atWrites, atReads []fault
	count := map[string]int{}
	for i, call := range calls {
		count[call]++
		two := []fault{{call: call, nth: count[call]}, {call: call, nth: count[call], late: true}}
		switch {
		case strings.HasPrefix(call, http.MethodGet):
			atReads = append(atReads, two...)
		case soak() > 1:
			atWrites = append(atWrites, two...)
		default:
			atWrites = append(atWrites, two[i%2])
		}
	}
	for i := range min(reads, len(atReads)) {
		atWrites = append(atWrites, atReads[i*len(atReads)/min(reads, len(atReads))])
	}
	return atWrites
}

// lane is one key set, two policies that verify with it, guarded pods of each, a
// signer that sends its tokens to them all the time, and the controller that
// looks after them.
type lane struct {
	fleet    *fleet.Fleet
	signer   *fleet.Signer // nil where nothing is exported
	key      *v1alpha1.SigningKey
	policies []*v1alpha1.AgentAuthPolicy
	witness  *witness
	link     *link
	launch   func(t *testing.T, over *link) (stop func())
	stop     func()
	torn     bool // the exported Secret was torn by hand

	killed map[string]int // by call
	took   []time.Duration
}

func newLane(t *testing.T, s story) *lane {
	t.Helper()
	ns := quietNamespace(t)
	run := &lane{key: s.key(ns), killed: map[string]int{}, stop: func() {}}
	run.launch = func(t *testing.T, over *link) func() {
		t.Helper()
		return runController(t, over, controller.Config{WatchNamespaces: []string{ns}})
	}
	run.witness = observe(t, run.key)
	t.Cleanup(func() { run.stop() })
	run.start(t)
	if run.key.Spec.Source.SecretRef != nil {
		create(t, secretWith(ns, "laravel", map[string]string{"JWT_SECRET": rand.Text() + rand.Text()}))
	}
	create(t, run.key)
	for _, name := range []string{"chat", "tools"} {
		p := policyFor(ns, name)
		create(t, p)
		run.policies = append(run.policies, p)
	}
	if run.key.Spec.Signer == v1alpha1.SignerIssuer {
		create(t, tokenIssuer(ns, "auth"))
	}
	run.guard(t)
	run.settle(t, "at first", "", 2)
	return run
}

// podsOfALane is how many pods each policy guards.
const podsOfALane = 2

// guard starts the pods and lets the signer send tokens to them until the test
// ends, when none may have been refused.
func (run *lane) guard(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	f, err := fleet.New(ctx, fleet.Options{
		Config: world.cluster.Config, Namespace: run.key.Namespace, Image: sidecarImage,
		Told: fleet.Span{Min: 50 * time.Millisecond, Max: 400 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	run.fleet = f
	var sending sync.WaitGroup
	t.Cleanup(func() {
		stop()
		sending.Wait()
		run.judge(t)
	})
	limited, enough := context.WithTimeout(ctx, patience)
	defer enough()
	for _, p := range run.policies {
		if _, err := f.Add(limited, p.Name, podsOfALane); err != nil {
			t.Fatal(err)
		}
	}
	if run.key.Spec.Signer == v1alpha1.SignerIssuer {
		pods, err := f.Issuers(limited, "auth", 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods {
			run.signer = pod.Signer
			run.send(ctx, t, &sending, pod.Signer)
		}
		return
	}
	if run.key.Spec.ExportTo == nil {
		return
	}
	signer, err := f.Signer(limited, run.key.Spec.ExportTo.SecretName, string(run.key.Spec.Algorithm), fleet.Span{Max: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	run.signer = signer
	run.send(ctx, t, &sending, signer)
}

// send lets a signer sign for the pods of each policy.
func (run *lane) send(ctx context.Context, t *testing.T, sending *sync.WaitGroup, signer *fleet.Signer) {
	for _, p := range run.policies {
		sending.Go(func() {
			if err := run.fleet.Send(ctx, fleet.Traffic{Signer: signer, Policy: p.Name, Every: 200 * time.Millisecond}); err != nil {
				t.Error(err)
			}
		})
	}
}

// judge says what the pods saw that must not be.
func (run *lane) judge(t *testing.T) {
	t.Helper()
	counts := run.fleet.Counts()
	for _, violation := range counts.Violations {
		if run.torn && strings.Contains(violation, "reading the exported key") {
			continue // the signer goes on with the key that it has
		}
		t.Errorf("%s: %s", run.key.Namespace, violation)
	}
}

// quietNamespace is one that is made and deleted without a kubectl.
func quietNamespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "faults-"}}
	create(t, ns)
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(world.api.Delete(context.WithoutCancel(t.Context()), ns)); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() string {
		account := &corev1.ServiceAccount{}
		if err := world.api.Get(t.Context(), client.ObjectKey{Namespace: ns.Name, Name: "default"}, account); err != nil {
			return err.Error()
		}
		return ""
	})
	return ns.Name
}

// start runs a controller over a new link.
func (run *lane) start(t *testing.T) {
	t.Helper()
	run.link = newLink()
	run.link.arm(fault{}) // for the calls, should it not settle
	run.stop = run.launch(t, run.link)
}

// runController runs a controller with the chart's rights and short margins over
// a link. What is returned ends it as a kill would: nothing gets through any more.
func runController(t *testing.T, over *link, cfg controller.Config) (stop func()) {
	t.Helper()
	config := rest.CopyConfig(world.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		over.next = next
		return over
	})
	cfg.SidecarImage, cfg.IssuerImage, cfg.MetricsAddress, cfg.HealthAddress = sidecarImage, issuerImage, "0", "0"
	cfg.MinPrePublish, cfg.RetireMargin = time.Second, 2*time.Second
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	mgr, err := controller.New(config, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(inBackground(mgr, over))
}

func inBackground(mgr ctrl.Manager, over *link) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = mgr.Start(ctx) // what it ends with is of no interest: it was killed
	}()
	return func() {
		over.cut()
		cancel()
		<-ended
	}
}

// play lets the story happen once, with the controller killed as the fault says
// and started again.
func (run *lane) play(t *testing.T, s story, f fault) {
	t.Helper()
	run.revive(t)
	before := run.witness.activeKID()
	run.link.arm(f)
	s.begins(t, run)
	restarted := run.settle(t, f.String(), before, len(run.policies))
	if !restarted.IsZero() {
		run.took = append(run.took, time.Since(restarted))
	}
	for _, problem := range run.witness.findings() {
		t.Fatalf("%s: %s", f, problem)
	}
}

// settle waits until everything rests on one key other than the one before, and
// the objects say so. Should the controller die meanwhile it starts another, and
// returns when.
func (run *lane) settle(t *testing.T, after, before string, bundles int) (restarted time.Time) {
	t.Helper()
	var missing string
	for deadline := time.Now().Add(convergesWithin()); ; {
		if run.revive(t) {
			restarted = time.Now()
			deadline = restarted.Add(convergesWithin())
		}
		if missing = run.unsettled(t, before, bundles); missing == "" {
			return restarted
		}
		if time.Now().After(deadline) {
			sent := run.link.sent()
			t.Fatalf("%s: after %s: %s; %s; the last it sent: %q", after, convergesWithin(), missing, run.pods(), sent[max(0, len(sent)-12):])
		}
		run.witness.pause(run.link.died)
	}
}

// pods says how the pods fare.
func (run *lane) pods() string {
	text := fmt.Sprintf("%+v", run.fleet.Counts())
	if run.signer != nil {
		text += ", signing with " + run.signer.KID()
	}
	for _, pod := range run.fleet.Pods("") {
		text += fmt.Sprintf(", %s has revision %d", pod.Name, pod.Revision())
	}
	return text
}

// revive starts another controller if the last one has died.
func (run *lane) revive(t *testing.T) bool {
	t.Helper()
	at := run.link.lastWords()
	if at != "" {
		run.killed[at]++
		run.stop()
		run.start(t)
	}
	return at != ""
}

// unsettled says what is missing.
func (run *lane) unsettled(t *testing.T, before string, bundles int) string {
	t.Helper()
	kid, missing := run.witness.settledOn(before)
	if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(run.key), run.key); err != nil {
		return err.Error()
	}
	status := run.key.Status
	if missing != "" || run.witness.bundleCount() != bundles {
		return fmt.Sprintf("%s, in %d bundles; the status says %+v of %+v", missing, run.witness.bundleCount(), meta.FindStatusCondition(status.Conditions, rotating), status.Keys)
	}
	for kind, want := range map[string]string{ready: v1alpha1.ReasonReady, rotating: v1alpha1.ReasonIdle} {
		if got := meta.FindStatusCondition(status.Conditions, kind); got == nil || got.Reason != want {
			return fmt.Sprintf("%s is %+v, want %s; %s is active since the last change", kind, got, want, kid)
		}
	}
	if status.ActiveKeyID != kid || len(status.Keys) != 1 {
		return fmt.Sprintf("the status says %s of %v, want %s", status.ActiveKeyID, status.Keys, kid)
	}
	for _, p := range run.policies {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		if missing := has(p.Status.Conditions, programmed, yes, v1alpha1.ReasonProgrammed); missing != "" {
			return p.Name + ": " + missing
		}
		if revision := run.witness.revisionOf(v1alpha1.BundleName(p.Name)); p.Status.BundleRevision != revision {
			return fmt.Sprintf("%s: the status is of revision %d, the bundle of %d", p.Name, p.Status.BundleRevision, revision)
		}
	}
	return ""
}

// tell prints what was tried and how long it took.
func tell(t *testing.T, name string, counted int, runs []*lane) {
	t.Helper()
	if t.Failed() {
		return // lanes may be missing
	}
	killed, kinds, versions := 0, map[string]int{}, 0
	var accepted, refused int64
	var took []time.Duration
	for _, run := range runs {
		for at, n := range run.killed {
			killed += n
			kinds[at] += n
		}
		took = append(took, run.took...)
		versions += run.witness.versionCount()
		accepted += run.fleet.Counts().Accepted
		refused += run.fleet.Counts().Refused
	}
	slices.Sort(took)
	for _, at := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("killed %d times at %s", kinds[at], at)
	}
	if killed == 0 || len(took) == 0 || accepted == 0 && runs[0].signer != nil {
		t.Fatalf("%d controllers were killed and %d tokens sent: the test shows nothing", killed, accepted)
	}
	t.Logf("figure: killed_%s_calls %d calls", name, counted)
	t.Logf("figure: killed_%s_at %d calls", name, killed)
	t.Logf("figure: killed_%s_versions_checked %d secrets", name, versions)
	t.Logf("figure: killed_%s_tokens_accepted %d tokens", name, accepted)
	t.Logf("figure: killed_%s_valid_tokens_refused %d tokens", name, refused)
	t.Logf("figure: killed_%s_converged_median %.1f s", name, took[len(took)/2].Seconds())
	t.Logf("figure: killed_%s_converged_worst %.1f s", name, took[len(took)-1].Seconds())
}
