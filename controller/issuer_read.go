package controller

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
)

// issuerWorld is everything read for one TokenIssuer.
type issuerWorld struct {
	policyWorld // what it verifies with, and its pods

	issuer     *v1alpha1.TokenIssuer
	had        writtenIssuer
	deployment *appsv1.Deployment // nil: there is none with our label
	accounts   accountsRead
	selecting  string               // a policy that selects the issuer's pods; empty: none does
	rivals     []string             // issuers of the same URL with other keys
	proved     map[types.UID]string // by pod, the key that it proved to sign with
}

// accountsRead is what is known of the keys of service accounts.
type accountsRead struct {
	text  []byte // serviceaccounts.json; nil: none
	err   error
	again time.Duration // when to ask; zero: nobody wants to know
}

// standIn is the policy that would verify what an issuer does: its sessions, and
// its clients' keys. Where keys come from, and what becomes of them while their
// source is gone, is the same for both.
func standIn(issuer *v1alpha1.TokenIssuer) *v1alpha1.AgentAuthPolicy {
	return &v1alpha1.AgentAuthPolicy{
		ObjectMeta: issuer.ObjectMeta,
		Spec:       v1alpha1.AgentAuthPolicySpec{Spec: verifying(issuer.Spec)},
		Status:     v1alpha1.AgentAuthPolicyStatus{BundleRevision: issuer.Status.BundleRevision},
	}
}

// verifying is what an issuer verifies, as a policy would write it.
func verifying(spec grant.Spec) policy.Spec {
	var same policy.Spec
	if session := spec.Session; session != nil && len(session.Providers) > 0 {
		same.JWT = &policy.JWT{}
		for _, provider := range session.Providers {
			same.JWT.Providers = append(same.JWT.Providers, provider.Provider)
		}
	}
	if spec.Clients != nil {
		same.APIKeyAuth = &policy.APIKeyAuth{CredentialSelector: spec.Clients.CredentialSelector}
	}
	return same
}

// read gathers everything one TokenIssuer depends on: other objects from the
// cache, Secrets and ConfigMaps live.
func (r *issuerReconciler) read(ctx context.Context, issuer *v1alpha1.TokenIssuer) (issuerWorld, error) {
	w := issuerWorld{issuer: issuer, policyWorld: policyWorld{policy: standIn(issuer), issues: true}}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(issuer.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return w, fmt.Errorf("listing pods: %w", err)
	}
	bundle := issuerKey(issuer)
	r.switchboard.nudger.overlay(bundle, pods.Items)
	w.pods = issuersOwn(pods.Items, bundle.Name)
	w.claim.pods = w.pods
	secret, err := liveSecret(ctx, r.client, issuer.Namespace, bundle.Name)
	if err != nil {
		return w, err
	}
	w.had = readIssuerBundle(secret)
	w.last = w.had.written
	report := r.switchboard.roll.Report(bundle)
	w.proved = provedKeys(report, issuer.Spec.SigningKeyRef.Name)
	w.hear(report, r.now())
	w.heard.tired = !r.switchboard.mayClimb(bundle, r.now())
	if w.from, err = r.policies.fetch(ctx, w.policyWorld, w.references()); err != nil {
		return w, err
	}
	objects, err := listClients(ctx, r.client, issuer.Namespace)
	if err != nil {
		return w, err
	}
	w.from.clients = r.policies.memo.judge(issuer.Namespace, objects, r.now())
	w.deployment, err = r.parts.deployment(ctx, types.NamespacedName{Namespace: issuer.Namespace, Name: v1alpha1.IssuerWorkload(issuer.Name)})
	if err != nil {
		return w, err
	}
	if w.exchanges() {
		w.accounts.text, w.accounts.again, w.accounts.err = r.accounts.document(ctx)
	}
	var issuers v1alpha1.TokenIssuerList
	if err := r.client.List(ctx, &issuers, client.InNamespace(issuer.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return w, fmt.Errorf("listing issuers: %w", err)
	}
	w.rivals = rivalsOf(issuer, issuers.Items)
	w.selecting, err = r.selecting(ctx, issuer)
	return w, err
}

// issuersOwn are the pods of one issuer, among those of its namespace.
func issuersOwn(pods []corev1.Pod, bundle string) []corev1.Pod {
	var own []corev1.Pod
	for i := range pods {
		if mounts(&pods[i], bundle) {
			own = append(own, pods[i])
		}
	}
	return own
}

// references are the names that the issuer refers to, now and in its bundle.
func (w issuerWorld) references() referenced {
	refs := references(w.policy.Spec.Spec)
	specs := []grant.Spec{w.issuer.Spec}
	if w.had.doc != nil {
		refs.add(w.last.doc.Spec)
		specs = append(specs, w.had.doc.Spec)
	}
	for _, spec := range specs {
		refs.keys[spec.SigningKeyRef.Name] = true
		if spec.Password != nil {
			refs.secrets[spec.Password.UsersSecretRef.Name] = true
		}
	}
	return refs
}

// exchanges reports whether tokens of service accounts are exchanged, by the spec
// or by the bundle.
func (w issuerWorld) exchanges() bool {
	return len(w.issuer.Spec.Exchanged()) > 0 || w.had.doc != nil && len(w.had.doc.Spec.Exchanged()) > 0
}

// selecting names a policy that selects the issuer's pods too. Where injection is
// enabled none of them would be let in: they have Secrets that no agent may have.
func (r *issuerReconciler) selecting(ctx context.Context, issuer *v1alpha1.TokenIssuer) (string, error) {
	var policies v1alpha1.AgentAuthPolicyList
	if err := r.client.List(ctx, &policies, client.InNamespace(issuer.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing policies: %w", err)
	}
	if winner := selectionOf(policies.Items).Choose(workload{issuer: issuer}.labels()); winner != nil {
		return winner.Name, nil
	}
	return "", nil
}
