package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Span is a length of time between Min and Max, chosen anew each time.
type Span struct{ Min, Max time.Duration }

// Options are where a Fleet lives and how fast it is. The zero value of a field
// means its default.
type Options struct {
	// Config reaches the API server as an administrator. Required.
	Config *rest.Config
	// Namespace holds pods, policies and keys. Required.
	Namespace string
	// Image is that of the sidecar containers; default Image.
	Image string
	// Told is how long a changed bundle takes into the mount of a pod that was
	// annotated; default 0.1 to 1 s. Untold is the same without; default 7 to 80 s.
	Told, Untold Span
	// Parallel is how many requests to the API server are under way at once; default 32.
	Parallel int
	// Seed makes the delays repeatable.
	Seed uint64
}

// Image is the sidecar's image unless Options say otherwise.
const Image = "example.com/gatepost-sidecar:test"

// Fleet is the pods and signers of one namespace. Its methods may be used
// concurrently.
type Fleet struct {
	options Options
	api     client.Client
	server  *http.Server
	objects cache.Store     // of pods, as last seen
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	ledger  ledger

	mu        sync.Mutex
	random    *rand.Rand
	next      int             // number of the next pod
	pods      map[string]*Pod // by name
	byAddress map[netip.AddrPort]*Pod
	bundles   map[string]*edition   // the latest of each, by the Secret's name
	exports   map[string]exported   // by the Secret's name
	signers   map[string][]*Signer  // by the Secret's name
	changed   map[chan struct{}]any // told whenever a bundle, pod or export changed
}

// New starts to watch the namespace and returns once it has seen what is there.
// It goes on until Close; with the end of ctx nothing more happens to pods.
func New(ctx context.Context, o Options) (*Fleet, error) {
	o.Image = cmp.Or(o.Image, Image)
	o.Told = cmp.Or(o.Told, Span{Min: 100 * time.Millisecond, Max: time.Second})
	o.Untold = cmp.Or(o.Untold, Span{Min: 7 * time.Second, Max: 80 * time.Second})
	o.Parallel = cmp.Or(o.Parallel, 32)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	api, err := client.New(o.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client for a fleet: %w", err)
	}
	clients, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("making a client for a fleet: %w", err)
	}
	f := &Fleet{
		options: o, api: api,
		random: rand.New(rand.NewPCG(o.Seed, 1)), //nolint:gosec // delays need no secrecy
		pods:   map[string]*Pod{}, byAddress: map[netip.AddrPort]*Pod{}, bundles: map[string]*edition{}, exports: map[string]exported{},
		signers: map[string][]*Signer{}, changed: map[chan struct{}]any{},
	}
	f.serveStates()
	var end context.CancelFunc
	f.ctx, end = context.WithCancel(ctx)
	f.end = func() { end(); f.hangUp() }
	return f, f.watch(clients)
}

// Close ends the verifiers, signers and watches. Objects stay; they go with
// their namespace.
func (f *Fleet) Close() { f.end() }

// watch begins the watches and waits for what is there.
func (f *Fleet) watch(clients kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(f.options.Namespace))
	pods, secrets := factory.Core().V1().Pods().Informer(), factory.Core().V1().Secrets().Informer()
	f.objects = pods.GetStore()
	errs := []error{pods.SetTransform(stripPod)}
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, now any) { f.podSeen(now) },
		DeleteFunc: func(last any) { f.podGone(last) },
	})
	errs = append(errs, err)
	_, err = secrets.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(now any) { f.secretSeen(now) },
		UpdateFunc: func(_, now any) { f.secretSeen(now) },
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("watching namespace %s: %w", f.options.Namespace, err)
	}
	factory.StartWithContext(f.ctx)
	if !cache.WaitForCacheSync(f.ctx.Done(), pods.HasSynced, secrets.HasSynced) {
		return fmt.Errorf("watching namespace %s: %w", f.options.Namespace, f.ctx.Err())
	}
	return nil
}

// stripPod keeps of a pod what kubelets act upon.
func stripPod(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion, Annotations: pod.Annotations,
		}}, nil
	}
	return object, nil
}

// secretSeen takes in what the controller wrote.
func (f *Fleet) secretSeen(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	switch secret.Labels[v1alpha1.LabelComponent] {
	case v1alpha1.ComponentBundle:
		f.bundleChanged(secret)
	case v1alpha1.ComponentState:
		f.ledger.stateChanged(secret)
	case v1alpha1.ComponentExport:
		f.exportChanged(secret)
	}
}

// Pods are the living pods of a policy, in the order of their names; all when
// the policy is empty.
func (f *Fleet) Pods(policy string) []*Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*Pod
	for _, name := range slices.Sorted(maps.Keys(f.pods)) {
		if pod := f.pods[name]; policy == "" || pod.Policy == policy {
			found = append(found, pod)
		}
	}
	return found
}

// Counts is what was seen until now.
func (f *Fleet) Counts() Counts { return f.ledger.counts() }

// pick chooses from the span.
func (f *Fleet) pick(s Span) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.Min + time.Duration(f.random.Int64N(int64(s.Max-s.Min)))
}

// below is a number in [0,n).
func (f *Fleet) below(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

// after calls do when d is over, unless the Fleet was closed.
func (f *Fleet) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		if f.ctx.Err() == nil {
			do()
		}
	})
}

// until waits until done says so; it is asked again after every change.
func (f *Fleet) until(ctx context.Context, done func() bool) error {
	changed := make(chan struct{}, 1)
	f.mu.Lock()
	f.changed[changed] = nil
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.changed, changed)
	}()
	for !done() {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ctx.Done():
			return errors.New("the fleet is closed")
		}
	}
	return nil
}

// tellWaiters wakes everybody in until. f.mu is held.
func (f *Fleet) tellWaiters() {
	for changed := range f.changed {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
