//go:build !linux

package demo_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// alone runs the program as whoever runs the test: other systems have no network
// namespaces.
func alone(t *testing.T, program string) *exec.Cmd {
	t.Helper()
	return plain(t, program)
}

func enter(string) {
	fmt.Fprintln(os.Stderr, "only Linux can close the network of one process")
	os.Exit(99)
}
