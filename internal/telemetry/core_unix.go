//go:build unix

package telemetry

import (
	"fmt"
	"syscall"
)

// DisableCoreDumps makes sure that a crash writes no core file, in which every
// key would be.
func DisableCoreDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}
