package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
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

// namespaceRequest asks for the APIKeys of the object's namespace, all of them at
// once: what one of them does may change what becomes of any younger one.
func namespaceRequest(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace()}}}
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
