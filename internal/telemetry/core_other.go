//go:build !unix

package telemetry

// DisableCoreDumps does nothing where there are no core files.
func DisableCoreDumps() error { return nil }
