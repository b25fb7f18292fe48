//go:build e2e

package e2e

import (
	"slices"
	"strconv"
	"testing"
	"time"

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
	issuer := deployIssuer(t)
	t.Cleanup(func() { restored(t, issuer.Agent) })
	rotations, err := issuer.RotateWhileMinting(t.Context(), mintingRotations(), func(text string) { t.Log(text) })
	if rotations == nil {
		t.Fatal(err)
	}
	for _, f := range rotations.Figures() {
		figure(t, f.Name, strconv.FormatFloat(f.Value, 'f', -1, 64), f.Unit)
	}
	for _, said := range slices.Concat(rotations.Tally.Unminted, rotations.Tally.Unanswered) {
		t.Log("no token, or no answer: ", said)
	}
	report(t, rotations.Findings(), err)
}

// TestMintingWithoutWaitingIsNoticed is the same scene without the wait for verifiers:
// a pod that is held back refuses valid tokens. So the test above can fail.
func TestMintingWithoutWaitingIsNoticed(t *testing.T) {
	onThisMachine(t)
	tally, err := deployIssuer(t).MintWithoutWaiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "minting_without_waiting_refused", len(tally.Refused), "requests")
	if len(tally.Refused) == 0 {
		t.Error("no valid token was refused: nobody would notice")
	}
}

// deployIssuer deploys three guarded pods and an issuer.
func deployIssuer(t *testing.T) *stage.Issuer {
	t.Helper()
	agent := deployHasty(t, 3, true)
	issuer, err := agent.DeployIssuer(t.Context(), stage.Names{
		Issuer: visitor.IssuerHost, Agent: visitor.AgentHost, Page: "http://" + visitor.SiteHost,
		Lifetime: 10 * time.Second, // the shortest that there is
	})
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}
