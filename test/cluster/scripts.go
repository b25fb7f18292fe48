package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// useCurrent says whether an existing cluster stands in for ours.
func useCurrent() bool { return os.Getenv("GATEPOST_CLUSTER") == "current" }

// findScripts returns the directory of the scripts beside this file. A test runs
// in the directory of its package, somewhere in the same module.
func findScripts() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		scripts := filepath.Join(dir, "test", "cluster")
		if _, err := os.Stat(filepath.Join(scripts, "build")); err == nil {
			return scripts, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding test/cluster/build: this is not a checkout of gatepost")
		}
		dir = parent
	}
}

// buildPrograms returns the directory of the programs, which it builds first
// unless they are there. The script waits for others that build the same.
func buildPrograms(ctx context.Context, scripts string, progress io.Writer) (string, error) {
	if progress == nil {
		progress = os.Stderr
	}
	// Not bound to ctx: a build that outlives a test's patience is ready for the next.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(scripts, "build"), "--print")
	cmd.Stderr = progress
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// settings returns the variables that the script `env` prints for a shell.
func settings(ctx context.Context, scripts string) (map[string]string, error) {
	out, err := output(exec.CommandContext(ctx, filepath.Join(scripts, "env")))
	if err != nil {
		return nil, err
	}
	return parseSettings(out), nil
}

func parseSettings(out string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			values[name] = strings.Trim(value, "'")
		}
	}
	return values
}
