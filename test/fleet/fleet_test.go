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
	s := newScene(t, 20)
	first := s.signer.KID()
	annotate(t, s.key, v1alpha1.AnnotationRotateNow, "1")
	eventually(t, patience, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(s.key), s.key); err != nil {
			return err.Error()
		}
		if s.key.Status.ActiveKeyID == first || len(s.key.Status.Keys) != 1 {
			return fmt.Sprintf("keys %+v %+v", s.key.Status.Keys, s.key.Status.Conditions)
		}
		for _, pod := range s.pods {
			if pod.Knows(first) || !pod.Knows(s.key.Status.ActiveKeyID) {
				return pod.Name + " has not taken up the new keys"
			}
		}
		return ""
	})
	s.quiet()
	held(t, s.fleet)
	if counts := s.fleet.Counts(); counts.Accepted == 0 || counts.RemovedRefused == 0 || counts.Questions < 40 || counts.Deliveries < 40 {
		t.Errorf("the test shows little: %+v", counts)
	}
}

// scene is one key, a policy that verifies with it, its pods, and a signer that
// sends them tokens.
type scene struct {
	key    *v1alpha1.SigningKey
	fleet  *fleet.Fleet
	pods   []*fleet.Pod
	signer *fleet.Signer
	quiet  func() // ends the traffic
}

func newScene(t *testing.T, pods int) scene {
	t.Helper()
	ns := world.cluster.Namespace(t)
	t.Cleanup(startController(t, ns, nil))
	s := scene{key: fastKey(ns, "tokens"), fleet: newFleet(t, fleet.Options{Namespace: ns})}
	create(t, s.key, fastPolicy(ns, "chat", "tokens"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if s.pods, err = s.fleet.Add(ctx, "chat", pods); err != nil {
		t.Fatal(err)
	}
	if s.signer, err = s.fleet.Signer(ctx, "tokens-export", "HS256", fleet.Span{Max: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	s.quiet = send(t, s.fleet, fleet.Traffic{Signer: s.signer, Policy: "chat"})
	return s
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
