package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// read gathers everything one policy depends on: policies, SigningKeys and pods
// from the cache, Secrets and ConfigMaps live.
func (r *policyReconciler) read(ctx context.Context, p *v1alpha1.AgentAuthPolicy) (policyWorld, error) {
	world := policyWorld{policy: p}
	var policies v1alpha1.AgentAuthPolicyList
	if err := r.client.List(ctx, &policies, client.InNamespace(p.Namespace)); err != nil {
		return world, fmt.Errorf("listing policies: %w", err)
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(p.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return world, fmt.Errorf("listing pods: %w", err)
	}
	r.switchboard.nudger.overlay(bundleKey(p), pods.Items)
	world.pods, world.claim = pods.Items, claimPods(p, policies.Items, pods.Items)
	secret, err := liveSecret(ctx, r.client, p.Namespace, v1alpha1.BundleName(p.Name))
	if err != nil {
		return world, err
	}
	world.last = readBundle(secret)
	world.hear(r.switchboard.roll.Report(bundleKey(p)), r.now())
	world.heard.tired = !r.switchboard.mayClimb(bundleKey(p), r.now())
	refs := references(p.Spec.Spec)
	if world.last.doc != nil {
		refs.add(world.last.doc.Spec)
	}
	if world.from, err = r.fetch(ctx, world, refs); err != nil {
		return world, err
	}
	objects, err := listClients(ctx, r.client, p.Namespace)
	world.from.clients = r.memo.judge(p.Namespace, objects, r.now())
	return world, err
}

// referenced are the names that policies refer to.
type referenced struct {
	secrets, configMaps, keys map[string]bool
}

func references(spec policy.Spec) referenced {
	refs := referenced{secrets: map[string]bool{}, configMaps: map[string]bool{}, keys: map[string]bool{}}
	refs.add(spec)
	return refs
}

func (r referenced) add(spec policy.Spec) {
	if spec.JWT == nil {
		return
	}
	for _, provider := range spec.JWT.Providers {
		switch {
		case provider.SigningKeyRef != nil:
			r.keys[provider.SigningKeyRef.Name] = true
		case provider.SecretRef != nil:
			r.secrets[provider.SecretRef.Name] = true
		case provider.LocalJWKS != nil && provider.LocalJWKS.ConfigMapRef != nil:
			r.configMaps[provider.LocalJWKS.ConfigMapRef.Name] = true
		case isSecretRef(caBundleRef(&provider)):
			r.secrets[caBundleRef(&provider).Name] = true
		case caBundleRef(&provider) != nil:
			r.configMaps[caBundleRef(&provider).Name] = true
		}
	}
}

// fetch reads what the names stand for. What does not exist has no entry.
func (r *policyReconciler) fetch(ctx context.Context, w policyWorld, refs referenced) (sources, error) {
	namespace := w.policy.Namespace
	from := sources{
		secrets: map[string]*corev1.Secret{}, configMaps: map[string]*corev1.ConfigMap{}, keys: map[string]signingSource{},
	}
	for _, name := range slices.Sorted(maps.Keys(refs.secrets)) {
		secret, err := liveSecret(ctx, r.client, namespace, name)
		if err != nil {
			return from, err
		}
		if secret != nil {
			from.secrets[name] = secret
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refs.configMaps)) {
		var configMap corev1.ConfigMap
		err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &configMap)
		if client.IgnoreNotFound(err) != nil {
			return from, fmt.Errorf("reading config map %s: %w", name, err)
		}
		if err == nil {
			from.configMaps[name] = &configMap
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refs.keys)) {
		source, err := r.signingSource(ctx, namespace, name)
		if err != nil {
			return from, err
		}
		if source.key != nil {
			from.keys[name] = source.unlessBehind(w.last.generation(name), w.seen.beyond[name])
		}
	}
	return from, nil
}

func (r *policyReconciler) signingSource(ctx context.Context, namespace, name string) (signingSource, error) {
	var key v1alpha1.SigningKey
	if err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &key); err != nil {
		if apierrors.IsNotFound(err) {
			return signingSource{}, nil
		}
		return signingSource{}, fmt.Errorf("reading signing key %s: %w", name, err)
	}
	secret, err := liveSecret(ctx, r.client, namespace, v1alpha1.StateName(name))
	if err != nil {
		return signingSource{}, err
	}
	source := signingSource{key: &key}
	if secret == nil || foreign(secret, &key) {
		return source, nil
	}
	if state, err := readState(secret); err == nil {
		source.state = state
	}
	return source, nil
}

// unlessBehind leaves out a state that somebody put back or edited: one older than
// what the status, the bundle or sidecars have seen, or one of another line, in which
// a key lives that the status calls revoked. Its keys may be removed or revoked
// ones, and it waits to be rebuilt.
func (s signingSource) unlessBehind(bundled int64, inForce edition) signingSource {
	if s.state == nil {
		return s
	}
	s.behind = inForce.generation > 0 && s.state.Behind(inForce.generation, inForce.kids)
	older := s.behind || s.state.Generation < max(s.key.Status.KeyGeneration, bundled)
	if older || s.state.Edited || s.state.Revives(s.key.Status.RevokedKeyIDs) {
		s.state = nil
	}
	return s
}

// checkInline reads key sets that stand in the policy itself, which package
// policy cannot: it knows no keys.
func checkInline(spec policy.Spec) []error {
	if spec.JWT == nil {
		return nil
	}
	var errs []error
	for i, provider := range spec.JWT.Providers {
		if provider.LocalJWKS == nil || provider.LocalJWKS.Inline == "" {
			continue
		}
		if set, bad := token.ParseJWKS([]byte(provider.LocalJWKS.Inline)); set.Len() == 0 {
			errs = append(errs, fmt.Errorf("spec.jwt.providers[%d].localJWKS.inline: it holds no usable public key: %w", i, errors.Join(bad...)))
		}
	}
	return errs
}
