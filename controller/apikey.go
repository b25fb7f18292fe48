package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
)

// clientReconciler says of every APIKey whether its keys are let in. It writes
// nothing but status: the keys reach the sidecars in the bundles of policies.
type clientReconciler struct {
	client   client.Client
	recorder events.EventRecorder
	metrics  *metrics
	now      func() time.Time
}

func addAPIKeys(mgr ctrl.Manager, cfg Config, m *metrics) error {
	r := &clientReconciler{
		client: mgr.GetClient(), recorder: mgr.GetEventRecorder(v1alpha1.FieldOwner), metrics: m, now: cfg.Now,
	}
	cache := mgr.GetCache()
	err := ctrl.NewControllerManagedBy(mgr).Named("apikey").
		For(&v1alpha1.APIKey{}, builder.WithPredicates(clientChanged())).
		Watches(&v1alpha1.APIKey{}, rivalsOfClient(cache), builder.WithPredicates(clientChanged())).
		Watches(&v1alpha1.AgentAuthPolicy{}, clientsOfPolicy(cache), builder.WithPredicates(wantChanged())).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the APIKey controller: %w", err)
	}
	return nil
}

// Reconcile reads, judges and writes status once.
func (r *clientReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var object v1alpha1.APIKey
	if err := r.client.Get(ctx, request.NamespacedName, &object); err != nil {
		if apierrors.IsNotFound(err) {
			r.metrics.forgetConditions(v1alpha1.KindAPIKey, request.Namespace, request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if object.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	all, err := listClients(ctx, r.client, object.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	var policies v1alpha1.AgentAuthPolicyList
	if err := r.client.List(ctx, &policies, client.InNamespace(object.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing policies: %w", err)
	}
	now := r.now()
	for _, one := range judgeClients(all, checkClient, now) {
		if one.object.UID == object.UID {
			status := clientStatus(one, policies.Items, now)
			return ctrl.Result{RequeueAfter: untilExpiry(one, now)}, r.report(ctx, one.object, status)
		}
	}
	return ctrl.Result{}, nil // gone from the cache meanwhile
}

// untilExpiry is when the status will change by itself; zero: never.
func untilExpiry(one apiClient, now time.Time) time.Duration {
	_, next := apikey.Live(one.object.Spec, now)
	if next.IsZero() {
		return 0
	}
	return next.Sub(now) + time.Second
}

// report writes what changed in the status, and tells about it.
func (r *clientReconciler) report(ctx context.Context, object *v1alpha1.APIKey, status v1alpha1.APIKeyStatus) error {
	good := map[string]metav1.ConditionStatus{v1alpha1.ConditionAccepted: metav1.ConditionTrue}
	r.metrics.conditions(v1alpha1.KindAPIKey, object, status.Conditions, good)
	if equality.Semantic.DeepEqual(status, object.Status) {
		return nil
	}
	if err := applyStatus(ctx, r.client, v1alpha1.KindAPIKey, object, &status); err != nil {
		return err
	}
	emit(r.recorder, object, conditionEvents(object.Status.Conditions, status.Conditions, good))
	return nil
}

// listClients reads the APIKeys of a namespace from the cache.
func listClients(ctx context.Context, reader client.Reader, namespace string) ([]v1alpha1.APIKey, error) {
	var all v1alpha1.APIKeyList
	if err := reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing API keys: %w", err)
	}
	return all.Items, nil
}
