package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// policyReconciler keeps the bundle of every AgentAuthPolicy, tells the pods
// that mount it, and says how they fare.
type policyReconciler struct {
	client   client.Client // typed Secrets and ConfigMaps are read live
	recorder events.EventRecorder
	metrics  *metrics
	image    string
	random   io.Reader
	memo     *clientMemo
	now      func() time.Time

	switchboard *switchboard
}

func newPolicyReconciler(mgr ctrl.Manager, cfg Config, m *metrics, memo *clientMemo, s *switchboard) *policyReconciler {
	return &policyReconciler{
		client: mgr.GetClient(), recorder: mgr.GetEventRecorder(v1alpha1.FieldOwner), metrics: m,
		image: cfg.SidecarImage, random: cfg.Random, memo: memo, now: cfg.Now,
		switchboard: s,
	}
}

// add has the manager run the reconciler.
func (r *policyReconciler) add(mgr ctrl.Manager) error {
	cache := mgr.GetCache()
	err := ctrl.NewControllerManagedBy(mgr).Named("agentauthpolicy").
		For(&v1alpha1.AgentAuthPolicy{}, builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.AgentAuthPolicy{}, rivalsOfPolicy(cache), builder.WithPredicates(selectionChanged())).
		Watches(&v1alpha1.SigningKey{}, policiesOfKey(cache), builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.APIKey{}, policiesOfClient(cache), builder.WithPredicates(clientChanged())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(policiesOfSecret(cache)), builder.WithPredicates(predicate.Not(ourOwn()))).
		WatchesMetadata(&corev1.Secret{}, afterPause(policiesOfSecret(cache)), builder.WithPredicates(ourOwn())).
		WatchesMetadata(&corev1.ConfigMap{}, policiesOfConfigMap(cache)).
		Watches(&corev1.Pod{}, afterPause(policiesOfPod(cache)), builder.WithPredicates(podChanged())).
		WatchesRawSource(&r.switchboard.policies).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the AgentAuthPolicy controller: %w", err)
	}
	return nil
}

// policyWorld is everything read for one policy. What an issuer verifies with is
// read as if a policy said so.
type policyWorld struct {
	policy *v1alpha1.AgentAuthPolicy
	issues bool         // the policy stands for what an issuer verifies with
	pods   []corev1.Pod // all of the namespace
	claim  claim
	last   written
	from   sources
	seen   recollection

	heard hearing
}

