package main

import (
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	gatepost := func() { os.Exit(run(asCalled(os.Args), os.Stdout, os.Stderr, time.Now)) }
	testscript.Main(m, map[string]func(){"gatepost": gatepost, pluginName: gatepost, completionName: gatepost})
}

// The transcripts in testdata are what a person types and sees.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"terminal": terminalCommand, "narrow": narrowCommand},
	})
}
