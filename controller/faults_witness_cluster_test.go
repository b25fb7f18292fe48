//go:build cluster

package controller_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// witness watches the Secrets of a namespace in which one SigningKey lives, and
// holds every version of them, in the order in which the API server took them,
// against what must be true at each moment.
type witness struct {
	key         *v1alpha1.SigningKey
	retireAfter time.Duration

	mu       sync.Mutex
	state    *keyring.State
	export   string                   // current.kid
	bundles  map[string]keyring.File  // by name of the Secret
	gone     map[string]bool          // "bundle kid" that a bundle once held
	shown    map[string]keyring.Phase // by "kid phase": the phases that keys were ever in
	latest   map[string]string        // resourceVersion of each Secret as it was last seen
	mine     map[string]string        // that of a Secret whose next version is the test's own doing
	versions int
	problems []string
	changed  chan struct{} // closed and replaced with each version
}

// observe begins to watch.
func observe(t *testing.T, key *v1alpha1.SigningKey) *witness {
	t.Helper()
	w := &witness{
		key: key.DeepCopy(), retireAfter: key.Spec.Rotation.RetireAfter.Duration,
		bundles: map[string]keyring.File{}, gone: map[string]bool{}, shown: map[string]keyring.Phase{}, latest: map[string]string{}, mine: map[string]string{}, changed: make(chan struct{}),
	}
	api, err := client.NewWithWatch(world.cluster.Config, client.Options{Scheme: world.api.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stream, err := api.Watch(ctx, &corev1.SecretList{}, client.InNamespace(key.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range stream.ResultChan() {
			w.see(event)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		for _, problem := range w.findings() {
			t.Error(problem)
		}
	})
	return w
}

// findings are what was not as it must be.
func (w *witness) findings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.problems)
}

func (w *witness) finding(format string, args ...any) {
	w.problems = append(w.problems, w.key.Namespace+": "+fmt.Sprintf(format, args...))
}

// forgive says that the version after this one of a Secret is the test's own doing,
// which binds nobody. A version that is still on its way here is not mistaken for it.
func (w *witness) forgive(secret *corev1.Secret) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mine[secret.Name] = secret.ResourceVersion
}

// came says whether a rotation away from a key came to a phase: its successor was
// Published, or it was Retiring. On a slow machine it may be past it by now.
func (w *witness) came(phase keyring.Phase, from string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, is := range w.shown {
		if is == phase && (name == from+" "+string(phase)) == (phase == keyring.Retiring) {
			return true
		}
	}
	return false
}

