//go:build e2e

package e2e

import (
	"strconv"
	"testing"

	"gatepost.dev/gatepost/test/clients/visitor"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// mintingRotations is how often the issuer's key is replaced: 3 times in CI, 50 in
// `make soak`.
func mintingRotations() int { return max(3, soak()*5/2) }

// TestRotationWhileMinting replaces the key of an issuer that mints 100 tokens a second
// before three guarded pods. Each token is presented at once, every second one again
// before it expires; a pod of the issuer is restarted and the leading controller killed
// on the way. No valid token is refused.
func TestRotationWhileMinting(t *testing.T) {
	onThisMachine(t)
	agent := deployHasty(t, 3, true)
	issuer, err := agent.DeployIssuer(t.Context(), stage.Names{Issuer: visitor.IssuerHost, Agent: visitor.AgentHost, Page: "http://" + visitor.SiteHost})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restored(t, agent) })
	rotations, err := issuer.RotateWhileMinting(t.Context(), mintingRotations(), func(text string) { t.Log(text) })
	if rotations == nil {
		t.Fatal(err)
	}
	for _, f := range rotations.Figures() {
		figure(t, f.Name, strconv.FormatFloat(f.Value, 'f', -1, 64), f.Unit)
	}
	report(t, rotations.Findings(), err)
}
