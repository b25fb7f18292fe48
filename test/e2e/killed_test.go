//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// kills is how often a sidecar is killed.
const kills = 20

// TestSidecarKilled kills sidecars, twenty times in all, under an agent that
// wants every address of its pod and tries again and again. In the moment before
// a killed sidecar is back such an agent may get the port: that is the one
// window there is, and it must not stay unseen. Whatever a client gets meanwhile
// is counted: a failure, an answer of the guard's, or a byte of the agent's.
func TestSidecarKilled(t *testing.T) {
	if os.Getenv("GATEPOST_CLUSTER") == "current" {
		t.Skip("SKIPPED: processes can be killed on a node of this machine only")
	}
	agent := deploy(t)
	window, err := agent.KillSidecars(t.Context(), kills)
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "sidecar_kills", window.Kills, "kills")
	figure(t, "window_requests_without_answer", window.Failed, "requests")
	figure(t, "window_requests_answered_by_guard", window.Guarded, "requests")
	figure(t, "window_requests_that_reached_the_agent", window.Reached, "requests")
	figure(t, "window_longest", window.Longest.Round(time.Millisecond).Seconds(), "seconds")
	report(t, window.Findings(), nil)
	err = stage.Eventually(t.Context(), time.Minute, func(ctx context.Context) error {
		return agent.EventSays(ctx, "PortTaken")
	})
	if window.Reached > 0 && err != nil {
		t.Error("the window was not alarmed by an event: ", err)
	}
	if len(window.Alarms) > 0 {
		t.Log(strings.Join(window.Alarms, "\n"))
	}
}
