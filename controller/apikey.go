package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
)

// clientReconciler says of every APIKey whether its keys are let in. It writes
// nothing but status: the keys reach the sidecars in the bundles of policies.
type clientReconciler struct {
	client   client.Client
	recorder events.EventRecorder
	metrics  *metrics
	memo     *clientMemo
	shown    map[string]map[string]bool // the APIKeys with series, by namespace
	now      func() time.Time
}

func addAPIKeys(mgr ctrl.Manager, cfg Config, m *metrics, memo *clientMemo) error {
	r := &clientReconciler{
		client: mgr.GetClient(), recorder: mgr.GetEventRecorder(v1alpha1.FieldOwner), metrics: m,
		memo: memo, shown: map[string]map[string]bool{}, now: cfg.Now,
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("apikey").
		Watches(&v1alpha1.APIKey{}, handler.EnqueueRequestsFromMapFunc(namespaceRequest), builder.WithPredicates(clientChanged())).
		Watches(&v1alpha1.AgentAuthPolicy{}, handler.EnqueueRequestsFromMapFunc(namespaceRequest), builder.WithPredicates(wantChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the APIKey controller: %w", err)
	}
	return nil
}

// Reconcile judges all APIKeys of a namespace against each other, and writes the
// statuses that differ. One that cannot be written does not keep it from the rest.
func (r *clientReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	objects, err := listClients(ctx, r.client, request.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	var policies v1alpha1.AgentAuthPolicyList
	if err := r.client.List(ctx, &policies, client.InNamespace(request.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing policies: %w", err)
	}
	now := r.now()
	judged := r.memo.judge(request.Namespace, objects, now)
	r.forget(request.Namespace, judged)
	var again time.Duration
	var errs []error
	for _, one := range judged {
		err := r.report(ctx, one.object, clientStatus(one, policies.Items, now))
		if lostRace(err) {
			again, err = sooner(again, behindPause), nil
		}
		errs = append(errs, err)
		again = sooner(again, untilExpiry(one, now))
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(errs...)
}

// forget drops the series of APIKeys that are gone. There is one worker.
func (r *clientReconciler) forget(namespace string, judged []apiClient) {
	names := make(map[string]bool, len(judged))
	for _, one := range judged {
		names[one.object.Name] = true
	}
	for name := range r.shown[namespace] {
		if !names[name] {
			r.metrics.forgetConditions(v1alpha1.KindAPIKey, namespace, name)
		}
	}
	if r.shown[namespace] = names; len(names) == 0 {
		delete(r.shown, namespace)
	}
}

// untilExpiry is when the status will change by itself; zero: never.
func untilExpiry(one apiClient, now time.Time) time.Duration {
	_, next := apikey.Live(one.object.Spec, now)
	if next.IsZero() {
		return 0
	}
	return next.Sub(now) + time.Second
}

// goodClient is the status each condition of an APIKey should have.
func goodClient() map[string]metav1.ConditionStatus {
	return map[string]metav1.ConditionStatus{v1alpha1.ConditionAccepted: metav1.ConditionTrue}
}

// clientEvents tells what became of an APIKey. One that takes the place of an
// older one is worth a warning: other keys are let in under the same name now.
func clientEvents(object *v1alpha1.APIKey, before, after []metav1.Condition) []notice {
	was := meta.FindStatusCondition(before, v1alpha1.ConditionAccepted)
	duplicate := was != nil && (was.Reason == v1alpha1.ReasonDuplicateClientID || was.Reason == v1alpha1.ReasonDuplicateKey)
	untouched := duplicate && was.ObservedGeneration == object.Generation && !object.Spec.Suspend
	if untouched && meta.IsStatusConditionTrue(after, v1alpha1.ConditionAccepted) {
		return []notice{{warning: true, reason: v1alpha1.ReasonTakenOver, note: shorten(fmt.Sprintf(
			"the older APIKey is gone or changed, and the keys of APIKey %s are let in as client %s now; before: %s", object.Name, object.Spec.ClientID, was.Message))}}
	}
	list := conditionEvents(before, after, goodClient())
	for i := range list {
		list[i].note = shorten(fmt.Sprintf("APIKey %s: %s", object.Name, list[i].note))
	}
	return list
}

// report writes what changed in the status, and tells about it.
func (r *clientReconciler) report(ctx context.Context, object *v1alpha1.APIKey, status v1alpha1.APIKeyStatus) error {
	r.metrics.conditions(v1alpha1.KindAPIKey, object, status.Conditions, goodClient())
	if equality.Semantic.DeepEqual(status, object.Status) {
		return nil
	}
	if err := applyStatus(ctx, r.client, v1alpha1.KindAPIKey, object, &status); err != nil {
		return err
	}
	emit(r.recorder, object, clientEvents(object, object.Status.Conditions, status.Conditions))
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
