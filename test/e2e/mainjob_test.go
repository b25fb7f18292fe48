//go:build e2e

package e2e

import (
	"testing"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestMainJob is the line from one end to the other: a guarded agent answers
// whom it should, its key is replaced under load, and there is no way round.
func TestMainJob(t *testing.T) {
	agent := deploy(t)
	t.Run("Answers", func(t *testing.T) {
		findings, err := agent.Answers(t.Context())
		report(t, findings, err)
	})
	t.Run("Identity", func(t *testing.T) {
		findings, err := agent.Identity(t.Context())
		report(t, findings, err)
	})
	t.Run("Stream", func(t *testing.T) {
		findings, err := agent.Stream(t.Context(), func(stage.Event) {})
		report(t, findings, err)
	})
	t.Run("Rejections", func(t *testing.T) {
		_, findings, err := agent.Rejections(t.Context())
		report(t, findings, err)
	})
	t.Run("Rotation", func(t *testing.T) {
		rotation, err := agent.Rotate(t.Context(), func(phases string) { t.Log(phases) })
		if err != nil {
			t.Fatal(err)
		}
		report(t, rotation.Findings(), nil)
		for _, f := range rotation.Figures() {
			figure(t, f.Name, f.Value, f.Unit)
		}
	})
	t.Run("NoWayRound", func(t *testing.T) {
		findings, err := agent.NoWayRound(t.Context())
		report(t, findings, err)
		figure(t, "ways_tried_around_the_guard", len(findings), "addresses")
	})
	t.Run("CarelessAgent", func(t *testing.T) {
		findings, err := agent.Careless(t.Context())
		report(t, findings, err)
	})
}