// Reconcile reads, plans, applies and writes status once.
func (r *policyReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.AgentAuthPolicy
	if err := r.client.Get(ctx, request.NamespacedName, &p); err != nil {
		if apierrors.IsNotFound(err) {
			r.metrics.forgetPolicy(request.Namespace, request.Name)
			r.switchboard.forget(types.NamespacedName{Namespace: request.Namespace, Name: v1alpha1.BundleName(request.Name)})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if dissolves(&p) {
		return ctrl.Result{}, nil
	}
	world, err := r.read(ctx, &p)
	if err != nil {
		return ctrl.Result{}, err
	}
	if world.last.doc != nil && world.last.doc.Generation > p.Generation {
		return ctrl.Result{RequeueAfter: staleCachePause}, nil // written by another leader; the cache will catch up
	}
	view, err := r.bundle(ctx, world)
	if err != nil && view.bundle.refused == "" {
		return settled(err)
	}
	if view.early {
		r.call(world, view)
		return ctrl.Result{RequeueAfter: behindPause}, nil
	}
	r.tell(world, &view)
	r.call(world, view)
	if p.DeletionTimestamp != nil {
		return ctrl.Result{RequeueAfter: world.hearAgain()}, err
	}
	if err != nil {
		return ctrl.Result{}, errors.Join(err, r.report(ctx, &p, view)) // and try again
	}
	return unlessBehind(world.hearAgain(), r.report(ctx, &p, view))
}

// staleCachePause is how long to wait for a cache that is behind the Secret.
const staleCachePause = time.Second

// settled sorts the errors of writes: a terminating namespace needs nothing
// more, and a lost race is planned again without an error in the log.
func settled(err error) (ctrl.Result, error) {
	switch {
	case yields(err):
		return ctrl.Result{}, nil
	case errors.Is(err, errBehind):
		return ctrl.Result{RequeueAfter: behindPause}, nil
	case lostRace(err):
		return ctrl.Result{RequeueAfter: staleCachePause}, nil
	}
	return ctrl.Result{}, err
}

// view judges the policy as far as no write is needed.
func (w policyWorld) view() policyView {
	view := policyView{claim: w.claim, hasSelector: w.policy.Spec.Selector != nil}
	view.unsupported = prefixed(policy.Unsupported(w.policy.Spec.Spec))
	view.accepted, view.invalid = judgeSpec(w.policy)
	return view
}

// judgeSpec compiles the policy as a sidecar would, and returns it with its
// defaults. The error names every field that is wrong.
func judgeSpec(p *v1alpha1.AgentAuthPolicy) (policy.Spec, error) {
	var errs []error
	if _, err := selectorOf(p); err != nil {
		errs = append(errs, err)
	}
	compiled, err := policy.Compile(p.Spec.Spec)
	var fields policy.Errors
	switch {
	case errors.As(err, &fields):
		for _, field := range fields {
			errs = append(errs, field)
		}
	case err != nil:
		errs = append(errs, err)
	}
	errs = append(errs, checkInline(p.Spec.Spec)...)
	if len(errs) > 0 {
		return policy.Spec{}, joined(errs)
	}
	return compiled.Spec(), nil
}

// document is the policy as a sidecar reads it, if it is accepted. One that is
// being deleted, and that somebody's finalizer keeps, stays in force as it was last:
// its keys go on being updated and revoked.
func (w policyWorld) document(view policyView) *manifest.Document {
	if w.policy.DeletionTimestamp != nil || view.acceptance().status != metav1.ConditionTrue {
		return nil
	}
	return &manifest.Document{
		Name: w.policy.Name, Namespace: w.policy.Namespace, Generation: w.policy.Generation, Spec: w.policy.Spec.Spec,
	}
}

// bundle plans the bundle Secret and writes it.
func (r *policyReconciler) bundle(ctx context.Context, w policyWorld) (policyView, error) {
	view := w.view()
	taken := foreign(w.last.secret, w.policy)
	if taken {
		w.last = written{}
	}
	ackKey := make([]byte, ackKeyBytes)
	if _, err := io.ReadFull(r.random, ackKey); err != nil {
		return view, fmt.Errorf("making an acknowledgement key: %w", err)
	}
	plan := planBundle(bundleInput{
		accepted: w.document(view), last: w.last, from: w.from, floor: w.highestRevision(), ackKey: ackKey,
	})
	view.refs, view.warnings, view.bundle, view.file = plan.refs.problems, plan.refs.warnings, plan.view, plan.file
	if taken {
		view.bundle = bundleView{foreign: true}
		return view, nil
	}
	if plan.data == nil {
		return view, nil
	}
	if w.tooEarly(plan) {
		view.early, view.file = true, w.last.file
		return view, nil
	}
	secret := owned{
		owner: w.policy, kind: v1alpha1.KindAgentAuthPolicy, name: v1alpha1.BundleName(w.policy.Name),
		component: v1alpha1.ComponentBundle, annotations: plan.notes, data: plan.data,
	}
	if err := secret.apply(ctx, r.client, w.last.secret); err != nil {
		view.file, view.bundle = w.last.file, bundleView{
			revision: w.last.revision(), audit: audits(w.last.doc), refused: refusalOf(err),
		}
		return view, err
	}
	if plan.file.Revision != w.last.revision() { // keys wait for their bundles
		r.switchboard.keys.ring(0, w.policy.Namespace, w.last.changed(plan.file)...)
	}
	return view, nil
}

const ackKeyBytes = 32

// report writes what changed in the status, and tells about it.
func (r *policyReconciler) report(ctx context.Context, p *v1alpha1.AgentAuthPolicy, view policyView) error {
	status := *p.Status.DeepCopy()
	status.ObservedGeneration = p.Generation
	status.BundleRevision = max(status.BundleRevision, view.bundle.revision)
	status.Pods = view.pods.counts()
	status.Conditions = setConditions(status.Conditions, p.Generation, view.conditions()...)
	r.metrics.conditions(v1alpha1.KindAgentAuthPolicy, p, status.Conditions, goodPolicy())
	r.gauge(p, view.pods)
	if equality.Semantic.DeepEqual(status, p.Status) {
		return nil
	}
	if err := applyStatus(ctx, r.client, v1alpha1.KindAgentAuthPolicy, p, &status); err != nil {
		return err
	}
	emit(r.recorder, p, conditionEvents(p.Status.Conditions, status.Conditions, goodPolicy()))
	return nil
}

func (r *policyReconciler) gauge(p *v1alpha1.AgentAuthPolicy, pods podReport) {
	for state, count := range map[string]int{
		"selected": pods.selected, "injected": len(pods.injected), "programmed": len(pods.programmed),
		"outdated": len(pods.outdated), "uninjected": len(pods.uninjected), "port_taken": len(pods.portTaken),
	} {
		r.metrics.policyPods.WithLabelValues(p.Namespace, p.Name, state).Set(float64(count))
	}
}

// prefixed puts "spec." before paths that are relative to it.
func prefixed(fields []string) []string {
	list := make([]string, 0, len(fields))
	for _, field := range fields {
		list = append(list, "spec."+strings.TrimPrefix(field, "spec."))
	}
	return list
}

// joined is errors.Join on one line.
func joined(errs []error) error {
	texts := make([]string, 0, len(errs))
	for _, err := range errs {
		texts = append(texts, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return errors.New(strings.Join(texts, "; "))
}
