//go:build cluster && linux

package docs

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/fleet"
)

// What pages show with kubectl is done as it stands, on a control plane with a
// controller, the objects of examples/fastapi and a fleet in the place of a node.
func TestExamplesInACluster(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	out, err := exec.CommandContext(t.Context(), "../cluster/build", "--print").Output()
	if err != nil {
		t.Fatalf("building kubectl: %v", err)
	}
	t.Setenv("PATH", strings.TrimSpace(string(out))+":"+os.Getenv("PATH"))
	for _, path := range documents(t) {
		p, err := parse(read(t, path))
		if err != nil || !p.has(markCluster) {
			continue // TestExamplesOfDocuments says what is wrong with a page
		}
		t.Run(path, func(t *testing.T) {
			c := furnished(t)
			compare(t, path, p.runs(markCluster), "KUBECONFIG="+c.Kubeconfig)
		})
	}
}

// furnished is a control plane as the pages find it.
func furnished(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := cluster.ControlPlane(t)
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "../../config/crd"},
		{"wait", "--for=condition=Established", "crd", "--all", "--timeout=180s"},
		{"create", "namespace", "gatepost-system"},
		{"create", "namespace", "agents"},
		{"apply", "-n", "agents", "-f", "../../examples/fastapi/signingkey.yaml", "-f", "../../examples/fastapi/policy.yaml"},
		{"create", "-n", "agents", "deployment", "fastapi", "--image=localhost/fastapi:dev", "--replicas=0"},
	} {
		if _, err := c.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(fleet.RunController(t, c.Config, controller.Config{MinPrePublish: time.Second, RetireMargin: time.Second}))
	f, err := fleet.New(t.Context(), fleet.Options{Config: c.Config, Namespace: "agents"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if _, err := f.Add(t.Context(), "fastapi", 2); err != nil {
		t.Fatal(err)
	}
	const ready = "--for=jsonpath={.status.keys[0].verifiers.ready}=2"
	if out, err := c.Kubectl(t.Context(), "wait", "-n", "agents", "signingkey/agent-tokens", ready, "--timeout=180s"); err != nil {
		t.Fatalf("the sidecars did not acknowledge the first key: %v\n%s", err, out)
	}
	return c
}
