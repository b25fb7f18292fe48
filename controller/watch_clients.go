package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// policiesOfClient says which policies select an APIKey. Of a change the APIKey
// as it was counts too, so that a policy that no longer selects it is woken.
func policiesOfClient(cache client.Reader) handler.EventHandler {
	return policiesWhere(cache, func(p *v1alpha1.AgentAuthPolicy, object client.Object) bool {
		return selectsClient(p.Spec.APIKeyAuth, object)
	})
}

// rivalsOfClient says which APIKeys have the client id or a key of this one:
// when it changes or goes, their turn may have come.
func rivalsOfClient(cache client.Reader) handler.EventHandler {
	return clientsWhere(cache, func(one *v1alpha1.APIKey, object client.Object) bool {
		changed, isClient := object.(*v1alpha1.APIKey)
		return isClient && one.Name != changed.Name && sharesWith(one, changed)
	})
}

// clientsOfPolicy says which APIKeys a policy selects: they count it.
func clientsOfPolicy(cache client.Reader) handler.EventHandler {
	return clientsWhere(cache, func(one *v1alpha1.APIKey, object client.Object) bool {
		p, isPolicy := object.(*v1alpha1.AgentAuthPolicy)
		return isPolicy && selectsClient(p.Spec.APIKeyAuth, one)
	})
}

func clientsWhere(cache client.Reader, concerns func(*v1alpha1.APIKey, client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		var clients v1alpha1.APIKeyList
		if !list(ctx, cache, &clients, object.GetNamespace()) {
			return nil
		}
		var requests []reconcile.Request
		for i := range clients.Items {
			if concerns(&clients.Items[i], object) {
				requests = append(requests, requestFor(&clients.Items[i]))
			}
		}
		return requests
	})
}

// clientChanged passes what people change, labels among it, and whether the
// APIKey is accepted: that alone may change when another one goes, or with time.
func clientChanged() predicate.Predicate {
	return predicate.Or(wantChanged(), predicate.LabelChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(update event.UpdateEvent) bool {
			was, wasClient := update.ObjectOld.(*v1alpha1.APIKey)
			now, isClient := update.ObjectNew.(*v1alpha1.APIKey)
			return wasClient && isClient && isAccepted(was) != isAccepted(now)
		},
	})
}

func isAccepted(object *v1alpha1.APIKey) bool {
	return meta.IsStatusConditionTrue(object.Status.Conditions, v1alpha1.ConditionAccepted)
}
