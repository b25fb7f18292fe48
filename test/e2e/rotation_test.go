//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// soak is how many times longer than in CI the counted tests run: GATEPOST_SOAK.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// siegeRotations is how often the key is replaced: 3 times in CI, 50 in `make soak`.
func siegeRotations() int { return max(3, soak()*5/2) }

// deployHasty deploys the example with a key whose life takes seconds.
func deployHasty(t *testing.T, replicas int32, wait bool) *stage.Agent {
	t.Helper()
	agent := deploy(t)
	if err := agent.Hasten(t.Context(), stage.Hasty{Replicas: replicas, WaitForVerifiers: wait}); err != nil {
		t.Fatal(err)
	}
	return agent
}

// onThisMachine skips a test that has to kill processes of the cluster.
func onThisMachine(t *testing.T) {
	t.Helper()
	if os.Getenv("GATEPOST_CLUSTER") == "current" {
		t.Skip("SKIPPED: processes can be killed on a node of this machine only")
	}
}

// TestRotationsUnderFire replaces the key of three guarded pods again and again
// under 200 requests a second, with controllers killed, pods restarted and a
// pod's kubelet not told. A key is used only when every pod has it, and none that
// was removed lets anybody in.
func TestRotationsUnderFire(t *testing.T) {
	onThisMachine(t)
	agent := deployHasty(t, 3, true)
	siege, err := agent.Besiege(t.Context(), siegeRotations(), func(text string) { t.Log(text) })
	t.Cleanup(func() { restored(t, agent) })
	for _, f := range siege.Figures() {
		figure(t, f.Name, strconv.FormatFloat(f.Value, 'f', -1, 64), f.Unit)
	}
	report(t, siege.Findings(), err)
}

// restored waits until both controllers answer again.
func restored(t *testing.T, agent *stage.Agent) {
	t.Helper()
	if err := agent.StartController(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestWithoutWaitingTokensAreRefused is the same scene without the wait: a pod
// that is held back refuses valid tokens, and the users notice. So the test above
// can fail, and it is the wait that keeps it from failing.
func TestWithoutWaitingTokensAreRefused(t *testing.T) {
	onThisMachine(t)
	agent := deployHasty(t, 3, false)
	hurt, err := agent.WithoutWaiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "without_waiting_valid_tokens_refused", len(hurt.Refused), "requests")
	if len(hurt.Refused) == 0 {
		t.Errorf("no valid token was refused, %d were accepted: the users would not notice", hurt.Total())
	}
}

// TestBackEndThatNeverRestarts: whoever goes on with an old key is let in, and
// somebody is told.
func TestBackEndThatNeverRestarts(t *testing.T) {
	agent := deployHasty(t, 2, true)
	s, err := agent.NeverRestarts(t.Context(), func(phases string) { t.Log(phases) })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Figures() {
		figure(t, f.Name, fmt.Sprintf("%.1f", f.Value), f.Unit)
	}
	report(t, s.Findings(), nil)
}

// revocations is how many keys are revoked: 3 in CI, 20 and more in `make soak`.
func revocations() int { return max(3, soak()*5/4) }

// TestRevocation revokes the key that signs, of ten guarded pods, and then tries
// to bring the last one back from old Secrets.
func TestRevocation(t *testing.T) {
	agent := deployHasty(t, 10, true)
	before, err := agent.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old, err := agent.Signer.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var good stage.Tally // but for the last: where state and bundle are both old, nobody knows the key of now
	all, tally, err := agent.Revocations(t.Context(), revocations(), func(load *stage.Load) error {
		for _, restore := range before {
			good = load.Tally()
			tries, accepted, err := agent.BringBack(t.Context(), restore, old, 6*time.Second)
			if err != nil {
				return err
			}
			if tries < 10 || len(accepted) > 0 {
				t.Errorf("%s as before, restored by hand: %d of %d tokens of the revoked key were accepted: %q", restore.What, len(accepted), tries, accepted[:min(len(accepted), 3)])
			}
			figure(t, "revoked_key_presented_after_restoring_"+restore.What, tries, "requests")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	report(t, good.Findings(), nil)
	figure(t, "restoring_both_valid_tokens_refused", len(tally.Refused)-len(good.Refused), "requests")
	tellRevocations(t, all)
}

// tellRevocations prints how long revocations took, and judges them.
func tellRevocations(t *testing.T, all []stage.Revocation) {
	t.Helper()
	var acknowledged, refused, again []time.Duration
	for _, r := range all {
		t.Logf("key %s: refused by the last pod after %s, acknowledged after %s, the next key in use after %s", r.KID, r.Worst(), r.Acknowledged, r.Again)
		acknowledged, refused, again = append(acknowledged, r.Acknowledged), append(refused, r.Worst()), append(again, r.Again)
		if len(r.Late) > 0 {
			t.Errorf("key %s: pods accepted it after the status said that all refuse it: %q", r.KID, r.Late)
		}
	}
	for name, durations := range map[string][]time.Duration{"acknowledged": acknowledged, "refused_by_last_pod": refused, "next_key_in_use": again} {
		median, worst := stage.Spread(durations)
		figure(t, "revocation_"+name+"_median", fmt.Sprintf("%.2f", median.Seconds()), "seconds")
		figure(t, "revocation_"+name+"_worst", fmt.Sprintf("%.2f", worst.Seconds()), "seconds")
	}
	figure(t, "revocations", len(all), "keys")
}
