//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// terminalCommand plays a terminal; only on Linux.
func terminalCommand(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("begin the script with: [!linux] skip")
}

// narrowCommand looks at what was seen on it.
func narrowCommand(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("begin the script with: [!linux] skip")
}
