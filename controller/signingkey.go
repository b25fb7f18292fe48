package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// keyReconciler lives the life of every SigningKey: what keyring plans it
// writes, first the private state, then what others see of it.
type keyReconciler struct {
	client   client.Client // typed Secrets are read live
	cache    client.Reader // metadata of Secrets
	live     client.Reader // not from the cache
	recorder events.EventRecorder
	metrics  *metrics
	bounds   keyring.Bounds
	now      func() time.Time
	random   io.Reader

	switchboard *switchboard
	memos       keyMemos
}

func addSigningKeys(mgr ctrl.Manager, cfg Config, m *metrics, s *switchboard) error {
	r := &keyReconciler{
		client: mgr.GetClient(), cache: mgr.GetCache(), live: mgr.GetAPIReader(), recorder: mgr.GetEventRecorder(v1alpha1.FieldOwner), metrics: m,
		bounds: keyring.Bounds{MinPrePublish: cfg.MinPrePublish, RetireMargin: cfg.RetireMargin},
		now:    cfg.Now, random: cfg.Random,
		switchboard: s,
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("signingkey").
		For(&v1alpha1.SigningKey{}, builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.AgentAuthPolicy{}, keysOfPolicy(), builder.WithPredicates(wantChanged())).
		Watches(&v1alpha1.TokenIssuer{}, keysOfIssuer(), builder.WithPredicates(wantChanged())).
		WatchesMetadata(&corev1.Secret{}, keysOfSecret(mgr.GetCache())).
		WatchesRawSource(&s.keys).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the SigningKey controller: %w", err)
	}
	return nil
}

