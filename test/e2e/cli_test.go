//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestCommandLine is a person with a kubeconfig: what is guarded, why a request was
// refused, which only a port-forward to the pod's own loopback address can tell, and
// a rotation that is watched until the new key signs.
func TestCommandLine(t *testing.T) {
	agent := deploy(t)
	program := filepath.Join(t.TempDir(), "gatepost")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/gatepost")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building gatepost: %v\n%s", err, out)
	}
	gatepost := func(args ...string) string {
		t.Helper()
		out, err := agent.OnNode(t.Context(), program, append(args, "-n", agent.Namespace)...).CombinedOutput()
		if err != nil {
			t.Errorf("gatepost %v: %v\n%s", args, err, out)
		}
		return string(out)
	}

	if said := gatepost("status", "--check"); !strings.Contains(said, "2 of 2 selected pods are guarded.") {
		t.Errorf("status:\n%s", said)
	}
	id := refusal(t, agent)
	began := time.Now()
	said := gatepost("explain", id)
	figure(t, "explain_of_pods_took", fmt.Sprintf("%.2f", time.Since(began).Seconds()), "seconds")
	for _, want := range []string{id, "missing_credential", stage.PolicyName} {
		if !strings.Contains(said, want) {
			t.Errorf("explain %s does not say %s:\n%s", id, want, said)
		}
	}
	began = time.Now()
	if said := gatepost("keys", "rotate", stage.KeyName, "--wait=active"); !strings.Contains(said, " signs, ") {
		t.Errorf("keys rotate:\n%s", said)
	}
	figure(t, "keys_rotate_wait_active_took", fmt.Sprintf("%.1f", time.Since(began).Seconds()), "seconds")
}

// refusal is the decision id of a request without a token.
func refusal(t *testing.T, agent *stage.Agent) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, agent.URL("/me"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := agent.Pod.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	id := response.Header.Get("X-Gatepost-Decision")
	if response.StatusCode != http.StatusUnauthorized || id == "" {
		t.Fatalf("a request without a token was answered %d, decision %q", response.StatusCode, id)
	}
	return id
}
