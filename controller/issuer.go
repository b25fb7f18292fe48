package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// issuerReconciler runs every TokenIssuer: it keeps the bundle with the key that
// signs and what sessions are verified with, the Deployment and the Service, and
// says how the pods fare.
type issuerReconciler struct {
	client   client.Client     // typed Secrets and ConfigMaps are read live
	policies *policyReconciler // reads what session providers refer to
	parts    *applier
	accounts *clusterKeys
	recorder events.EventRecorder
	metrics  *metrics
	image    issuerImage
	random   io.Reader
	now      func() time.Time

	switchboard *switchboard
}

func addIssuers(mgr ctrl.Manager, cfg Config, m *metrics, policies *policyReconciler) error {
	accounts, err := newClusterKeys(mgr.GetConfig(), cfg.Now)
	if err != nil {
		return err
	}
	r := &issuerReconciler{
		client: mgr.GetClient(), policies: policies, recorder: mgr.GetEventRecorder(v1alpha1.FieldOwner), metrics: m,
		parts: &applier{cache: mgr.GetCache(), live: mgr.GetAPIReader(), writer: mgr.GetClient()}, accounts: accounts,
		image: issuerImage{name: cfg.IssuerImage, pull: cfg.IssuerPullPolicy}, random: cfg.Random, now: cfg.Now,
		switchboard: policies.switchboard,
	}
	cache := mgr.GetCache()
	err = ctrl.NewControllerManagedBy(mgr).Named("tokenissuer").
		For(&v1alpha1.TokenIssuer{}, builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.TokenIssuer{}, issuersOfURL(cache), builder.WithPredicates(wantChanged())).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}, builder.OnlyMetadata).
		Owns(&corev1.ServiceAccount{}, builder.OnlyMetadata).
		Owns(&policyv1.PodDisruptionBudget{}, builder.OnlyMetadata, builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.SigningKey{}, issuersOfKey(cache), builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.APIKey{}, issuersOfClient(cache), builder.WithPredicates(clientChanged())).
		WatchesMetadata(&corev1.Secret{}, issuersOfSecret(cache)).
		WatchesMetadata(&corev1.ConfigMap{}, issuersOfConfigMap(cache)).
		Watches(&corev1.Pod{}, afterPause(issuersOfPod), builder.WithPredicates(podChanged())).
		WatchesRawSource(&r.switchboard.issuers).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the TokenIssuer controller: %w", err)
	}
	return nil
}

// Reconcile reads, plans, applies and writes status once.
func (r *issuerReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var issuer v1alpha1.TokenIssuer
	if err := r.client.Get(ctx, request.NamespacedName, &issuer); err != nil {
		if apierrors.IsNotFound(err) {
			issuer.Namespace, issuer.Name = request.Namespace, request.Name
			r.metrics.forgetIssuer(request.Namespace, request.Name)
			r.switchboard.forget(issuerKey(&issuer))
			r.parts.forget(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if dissolves(&issuer) {
		return ctrl.Result{}, nil
	}
	world, err := r.read(ctx, &issuer)
	if err != nil {
		return ctrl.Result{}, err
	}
	if world.had.doc != nil && world.had.doc.Generation > issuer.Generation {
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
	return r.carryOut(ctx, world, view, err)
}

// carryOut runs what the bundle is for, and tells of it. failed is why the bundle
// could not be written.
func (r *issuerReconciler) carryOut(ctx context.Context, w issuerWorld, view issuerView, failed error) (ctrl.Result, error) {
	if w.issuer.DeletionTimestamp != nil { // somebody's finalizer keeps it, and its pods go on
		r.tell(w, view)
		r.call(w, view)
		return ctrl.Result{RequeueAfter: sooner(w.hearAgain(), w.accounts.again)}, failed
	}
	failed = errors.Join(failed, r.run(ctx, w, &view))
	r.tell(w, view)
	r.call(w, view)
	view.pods = w.judgePods(view)
	err := r.report(ctx, w.issuer, view)
	if failed != nil && !yields(failed) {
		return ctrl.Result{}, errors.Join(failed, err) // and try again
	}
	return unlessBehind(sooner(w.hearAgain(), w.accounts.again), err)
}

// run keeps the Deployment and what else the pods need. Without a bundle there is
// nothing to run: pods would wait for it.
func (r *issuerReconciler) run(ctx context.Context, w issuerWorld, view *issuerView) error {
	if view.bundle.revision == 0 || view.bundle.foreign || view.spec == nil || r.image.name == "" {
		view.imageless = r.image.name == ""
		return nil
	}
	load := workload{issuer: w.issuer, spec: *view.spec, image: r.image, revision: view.bundle.revision}
	load.revision = leastRevision(w.deployment, load)
	objects, err := load.objects()
	if err != nil {
		return err
	}
	for _, object := range objects {
		err := r.parts.keep(ctx, object, w.issuer)
		switch {
		case errors.Is(err, errForeign):
			view.conflict = err.Error()
			return nil
		case refusalOf(err) != "":
			view.refused = fmt.Sprintf("%s %s (%s)", object.GetKind(), object.GetName(), refusalOf(err))
			return err
		case err != nil && !lostRace(err):
			return err
		}
	}
	return nil
}

// tell has the pods told that mount the bundle and were not told of its revision.
func (r *issuerReconciler) tell(w issuerWorld, view issuerView) {
	if view.bundle.revision == 0 || view.bundle.foreign {
		r.switchboard.nudger.forget(issuerKey(w.issuer))
		return
	}
	r.switchboard.nudger.expect(issuerKey(w.issuer), view.bundle.revision, w.from.urgent(), w.pods)
}

// report writes what changed in the status, and tells about it.
func (r *issuerReconciler) report(ctx context.Context, issuer *v1alpha1.TokenIssuer, view issuerView) error {
	status := view.status(issuer)
	r.metrics.conditions(v1alpha1.KindTokenIssuer, issuer, status.Conditions, goodIssuer())
	for state, count := range view.pods.counts() {
		r.metrics.issuerPods.WithLabelValues(issuer.Namespace, issuer.Name, state).Set(float64(count))
	}
	if equality.Semantic.DeepEqual(status, issuer.Status) {
		return nil
	}
	if err := applyStatus(ctx, r.client, v1alpha1.KindTokenIssuer, issuer, &status); err != nil {
		return err
	}
	emit(r.recorder, issuer, conditionEvents(issuer.Status.Conditions, status.Conditions, goodIssuer()))
	return nil
}
