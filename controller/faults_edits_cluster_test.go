//go:build cluster

package controller_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// damage is what somebody does to a Secret by hand.
type damage struct {
	secret func(*lane) string
	does   func(*corev1.Secret) // nil: deletes it
	mended bool                 // by the controller; else it waits until somebody puts it back
}

func stateSecret(run *lane) string  { return v1alpha1.StateName(run.key.Name) }
func bundleSecret(run *lane) string { return v1alpha1.BundleName(run.policies[0].Name) }
func exportSecret(run *lane) string { return run.key.Spec.ExportTo.SecretName }

// torn makes every value one that nobody can read.
func torn(secret *corev1.Secret) {
	for name := range secret.Data {
		secret.Data[name] = []byte("torn")
	}
}

func emptied(secret *corev1.Secret) { secret.Data = nil }

// halved leaves the first of the data keys alone.
func halved(secret *corev1.Secret) {
	names := slices.Sorted(maps.Keys(secret.Data))
	for _, name := range names[:len(names)/2] {
		delete(secret.Data, name)
	}
}

func damages() map[string]damage {
	return map[string]damage{
		"the state is deleted":   {stateSecret, nil, true},
		"the state is torn":      {stateSecret, torn, false},
		"the state is emptied":   {stateSecret, emptied, false},
		"the bundle is deleted":  {bundleSecret, nil, true},
		"the bundle is torn":     {bundleSecret, torn, true},
		"the bundle is emptied":  {bundleSecret, emptied, true},
		"the bundle is partial":  {bundleSecret, halved, true},
		"the export is deleted":  {exportSecret, nil, true},
		"the export is torn":     {exportSecret, torn, true},
		"the export is partial":  {exportSecret, halved, true},
		"the export is extended": {exportSecret, func(secret *corev1.Secret) { secret.Data["mine"] = []byte("a") }, true},
	}
}

// Secrets are deleted, torn, emptied and cut by hand, at rest and in each phase of
// a rotation. No token is refused for it, no key is lost, and what can be mended
// is mended; a state that cannot be read waits for whoever can tell what was in it.
func TestHandEditedSecretsDoNoHarm(t *testing.T) {
	alone(t)
	phases := []keyring.Phase{"", keyring.Published, keyring.Retiring}
	work := make(chan func(*testing.T), len(damages())*len(phases))
	total := 0
	for i, name := range slices.Sorted(maps.Keys(damages())) {
		for j, phase := range phases {
			if soak() > 1 || (i+j)%len(phases) == 0 { // CI: each damage in one phase
				work <- func(t *testing.T) { damageIn(t, phase, name, damages()[name]) }
				total++
			}
		}
	}
	close(work)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for do := range work {
				do(t)
			}
		})
	}
	group.Wait()
	t.Logf("figure: hand_edits_survived %d edits", total)
}

func damageIn(t *testing.T, phase keyring.Phase, name string, d damage) {
	when := string(phase)
	if phase == "" {
		when = "at rest"
	}
	t.Run(name+", "+when, func(t *testing.T) {
		run := newLane(t, stories()["rotation"])
		before := run.witness.activeKID()
		if phase != "" {
			stories()["rotation"].begins(t, run)
			run.witness.await(t, "a key to be "+string(phase), func() bool { return run.witness.came(phase, before) })
		}
		good := run.hurt(t, d)
		if !d.mended {
			keyHas(t, run.key, ready, no, v1alpha1.ReasonStateInvalid)
			change(t, good.DeepCopy(), func(secret *corev1.Secret) { secret.Data = good.Data })
		}
		if phase == "" {
			before = ""
		}
		run.settle(t, name, before, len(run.policies))
		if phase == "" {
			run.play(t, stories()["rotation"], fault{}) // and it still rotates
		}
	})
}

// hurt does the damage and returns the Secret as it was.
func (run *lane) hurt(t *testing.T, d damage) *corev1.Secret {
	t.Helper()
	run.torn = d.secret(run) == exportSecret(run)
	var good *corev1.Secret
	eventually(t, func() string {
		good = secretOf(t, run.key.Namespace, d.secret(run))
		hurt := good.DeepCopy()
		run.witness.forgive(good)
		if d.does == nil {
			return conflict(t, world.api.Delete(t.Context(), hurt, client.Preconditions{ResourceVersion: &good.ResourceVersion}))
		}
		d.does(hurt)
		return conflict(t, world.api.Update(t.Context(), hurt))
	})
	return good
}

// conflict says that somebody else was faster; any other error ends the test.
func conflict(t *testing.T, err error) string {
	t.Helper()
	if err != nil && !apierrors.IsConflict(err) {
		t.Fatal(err)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// collects is how long the garbage collector may take: it looks for new kinds of
// objects every half minute.
const collects = 3 * time.Minute

// Somebody deletes a SigningKey that policies refer to: what pods accept stays as
// it is, and a new object of the name starts a set of its own.
func TestADeletedKeyTakesNoTokensWithIt(t *testing.T) {
	alone(t)
	run := newLane(t, stories()["rotation"])
	first := run.witness.activeKID()
	if len(run.key.Finalizers) > 0 {
		t.Errorf("the key has finalizers %v: a namespace without a controller could not be deleted", run.key.Finalizers)
	}
	run.witness.forgive(secretOf(t, run.key.Namespace, stateSecret(run)))
	run.witness.forgive(secretOf(t, run.key.Namespace, exportSecret(run)))
	remove(t, run.key)
	for deadline := time.Now().Add(collects); secretOf(t, run.key.Namespace, stateSecret(run)) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the state is still there after %s", collects)
		}
	}
	policyHas(t, run.policies[0], v1alpha1.ConditionResolvedRefs, no, v1alpha1.ReasonSigningKeyNotFound)
	for _, p := range run.policies {
		if kids := kidsOf(t, p); !slices.Contains(kids, first) {
			t.Errorf("the bundle of %s holds %v: %s went with its object", p.Name, kids, first)
		}
	}
	for _, pod := range run.fleet.Pods("") {
		eventually(t, func() string {
			if latest := run.witness.revisionOf(v1alpha1.BundleName(pod.Policy)); pod.Revision() != latest {
				return fmt.Sprintf("pod %s has revision %d of %d", pod.Name, pod.Revision(), latest)
			}
			return ""
		})
		now := time.Now()
		signed, _, err := run.signer.Mint(now, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if outcome, serves := pod.Verify(t.Context(), signed.JWS, now); !serves || signed.KID != first || !outcome.Verified.Valid() {
			t.Errorf("pod %s refuses a token of %s: %+v", pod.Name, signed.KID, outcome.Reason)
		}
	}
}

// A namespace with everything in it is deleted while no controller runs: nothing
// waits for one.
func TestANamespaceIsDeletedWithoutAController(t *testing.T) {
	alone(t)
	run := newLane(t, stories()["rotation"])
	run.stop()
	for _, object := range append([]client.Object{run.key}, run.policies[0]) {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		if finalizers := object.GetFinalizers(); len(finalizers) > 0 {
			t.Errorf("%s has finalizers %v", object.GetName(), finalizers)
		}
	}
	for _, pod := range run.fleet.Pods("") {
		if err := pod.Remove(t.Context()); err != nil { // as its kubelet would
			t.Fatal(err)
		}
	}
	out, err := world.cluster.Kubectl(t.Context(), "delete", "namespace", run.key.Namespace, "--timeout=180s")
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
