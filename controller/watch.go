package controller

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

// keysOfSecret says which SigningKeys a Secret is about: the one whose state it
// is (by name, so that a deleted or foreign one counts too), those that import
// it and those that export to it.
func keysOfSecret(cache client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, secret client.Object) []reconcile.Request {
		var keys v1alpha1.SigningKeyList
		if !list(ctx, cache, &keys, secret.GetNamespace()) {
			return nil
		}
		var requests []reconcile.Request
		for i := range keys.Items {
			if keyConcerns(&keys.Items[i], secret) {
				requests = append(requests, requestFor(&keys.Items[i]))
			}
		}
		return requests
	})
}

func keyConcerns(key *v1alpha1.SigningKey, secret client.Object) bool {
	name := secret.GetName()
	imports := key.Spec.Source.SecretRef != nil && key.Spec.Source.SecretRef.Name == name
	exports := key.Spec.ExportTo != nil && key.Spec.ExportTo.SecretName == name
	return imports || exports || name == v1alpha1.StateName(key.Name) || metav1.IsControlledBy(secret, key)
}

// keysOfPolicy says which SigningKeys a policy refers to: its clock skew is part
// of their bounds, and its bundle is where their keys must arrive.
func keysOfPolicy() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		p, isPolicy := object.(*v1alpha1.AgentAuthPolicy)
		if !isPolicy {
			return nil
		}
		var requests []reconcile.Request
		refersTo(p, func(provider *policy.Provider) bool {
			if provider.SigningKeyRef != nil {
				name := types.NamespacedName{Namespace: p.Namespace, Name: provider.SigningKeyRef.Name}
				requests = append(requests, reconcile.Request{NamespacedName: name})
			}
			return false
		})
		return requests
	})
}

// policiesOfSecret says which policies a Secret is about: the one whose bundle
// it is, those that refer to it, and those that refer to the SigningKey whose
// state it is.
func policiesOfSecret(cache client.Reader) handler.MapFunc {
	return mapToPolicies(cache, func(p *v1alpha1.AgentAuthPolicy, secret client.Object) bool {
		name := secret.GetName()
		return name == v1alpha1.BundleName(p.Name) || refersTo(p, func(provider *policy.Provider) bool {
			byName := provider.SecretRef != nil && provider.SecretRef.Name == name ||
				isSecretRef(caBundleRef(provider)) && caBundleRef(provider).Name == name
			return byName || provider.SigningKeyRef != nil && v1alpha1.StateName(provider.SigningKeyRef.Name) == name
		})
	})
}

// ourOwn passes the Secrets that we write: bundles and states. Many keys of one
// policy change together, and what does not wait for others rings the bell.
func ourOwn() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(secret client.Object) bool { return reserved(secret.GetName()) })
}

// policiesOfKey says which policies refer to a SigningKey.
func policiesOfKey(cache client.Reader) handler.EventHandler {
	return policiesWhere(cache, func(p *v1alpha1.AgentAuthPolicy, key client.Object) bool {
		return refersTo(p, func(provider *policy.Provider) bool {
			return provider.SigningKeyRef != nil && provider.SigningKeyRef.Name == key.GetName()
		})
	})
}

// policiesOfConfigMap says which policies take a key set or certificates from a
// ConfigMap.
func policiesOfConfigMap(cache client.Reader) handler.EventHandler {
	return policiesWhere(cache, func(p *v1alpha1.AgentAuthPolicy, configMap client.Object) bool {
		return refersTo(p, func(provider *policy.Provider) bool {
			local, ca := provider.LocalJWKS, caBundleRef(provider)
			return ca != nil && !isSecretRef(ca) && ca.Name == configMap.GetName() || local != nil && local.ConfigMapRef != nil && local.ConfigMapRef.Name == configMap.GetName()
		})
	})
}

// policiesOfPod says which policies select a pod, and which one's bundle it
// mounts.
func policiesOfPod(cache client.Reader) handler.MapFunc {
	return mapToPolicies(cache, func(p *v1alpha1.AgentAuthPolicy, object client.Object) bool {
		pod, isPod := object.(*corev1.Pod)
		selector, err := selectorOf(p)
		selects := err == nil && selector.Matches(labels.Set(object.GetLabels()))
		return selects || isPod && bundleOf(pod) == v1alpha1.BundleName(p.Name)
	})
}

