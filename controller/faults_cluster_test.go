//go:build cluster

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/internal/keyring"
)

var errFault = errors.New("a fault of the test")

// faults says what goes over a faulty link, and counts.
type faults struct {
	every        bool         // of every three writes two are lost
	held         atomic.Value // a part of a path: writes to it are lost
	writes, lost atomic.Int64
}

// faulty loses writes of Secrets, statuses and pods, some before they reach the
// API server, some on their way back.
type faulty struct {
	next http.RoundTripper
	*faults
}

// RoundTrip implements http.RoundTripper.
func (f faulty) RoundTrip(request *http.Request) (*http.Response, error) {
	ours := strings.Contains(request.URL.Path, "/secrets") || strings.Contains(request.URL.Path, "/pods") || strings.HasSuffix(request.URL.Path, "/status")
	if request.Method == http.MethodGet || !ours {
		return f.next.RoundTrip(request)
	}
	turn := f.writes.Add(1) % 3
	if held, _ := f.held.Load().(string); held != "" && strings.Contains(request.URL.Path, held) {
		turn = 1
	} else if !f.every {
		turn = 0
	}
	if turn == 1 {
		f.lost.Add(1)
		return nil, errFault
	}
	response, err := f.next.RoundTrip(request)
	if turn == 2 && err == nil {
		f.lost.Add(1)
		response.Body.Close()
		return nil, errFault
	}
	return response, err
}

// A controller that loses two writes of three, before or after they were carried
// out, and is killed and started again in between, still rotates keys, and never
// lets signers use one that a bundle lacks.
func TestLostWritesAndRestartsAreMadeGood(t *testing.T) {
	alone(t)
	ns := world.cluster.Namespace(t)
	link := &faults{every: true}
	restart := flakyController(t, ns, link)
	restart()

	key := quickKey(ns, "tokens")
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	pod := chatPod(ns, "chat-1", "chat")
	for _, object := range []client.Object{p, key, pod} {
		create(t, object)
	}
	sidecarIs(t, pod, serving())
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	for round := range 3 {
		annotate(t, key, v1alpha1.AnnotationRotateNow, fmt.Sprint("round ", round))
		before := key.Status.ActiveKeyID
		began := time.Now()
		restarted := false
		eventually(t, func() string {
			checkOverlap(t, key, p)
			if !restarted && time.Since(began) > time.Second {
				restart()
				restarted = true
			}
			if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil {
				return err.Error()
			}
			if key.Status.ActiveKeyID == before || len(key.Status.Keys) != 1 {
				return fmt.Sprintf("round %d: keys %+v", round, key.Status.Keys)
			}
			return ""
		})
	}
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	if lost := link.lost.Load(); lost < 10 {
		t.Errorf("only %d writes were lost: the test shows little", lost)
	}
	t.Logf("figure: writes_lost %d of %d", link.lost.Load(), link.writes.Load())
}

// As long as a bundle lacks the next key, or a pod was not told of it, no signer
// is given it, however long ago it was due.
func TestNobodySignsWithAKeyThatVerifiersLack(t *testing.T) {
	alone(t)
	ns := world.cluster.Namespace(t)
	link := &faults{}
	flakyController(t, ns, link)()
	key := quickKey(ns, "tokens")
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	pod := chatPod(ns, "chat-1", "chat")
	for _, object := range []client.Object{p, key, pod} {
		create(t, object)
	}
	sidecarIs(t, pod, serving())
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	for _, path := range []string{"/secrets/chat.gatepost-bundle", "/pods/chat-1"} {
		keyHas(t, key, rotating, no, v1alpha1.ReasonIdle)
		before := key.Status.ActiveKeyID
		link.held.Store(path)
		annotate(t, key, v1alpha1.AnnotationRotateNow, path)
		keyHas(t, key, rotating, yes, v1alpha1.ReasonPrePublishing)
		time.Sleep(3 * time.Second) // prePublish is one
		if got := string(secretOf(t, ns, "tokens-export").Data[v1alpha1.ExportCurrentKID]); got != before {
			t.Errorf("with writes to %s lost, signers were given %s", path, got)
		}
		link.held.Store("")
		eventually(t, func() string {
			if got := string(secretOf(t, ns, "tokens-export").Data[v1alpha1.ExportCurrentKID]); got == before {
				return "signers still have the old key"
			}
			return ""
		})
	}
}

// checkOverlap fails when signers read a key that the bundle lacks, or more than
// one key is active.
func checkOverlap(t *testing.T, key *v1alpha1.SigningKey, p *v1alpha1.AgentAuthPolicy) {
	t.Helper()
	signer, kids, both := together(t, key, p)
	if !both {
		return
	}
	if signer != "" && !slices.Contains(kids, signer) {
		t.Fatalf("signers use %s, the bundle holds %v", signer, kids)
	}
	active := 0
	for _, k := range stateOf(t, key).Keys {
		if k.Phase == keyring.Active {
			active++
		}
	}
	if active > 1 {
		t.Fatalf("%d keys are active", active)
	}
}

// flakyController returns a function that ends the controller of the namespace,
// if one runs, and starts another over the link.
func flakyController(t *testing.T, namespace string, link *faults) (restart func()) {
	t.Helper()
	config := rest.CopyConfig(world.cluster.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return faulty{next, link} })
	end := func() {}
	t.Cleanup(func() { end() })
	return func() {
		end()
		mgr, err := controller.New(config, controller.Config{
			SidecarImage: sidecarImage, MetricsAddress: "0", HealthAddress: "0", WatchNamespaces: []string{namespace},
			MinPrePublish: time.Second, RetireMargin: 2 * time.Second, Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- mgr.Start(ctx) }()
		end = func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}
