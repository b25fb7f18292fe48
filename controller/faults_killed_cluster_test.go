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
)

// convergesWithin is how soon after a restart everything rests on one key again.
// A whole rotation takes about six seconds of it.
const convergesWithin = 30 * time.Second

// story is something that happens to a key set from one rest to the next.
type story struct {
	key    func(namespace string) *v1alpha1.SigningKey
	begins func(t *testing.T, run *lane)
	lanes  int // how many key sets are killed side by side
	reads  int // at how many reads CI kills
}

// stories are the three ways in which keys follow each other.
func stories() map[string]story {
	return map[string]story{
		"rotation": {
			key:   func(namespace string) *v1alpha1.SigningKey { return quickKey(namespace, "tokens") },
			lanes: 8, reads: 16,
			begins: func(t *testing.T, run *lane) {
				annotate(t, run.key, v1alpha1.AnnotationRotateNow, rand.Text())
			},
		},
		"revocation": {
			key:   func(namespace string) *v1alpha1.SigningKey { return quickKey(namespace, "tokens") },
			lanes: 3, reads: 8,
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
			lanes: 4, reads: 8,
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
// and within half a minute everything rests on one key.
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

// faultsOf are two at every write, and at as many of the reads as are asked for,
// spread evenly.
func faultsOf(calls []string, reads int) []fault {
	var atWrites, atReads []fault
	count := map[string]int{}
	for _, call := range calls {
		count[call]++
		two := []fault{{call: call, nth: count[call]}, {call: call, nth: count[call], late: true}}
		if strings.HasPrefix(call, http.MethodGet) {
			atReads = append(atReads, two...)
		} else {
			atWrites = append(atWrites, two...)
		}
	}
	for i := range min(reads, len(atReads)) {
		atWrites = append(atWrites, atReads[i*len(atReads)/min(reads, len(atReads))])
	}
	return atWrites
}

// lane is one key set, two policies that verify with it, a guarded pod of each,
// and the controller that looks after them.
type lane struct {
	key      *v1alpha1.SigningKey
	policies []*v1alpha1.AgentAuthPolicy
	witness  *witness
	link     *link
	stop     func()

	killed  map[string]int // by call
	took    []time.Duration
	elapsed time.Duration
}

func newLane(t *testing.T, s story) *lane {
	t.Helper()
	ns := quietNamespace(t)
	run := &lane{key: s.key(ns), killed: map[string]int{}, stop: func() {}}
	run.witness = observe(t, run.key)
	t.Cleanup(func() { run.stop() })
	run.start(t)
	if run.key.Spec.Source.SecretRef != nil {
		create(t, secretWith(ns, "laravel", map[string]string{"JWT_SECRET": rand.Text() + rand.Text()}))
	}
	create(t, run.key)
	for _, name := range []string{"chat", "tools"} {
		p := policyFor(ns, name)
		pod := chatPod(ns, name+"-1", name)
		pod.Labels["app"] = name
		create(t, p)
		create(t, pod)
		sidecarIs(t, pod, serving())
		run.policies = append(run.policies, p)
	}
	run.settle(t, "at first", "", 2)
	return run
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
	run.stop = runController(t, run.link, controller.Config{WatchNamespaces: []string{run.key.Namespace}})
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
	cfg.SidecarImage, cfg.MetricsAddress, cfg.HealthAddress = sidecarImage, "0", "0"
	cfg.MinPrePublish, cfg.RetireMargin, cfg.Registerer = time.Second, 2*time.Second, prometheus.NewRegistry()
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
	for deadline := time.Now().Add(convergesWithin); ; {
		if run.revive(t) {
			restarted = time.Now()
			deadline = restarted.Add(convergesWithin)
		}
		if missing = run.unsettled(t, before, bundles); missing == "" {
			return restarted
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: after %s: %s; since it was armed it sent %q", after, convergesWithin, missing, run.link.sent())
		}
		run.witness.pause(run.link.died)
	}
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
	if missing != "" || run.witness.bundleCount() != bundles {
		return missing + ", of the bundles"
	}
	if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(run.key), run.key); err != nil {
		return err.Error()
	}
	status := run.key.Status
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
	}
	return ""
}

// tell prints what was tried and how long it took.
func tell(t *testing.T, name string, counted int, runs []*lane) {
	t.Helper()
	killed, kinds, versions := 0, map[string]int{}, 0
	var took []time.Duration
	for _, run := range runs {
		for at, n := range run.killed {
			killed += n
			kinds[at] += n
		}
		took = append(took, run.took...)
		versions += run.witness.versionCount()
	}
	slices.Sort(took)
	for _, at := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("killed %d times at %s", kinds[at], at)
	}
	if killed == 0 {
		t.Fatal("no controller was killed: the test shows nothing")
	}
	t.Logf("figure: killed_%s_calls %d calls", name, counted)
	t.Logf("figure: killed_%s_at %d calls", name, killed)
	t.Logf("figure: killed_%s_versions_checked %d secrets", name, versions)
	t.Logf("figure: killed_%s_converged_median %.1f s", name, took[len(took)/2].Seconds())
	t.Logf("figure: killed_%s_converged_worst %.1f s", name, took[len(took)-1].Seconds())
}
