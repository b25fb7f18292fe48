package controller

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
)

// issuersOfKey says which issuers sign with a SigningKey, or verify with it.
func issuersOfKey(cache client.Reader) handler.EventHandler {
	return issuersWhere(cache, func(issuer *v1alpha1.TokenIssuer, key client.Object) bool {
		return usesKey(issuer, key.GetName())
	})
}

// issuersOfURL says which other issuers have the URL of one that comes, goes or
// changes.
func issuersOfURL(cache client.Reader) handler.EventHandler {
	return issuersWhere(cache, func(issuer *v1alpha1.TokenIssuer, object client.Object) bool {
		other, isIssuer := object.(*v1alpha1.TokenIssuer)
		return isIssuer && other.Name != issuer.Name && other.Spec.Issuer == issuer.Spec.Issuer
	})
}

// rivalsOf names the issuers of the namespace that sign under an issuer's URL with
// another SigningKey, in the order of the alphabet.
func rivalsOf(issuer *v1alpha1.TokenIssuer, all []v1alpha1.TokenIssuer) []string {
	var names []string
	for i := range all {
		other := &all[i]
		if other.Name != issuer.Name && other.Spec.Issuer == issuer.Spec.Issuer && other.Spec.SigningKeyRef.Name != issuer.Spec.SigningKeyRef.Name {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	return names
}

// usesKey reports whether an issuer signs or verifies with a SigningKey.
func usesKey(issuer *v1alpha1.TokenIssuer, key string) bool {
	return issuer.Spec.SigningKeyRef.Name == key || verifiesFor(issuer, func(provider *policy.Provider) bool { return refersToKey(provider, key) })
}

// verifiesFor reports whether one of the issuer's session providers matches.
func verifiesFor(issuer *v1alpha1.TokenIssuer, matches func(*policy.Provider) bool) bool {
	return issuer.Spec.Session != nil && slices.ContainsFunc(issuer.Spec.Session.Providers, func(p grant.SessionProvider) bool {
		return matches(&p.Provider)
	})
}

// keysOfIssuer says which SigningKeys an issuer signs or verifies with.
func keysOfIssuer() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		issuer, isIssuer := object.(*v1alpha1.TokenIssuer)
		if !isIssuer {
			return nil
		}
		names := []string{issuer.Spec.SigningKeyRef.Name}
		verifiesFor(issuer, func(provider *policy.Provider) bool {
			if provider.SigningKeyRef != nil {
				names = append(names, provider.SigningKeyRef.Name)
			}
			return false
		})
		requests := make([]reconcile.Request, len(names))
		for i, name := range names {
			requests[i].NamespacedName = types.NamespacedName{Namespace: issuer.Namespace, Name: name}
		}
		return requests
	})
}

// issuersOfClient says which issuers take an APIKey for an OAuth client.
func issuersOfClient(cache client.Reader) handler.EventHandler {
	return issuersWhere(cache, func(issuer *v1alpha1.TokenIssuer, object client.Object) bool {
		return selectsClient(verifying(issuer.Spec).APIKeyAuth, object)
	})
}

// issuersOfSecret says which issuers a Secret is about: the one whose bundle it
// is, those that refer to it, and those that use the SigningKey whose state it is.
func issuersOfSecret(cache client.Reader) handler.EventHandler {
	return issuersWhere(cache, func(issuer *v1alpha1.TokenIssuer, secret client.Object) bool {
		name := secret.GetName()
		key, isState := strings.CutSuffix(name, v1alpha1.StateSuffix)
		password := issuer.Spec.Password
		return name == v1alpha1.IssuerName(issuer.Name) || isState && usesKey(issuer, key) ||
			password != nil && password.UsersSecretRef.Name == name ||
			verifiesFor(issuer, func(provider *policy.Provider) bool {
				return provider.SecretRef != nil && provider.SecretRef.Name == name ||
					isSecretRef(caBundleRef(provider)) && caBundleRef(provider).Name == name
			})
	})
}

// issuersOfConfigMap says which issuers take a key set or certificates from a
// ConfigMap.
func issuersOfConfigMap(cache client.Reader) handler.EventHandler {
	return issuersWhere(cache, func(issuer *v1alpha1.TokenIssuer, configMap client.Object) bool {
		return verifiesFor(issuer, func(provider *policy.Provider) bool {
			local, ca := provider.LocalJWKS, caBundleRef(provider)
			return ca != nil && !isSecretRef(ca) && ca.Name == configMap.GetName() ||
				local != nil && local.ConfigMapRef != nil && local.ConfigMapRef.Name == configMap.GetName()
		})
	})
}

// issuersOfPod says whose issuer a pod is.
func issuersOfPod(_ context.Context, object client.Object) []reconcile.Request {
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return nil
	}
	name, isIssuer := strings.CutSuffix(issuerBundleOf(pod), v1alpha1.IssuerSuffix)
	if !isIssuer {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: name}}}
}

// issuersWhere must not change the issuers it looks at: they are the cache's.
func issuersWhere(cache client.Reader, concerns func(*v1alpha1.TokenIssuer, client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		var issuers v1alpha1.TokenIssuerList
		if !list(ctx, cache, &issuers, object.GetNamespace()) {
			return nil
		}
		var requests []reconcile.Request
		for i := range issuers.Items {
			if concerns(&issuers.Items[i], object) {
				requests = append(requests, requestFor(&issuers.Items[i]))
			}
		}
		return requests
	})
}
