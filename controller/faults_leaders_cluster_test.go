//go:build cluster

package controller_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
)

// pause holds up a controller from the first call of a name on, as if its
// process had been stopped with the request written and not yet sent.
type pause struct {
	call     string
	once     sync.Once
	reached  chan struct{}
	released chan struct{}
}

func pauseAt(call string) *pause {
	return &pause{call: call, reached: make(chan struct{}), released: make(chan struct{})}
}

// hold is for link.hold.
func (p *pause) hold(request *http.Request) {
	if request.URL.Query().Get("watch") != "" {
		return
	}
	if callOf(request) == p.call {
		p.once.Do(func() { close(p.reached) })
	}
	select {
	case <-p.reached:
	default:
		return
	}
	select {
	case <-p.released:
	case <-request.Context().Done():
	}
}

// A leader stops in the middle of a rotation, with a write on its way. Another
// takes over and brings this rotation and a second one to their end. Then the
// first goes on: its write comes to nothing, and it dies.
func TestAPausedLeaderOverwritesNothing(t *testing.T) {
	alone(t)
	var group sync.WaitGroup
	for _, call := range []string{
		"PUT secrets/tokens.gatepost-state", "PATCH secrets/chat.gatepost-bundle", "PATCH secrets/tokens-export",
		"PATCH signingkeys/tokens/status", "PATCH agentauthpolicies/chat/status",
	} {
		group.Go(func() {
			t.Run(call, func(t *testing.T) { pauseLeaderAt(t, call) })
		})
	}
	group.Wait()
}

func pauseLeaderAt(t *testing.T, call string) {
	s := stories()["rotation"]
	run := newLane(t, s)
	run.stop()
	paused, first := pauseAt(call), newLink()
	first.hold = paused.hold
	first.arm(fault{call: call, nth: 1, late: true})
	end := runController(t, first, controller.Config{WatchNamespaces: []string{run.key.Namespace}})
	defer end()
	before := run.witness.activeKID()
	s.begins(t, run)
	select {
	case <-paused.reached:
	case <-time.After(patience):
		t.Fatalf("the first leader never came to %s: %q", call, first.sent())
	}

	run.start(t)
	run.settle(t, "while the first leader is paused", before, len(run.policies))
	run.play(t, s, fault{})
	settled := run.said(t)

	close(paused.released)
	select {
	case <-first.died:
	case <-time.After(patience):
		t.Fatal("the first leader did not go on")
	}
	time.Sleep(time.Second) // for what might come of it
	if now := run.said(t); now != settled {
		t.Errorf("the paused leader overwrote what its successor had written:\n%s\nis now\n%s", settled, now)
	}
	run.settle(t, "after the first leader went on", before, len(run.policies))
}

// said is what the Secrets and statuses say that must not go back.
func (run *lane) said(t *testing.T) string {
	t.Helper()
	text := fmt.Sprintf("state %d, signers use %s", stateOf(t, run.key).Generation,
		secretOf(t, run.key.Namespace, run.key.Spec.ExportTo.SecretName).Data[v1alpha1.ExportCurrentKID])
	if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(run.key), run.key); err != nil {
		t.Fatal(err)
	}
	text += fmt.Sprintf(", status %d of %s", run.key.Status.KeyGeneration, run.key.Status.ActiveKeyID)
	for _, p := range run.policies {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			t.Fatal(err)
		}
		_, file, _ := bundleOf(t, p)
		text += fmt.Sprintf(", %s %d with %v, status %d", p.Name, file.Revision, fileKIDs(file), p.Status.BundleRevision)
	}
	return text
}
