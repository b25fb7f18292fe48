//go:build cluster && linux

package fleet_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/fleet"
)

// The fleet is what the other tests believe: bundles arrive, tokens are judged
// by what arrived, and `/state` says so.
func TestAFleetTakesUpARotation(t *testing.T) {
	ns := world.cluster.Namespace(t)
	t.Cleanup(startController(t, ns, nil))
	key, p := fastKey(ns, "tokens"), fastPolicy(ns, "chat", "tokens")
	create(t, key, p)
	f := newFleet(t, fleet.Options{Namespace: ns})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pods, err := f.Add(ctx, "chat", 20)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := f.Signer(ctx, "tokens-export", "HS256", fleet.Span{Max: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	sending := send(t, f, fleet.Traffic{Signer: signer, Policy: "chat"})
	first := signer.KID()
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	eventually(t, patience, func() string {
		if err := world.api.Get(ctx, client.ObjectKeyFromObject(key), key); err != nil {
			return err.Error()
		}
		if key.Status.ActiveKeyID == first || len(key.Status.Keys) != 1 {
			return fmt.Sprintf("keys %+v %+v", key.Status.Keys, key.Status.Conditions)
		}
		for _, pod := range pods {
			if pod.Knows(first) || !pod.Knows(key.Status.ActiveKeyID) {
				return pod.Name + " has not taken up the new keys"
			}
		}
		return ""
	})
	sending()
	held(t, f)
	if counts := f.Counts(); counts.Accepted == 0 || counts.RemovedRefused == 0 || counts.Questions < 40 || counts.Deliveries < 40 {
		t.Errorf("the test shows little: %+v", counts)
	}
}

// send sends traffic until the returned function is called.
func send(t *testing.T, f *fleet.Fleet, traffic ...fleet.Traffic) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(traffic))
	for _, one := range traffic {
		go func() { ended <- f.Send(ctx, one) }()
	}
	return func() {
		cancel()
		for range traffic {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}
