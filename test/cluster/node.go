package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Node returns the node of this machine, which it brings up when it is down. All
// tests and test binaries share it: give each test a namespace of its own. A node
// that tests brought up goes down when the last test binary has ended, in
// whatever way; with GATEPOST_CLUSTER_KEEP in the environment it stays, and so
// does one that was up before.
//
// Where no node can run, the test is skipped with the reason; with CI=true in the
// environment it fails, lest a build is green because nothing ran.
func Node(t testing.TB) *Cluster {
	t.Helper()
	c, err := Join(t.Context())
	if errors.Is(err, ErrNoNode) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ErrNoNode is why Join fails on a machine that lacks what a node needs.
var ErrNoNode = errors.New("THIS MACHINE RUNS NO NODE")

// Join is what Node does, for a TestMain and for programs: it makes this process
// a user of the node until it ends.
func Join(ctx context.Context) (*Cluster, error) {
	if useCurrent() {
		return Current()
	}
	scripts, err := findScripts()
	if err != nil {
		return nil, err
	}
	if _, err := output(exec.CommandContext(ctx, filepath.Join(scripts, "up"), "--check")); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	if _, err := buildPrograms(ctx, scripts, nil); err != nil { // `up` would, but not show how far it is
		return nil, err
	}
	if err := joinNode(ctx, scripts); err != nil {
		return nil, err
	}
	env, err := settings(ctx, scripts)
	if err != nil {
		return nil, err
	}
	c, err := fromKubeconfig(env["KUBECONFIG"])
	if err != nil {
		return nil, err
	}
	c.bin, c.dir, c.netns = env["CLUSTER_BIN"], scripts, filepath.Join("/run/netns", env["CLUSTER_NETNS"])
	c.Config.Dial = c.Dial
	return c, nil
}

// joinNode makes this process a user of the node until it ends, and brings the
// node up when it is down.
func joinNode(ctx context.Context, scripts string) error {
	users := "/run/gatepost-node-users" + os.Getenv("CLUSTER_NETNS")
	if err := holdUntilExit(users); err != nil {
		return fmt.Errorf("locking %s: %w", users, err)
	}
	wasUp := exec.CommandContext(ctx, filepath.Join(scripts, "env")).Run() == nil
	if !wasUp && os.Getenv("GATEPOST_CLUSTER_KEEP") == "" {
		// Before the node is up, so that it goes down even if we die meanwhile.
		if err := whenReleased(ctx, users, filepath.Join(scripts, "down")); err != nil {
			return fmt.Errorf("arranging for the node's end: %w", err)
		}
	}
	if _, err := output(exec.CommandContext(ctx, filepath.Join(scripts, "up"), "--reuse")); err != nil {
		return fmt.Errorf("bringing up the node: %w", err)
	}
	return nil
}
