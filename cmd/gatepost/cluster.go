package main

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

//go:generate go test -count=1 -run ^TestReferencePageIsCurrent$ . -args -update

// clusterCommands are those that ask a cluster, and inject, which may.
func clusterCommands(now func() time.Time) []*cobra.Command {
	return []*cobra.Command{keysCommand(now), statusCommand(now), injectCommand()}
}

// The names that make kubectl find this program: as a plugin, and to complete
// what follows `kubectl gatepost`. Both are links to it.
const (
	pluginName     = "kubectl-gatepost"
	completionName = "kubectl_complete-gatepost"
)

// asCalled returns the arguments for a program that was called with argv. Under
// the name that kubectl completes by, it answers as the shell's completion does.
func asCalled(argv []string) []string {
	if programName(argv[0]) == completionName {
		return append([]string{cobra.ShellCompRequestCmd}, argv[1:]...)
	}
	return argv[1:]
}

// nameFor makes help speak of `kubectl gatepost` where it is called so.
func nameFor(root *cobra.Command, argv0 string) {
	if programName(argv0) == pluginName {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl gatepost"}
	}
}

func programName(argv0 string) string {
	return strings.TrimSuffix(filepath.Base(argv0), ".exe")
}