// Reconcile reads, plans, applies and writes status once.
func (r *keyReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var key v1alpha1.SigningKey
	if err := r.client.Get(ctx, request.NamespacedName, &key); err != nil {
		if apierrors.IsNotFound(err) && r.memos.forget(request.NamespacedName) {
			r.metrics.forgetKey(request.Namespace, request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if dissolves(&key) {
		return ctrl.Result{}, nil
	}
	w, err := r.read(ctx, &key)
	if err != nil {
		return ctrl.Result{}, err
	}
	if key.DeletionTimestamp != nil && w.secret == nil {
		return ctrl.Result{}, nil // nothing is made anew
	}
	view, err := r.advance(ctx, w)
	if err != nil && view.state.reason != "" {
		_, told := r.report(ctx, w, view)
		return ctrl.Result{}, errors.Join(err, told) // and try again
	}
	if err != nil {
		return settled(err)
	}
	again, err := r.report(ctx, w, view)
	again = sooner(again, w.watchAgain(view))
	return unlessBehind(sooner(again, view.again(r.now())), err)
}

// sooner is the shorter of two pauses, of which zero means never.
func sooner(a, b time.Duration) time.Duration {
	if b > 0 && (a == 0 || b < a) {
		return b
	}
	return a
}

// advance plans and writes: the state first, then the exported Secret. The
// bundles follow by themselves, woken by the state.
func (r *keyReconciler) advance(ctx context.Context, w keyWorld) (keyView, error) {
	view := w.view(r.bounds)
	if !view.plans {
		return view, nil
	}
	planner := keyring.Planner{NewKey: r.newKey(view.spec.Algorithm), Rand: r.random}
	seen := w.observations(view)
	seen.Signers = w.issuing.signers
	plan, err := planner.Plan(view.spec, w.state, seen, w.now)
	if err != nil {
		return view, err
	}
	view.plan = plan
	if plan.Changed {
		if err := r.newest(ctx, w.key); err != nil {
			return view, err
		}
		if err := r.writeState(ctx, w, plan.State); err != nil {
			view.plan, view.state = keyring.Result{}, refusedState(w.key, err)
			return view, err
		}
		r.hasten(w, plan)
	}
	view.exportForeign, err = r.export(ctx, w, plan.State)
	return view, err
}

// hasten has the bundles written at once if the plan is no planned rotation, and
// those of issuers always: one may go on with a spec that no watch knows of.
func (r *keyReconciler) hasten(w keyWorld, plan keyring.Result) {
	for _, bundle := range w.issuing.bundles {
		r.switchboard.wake(0, bundle)
	}
	for _, e := range plan.Events {
		switch e.Kind {
		case keyring.EventRevoked, keyring.EventImported, keyring.EventAdopted:
			for _, c := range w.carriers {
				r.switchboard.wake(0, types.NamespacedName{Namespace: w.key.Namespace, Name: c.name})
			}
			return
		default:
		}
	}
}

// newest fails with errBehind if the SigningKey that was planned with is not the
// newest. A leader that was paused knows of a wish to rotate that its successor
// has granted since, and of none later: the state remembers another, so that the
// old one looks new. Looked up after the state was read, this holds until the
// state is written: who grants a later wish writes the state first.
func (r *keyReconciler) newest(ctx context.Context, key *v1alpha1.SigningKey) error {
	var now v1alpha1.SigningKey
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(key), &now); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading signingkey %s: %w", key.Name, err)
	}
	if now.UID != key.UID || now.ResourceVersion != key.ResourceVersion {
		return errBehind
	}
	return nil
}

// refusedState says that the API server does not take the state, if trying again is
// in vain.
func refusedState(key *v1alpha1.SigningKey, err error) refusal {
	why := refusalOf(err)
	if why == "" {
		return refusal{}
	}
	return refusal{v1alpha1.ReasonStateInvalid, fmt.Sprintf(
		"Secret %s could not be written (%s), so rotations and revocations wait: if it was made immutable, put one with the same data in its place that is not",
		v1alpha1.StateName(key.Name), why)}
}

// newKey makes key material for the planner.
func (r *keyReconciler) newKey(algorithm string) func() (keyring.Material, error) {
	return func() (keyring.Material, error) {
		key, err := token.Generate(algorithm, r.random)
		if err != nil {
			return keyring.Material{}, fmt.Errorf("generating a key: %w", err)
		}
		if len(key.K) > 0 {
			return keyring.Material{Value: keyring.Octets(key.K)}, nil
		}
		private, err := token.PrivatePEM(key)
		if err != nil {
			return keyring.Material{}, fmt.Errorf("encoding a private key: %w", err)
		}
		public, err := token.PublicJWK(key)
		if err != nil {
			return keyring.Material{}, fmt.Errorf("encoding a public key: %w", err)
		}
		return keyring.Material{Value: private, Public: public}, nil
	}
}

// writeState writes the state Secret in one piece, on condition that it is the
// one that was read: of two leaders one loses, and plans again.
func (r *keyReconciler) writeState(ctx context.Context, w keyWorld, state *keyring.State) error {
	data, err := state.Marshal()
	if err != nil {
		return err
	}
	secret := owned{
		owner: w.key, kind: v1alpha1.KindSigningKey, name: v1alpha1.StateName(w.key.Name),
		component: v1alpha1.ComponentState, data: map[string][]byte{stateKey: data},
	}.object()
	if w.secret == nil {
		if err := r.client.Create(ctx, secret); err != nil {
			return fmt.Errorf("creating secret %s: %w", secret.Name, err)
		}
		return nil
	}
	secret.ResourceVersion, secret.UID = w.secret.ResourceVersion, w.secret.UID
	if err := r.client.Update(ctx, secret); err != nil {
		return fmt.Errorf("updating secret %s: %w", secret.Name, err)
	}
	return nil
}

// report writes what changed in the status, and tells about it. It returns when
// to come again for what is not worth a write yet.
func (r *keyReconciler) report(ctx context.Context, w keyWorld, view keyView) (time.Duration, error) {
	status := view.status(w)
	w.memo.keep(status)
	r.measure(w, view, status)
	r.lateUses(w, view)
	emit(r.recorder, w.key, append(view.notices(), r.arrivals(w, view)...))
	wait, same := replaces(w.key.Status, status, w.now.Sub(w.memo.written), w.beat())
	if wait > 0 {
		return wait, nil
	}
	if !same {
		if err := applyStatus(ctx, r.client, v1alpha1.KindSigningKey, w.key, &status); err != nil {
			return 0, err
		}
		w.memo.written = w.now
	}
	emit(r.recorder, w.key, conditionEvents(w.key.Status.Conditions, status.Conditions, goodKey()))
	return 0, nil
}