// see takes one version of a Secret.
func (w *witness) see(event watch.Event) {
	secret, ok := event.Object.(*corev1.Secret)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions++
	before := w.latest[secret.Name]
	mine := before != "" && w.mine[secret.Name] == before
	w.latest[secret.Name] = secret.ResourceVersion
	if event.Type == watch.Deleted {
		delete(w.bundles, secret.Name)
		secret = &corev1.Secret{ObjectMeta: secret.ObjectMeta}
	}
	switch {
	case secret.Name == v1alpha1.StateName(w.key.Name):
		w.seeState(secret, mine, time.Now())
	case strings.HasSuffix(secret.Name, v1alpha1.BundleSuffix):
		w.seeBundle(secret, mine)
	case w.key.Spec.ExportTo != nil && secret.Name == w.key.Spec.ExportTo.SecretName:
		w.seeExport(string(secret.Data[v1alpha1.ExportCurrentKID]), mine)
	case w.key.Spec.Signer == v1alpha1.SignerIssuer && strings.HasSuffix(secret.Name, v1alpha1.IssuerSuffix):
		w.seeSigner(secret, mine)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *witness) seeState(secret *corev1.Secret, mine bool, at time.Time) {
	state, err := keyring.ParseState(secret.Data["state.json"])
	if err != nil {
		if !mine && len(secret.Data) > 0 {
			w.finding("the controller wrote a state that cannot be read: %v", err)
		}
		return
	}
	if !mine && w.state != nil {
		w.compare(w.state, state, at)
	}
	for _, key := range state.Keys {
		w.shown[key.KID+" "+string(key.Phase)] = key.Phase
	}
	w.state = state
}

// compare holds a state against the one before it.
func (w *witness) compare(before, after *keyring.State, at time.Time) {
	if after.Generation < before.Generation {
		w.finding("the generation went from %d down to %d", before.Generation, after.Generation)
	}
	active, isActive := after.ActiveKey()
	last, wasActive := before.ActiveKey()
	if wasActive && !isActive && !revokedIn(after, last.KID) && after.Incident == "" {
		w.finding("key %s was active, and now none is", last.KID)
	}
	if isActive && len(active.Imported) == 0 && active.KID != last.KID {
		w.inBundles(active.KID, "is active")
	}
	for _, key := range before.Keys {
		w.compareKey(key, after, at)
	}
	for _, revocation := range before.Revoked {
		if !revokedIn(after, revocation.KID) {
			w.finding("the revocation of %s is forgotten", revocation.KID)
		}
		if phaseIn(after, revocation.KID) != "" {
			w.finding("the revoked key %s is back", revocation.KID)
		}
	}
}

// compareKey holds what became of a key against its phases.
func (w *witness) compareKey(key keyring.Key, after *keyring.State, at time.Time) {
	i := slices.IndexFunc(after.Keys, func(k keyring.Key) bool { return k.KID == key.KID })
	if i < 0 {
		early := at.Before(key.Retiring.Add(w.retireAfter))
		switch {
		case revokedIn(after, key.KID), key.Phase == keyring.Published:
		case key.Phase != keyring.Retiring:
			w.finding("key %s went from %s to nothing", key.KID, key.Phase)
		case key.Retiring.IsZero() || early:
			w.finding("key %s was removed before its time was over", key.KID)
		}
		return
	}
	now := after.Keys[i]
	if key.Retiring.IsZero() && !now.Retiring.IsZero() && w.hands() && w.export == key.KID {
		w.finding("the countdown of %s began while signers were given it", key.KID)
	}
	if key.Phase == keyring.Active && now.Phase == keyring.Published {
		w.finding("key %s went from Active back to Published", key.KID)
	}
}

func (w *witness) seeBundle(secret *corev1.Secret, mine bool) {
	file, err := keyring.ParseFile(secret.Data[v1alpha1.BundleKeysKey])
	if err != nil {
		if !mine && len(secret.Data) > 0 {
			w.finding("the controller wrote a bundle that cannot be read: %v", err)
		}
		return
	}
	before := w.bundles[secret.Name]
	w.bundles[secret.Name] = file
	if mine {
		return
	}
	if file.Revision < before.Revision {
		w.finding("%s went from revision %d down to %d", secret.Name, before.Revision, file.Revision)
	}
	kids := fileKIDs(file)
	for _, kid := range fileKIDs(before) {
		if !slices.Contains(kids, kid) {
			w.gone[secret.Name+" "+kid] = true
		}
	}
	for _, kid := range kids {
		if w.gone[secret.Name+" "+kid] {
			w.finding("key %s is back in %s", kid, secret.Name)
		}
	}
	if w.export != "" && slices.Contains(fileKIDs(before), w.export) && !slices.Contains(kids, w.export) && !revokedIn(w.state, w.export) {
		w.finding("%s lost key %s, which signers use", secret.Name, w.export)
	}
}

func (w *witness) seeExport(kid string, mine bool) {
	before := w.export
	w.export = kid
	if mine || kid == "" || kid == before {
		return
	}
	w.inBundles(kid, "was given to signers")
	if phase := phaseIn(w.state, kid); phase != keyring.Active {
		w.finding("signers were given key %s, which is %q", kid, phase)
	}
}

// seeSigner takes what an issuer signs with for what is given to signers.
func (w *witness) seeSigner(secret *corev1.Secret, mine bool) {
	if len(secret.Data) == 0 {
		return // it is made empty first
	}
	signer, err := keyring.ParseSigner(secret.Data[v1alpha1.IssuerSignerKey])
	if err != nil && !mine {
		w.finding("%s: %v", secret.Name, err)
		return
	}
	w.seeExport(signer.KID, mine)
}

// hands reports whether signers are given keys by a Secret.
func (w *witness) hands() bool {
	return w.key.Spec.ExportTo != nil || w.key.Spec.Signer == v1alpha1.SignerIssuer
}

// inBundles asks that every bundle holds a key of which something is true now.
func (w *witness) inBundles(kid, what string) {
	for name, file := range w.bundles {
		if !slices.Contains(fileKIDs(file), kid) {
			w.finding("key %s %s and %s lacks it", kid, what, name)
		}
	}
}

// settledOn says whether everything rests on one active key that is not the
// given one, and if not what is missing.
func (w *witness) settledOn(other string) (kid, missing string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil {
		return "", "there is no state"
	}
	active, isActive := w.state.ActiveKey()
	switch {
	case !isActive || active.KID == other:
		return "", "no new key is active"
	case len(w.state.Keys) != 1:
		return "", fmt.Sprintf("%d keys are live", len(w.state.Keys))
	case w.hands() && w.export != active.KID:
		return "", "signers have another key"
	}
	for name, file := range w.bundles {
		if kids := fileKIDs(file); !slices.Equal(kids, []string{active.KID}) {
			return "", fmt.Sprintf("%s holds %v", name, kids)
		}
	}
	return active.KID, ""
}

// activeKID is the key that signs, empty while none does.
func (w *witness) activeKID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil {
		return ""
	}
	active, _ := w.state.ActiveKey()
	return active.KID
}

// bundleCount is how many bundles there are.
func (w *witness) bundleCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bundles)
}

// revisionOf is the revision of a bundle.
func (w *witness) revisionOf(bundle string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bundles[bundle].Revision
}

// versionCount is how many versions of Secrets it has looked at.
func (w *witness) versionCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.versions
}

// await waits until something holds of what was seen.
func (w *witness) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(convergesWithin()); !holds(); w.pause(nil) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", convergesWithin(), what)
		}
	}
}

// pause returns with the next version of a Secret, when the other channel is
// closed, or after a while: not everything is a Secret.
func (w *witness) pause(or <-chan struct{}) {
	w.mu.Lock()
	changed := w.changed
	w.mu.Unlock()
	select {
	case <-changed:
	case <-or:
	case <-time.After(100 * time.Millisecond):
	}
}

func fileKIDs(file keyring.File) []string {
	var kids []string
	for _, key := range file.Providers["tokens"].Keys {
		kids = append(kids, key.KID)
	}
	return kids
}

func revokedIn(state *keyring.State, kid string) bool {
	return state != nil && slices.ContainsFunc(state.Revoked, func(r keyring.Revocation) bool { return r.KID == kid })
}

func phaseIn(state *keyring.State, kid string) keyring.Phase {
	if state != nil {
		for _, key := range state.Keys {
			if key.KID == kid {
				return key.Phase
			}
		}
	}
	return ""
}

// policyFor guards the pods that are called app=name with the one SigningKey.
func policyFor(namespace, name string) *v1alpha1.AgentAuthPolicy {
	p := agentPolicy(namespace, name, policy.Provider{SigningKeyRef: &policy.SigningKeyRef{Name: "tokens"}})
	p.Spec.Selector.MatchLabels["app"] = name
	return p
}