// rivalsOfPolicy says that a policy that comes, goes, or selects otherwise than
// before concerns all of its namespace: pods may change hands.
func rivalsOfPolicy(cache client.Reader) handler.EventHandler {
	return policiesWhere(cache, func(*v1alpha1.AgentAuthPolicy, client.Object) bool { return true })
}

// selectionChanged passes changes of a policy after which others may guard other
// pods than before.
func selectionChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		was, wasPolicy := update.ObjectOld.(*v1alpha1.AgentAuthPolicy)
		now, isPolicy := update.ObjectNew.(*v1alpha1.AgentAuthPolicy)
		return !wasPolicy || !isPolicy || (was.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) ||
			was.Spec.AllowOptOut != now.Spec.AllowOptOut || !equality.Semantic.DeepEqual(was.Spec.Selector, now.Spec.Selector)
	}}
}

func policiesWhere(cache client.Reader, concerns func(*v1alpha1.AgentAuthPolicy, client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(mapToPolicies(cache, concerns))
}

// podPause gathers the changes of pods, and of our own Secrets, before their
// policies are reconciled, which looks at every pod and every key: a rollout
// changes many, each of them several times.
const podPause = 250 * time.Millisecond

// afterPause enqueues what an object concerns after podPause; what is enqueued
// meanwhile is one with it.
func afterPause(concerned handler.MapFunc) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, object := range objects {
			for _, request := range concerned(ctx, object) {
				q.AddAfter(request, podPause)
			}
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, q, e.Object) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { enqueue(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, q, e.Object) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { enqueue(ctx, q, e.Object) },
	}
}

// mapToPolicies must not change the policies it looks at: they are the cache's.
func mapToPolicies(cache client.Reader, concerns func(*v1alpha1.AgentAuthPolicy, client.Object) bool) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		var policies v1alpha1.AgentAuthPolicyList
		if !list(ctx, cache, &policies, object.GetNamespace()) {
			return nil
		}
		var requests []reconcile.Request
		for i := range policies.Items {
			if concerns(&policies.Items[i], object) {
				requests = append(requests, requestFor(&policies.Items[i]))
			}
		}
		return requests
	}
}

func refersTo(p *v1alpha1.AgentAuthPolicy, matches func(*policy.Provider) bool) bool {
	if p.Spec.JWT == nil {
		return false
	}
	return slices.ContainsFunc(p.Spec.JWT.Providers, func(provider policy.Provider) bool { return matches(&provider) })
}

// list reads from the cache, where an error means that the caches are stopping.
// What is in it is the cache's and must not be changed.
func list(ctx context.Context, cache client.Reader, into client.ObjectList, namespace string) bool {
	if err := cache.List(ctx, into, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "mapping an event to objects")
		return false
	}
	return true
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}}
}

// wantChanged passes what people change: the spec, and annotations, which are
// verbs. Our own status writes do not wake us.
func wantChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// podChanged passes changes of what stripPod keeps, except that a pod was told of
// a later revision: that was the nudger, and comes once for each pod.
func podChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		was, wasPod := update.ObjectOld.(*corev1.Pod)
		now, isPod := update.ObjectNew.(*corev1.Pod)
		if !wasPod || !isPod {
			return true
		}
		return living(was) != living(now) ||
			!maps.Equal(was.Labels, now.Labels) ||
			!annotationsAgree(was.Annotations, now.Annotations) ||
			!equality.Semantic.DeepEqual(was.Status, now.Status) ||
			!equality.Semantic.DeepEqual(was.Spec, now.Spec)
	}}
}

// annotationsAgree reports whether nothing changed but that the revision went up.
func annotationsAgree(was, now map[string]string) bool {
	const name = v1alpha1.AnnotationBundleRevision
	before, _ := strconv.ParseInt(was[name], 10, 64) // what is no number is below all
	after, err := strconv.ParseInt(now[name], 10, 64)
	rest := func(all map[string]string) map[string]string {
		others := maps.Clone(all)
		delete(others, name)
		return others
	}
	if was[name] != now[name] && (err != nil || after < before) {
		return false
	}
	return maps.Equal(rest(was), rest(now))
}
