package main

import (
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gatepost": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, time.Now)) },
	})
}

// The transcripts in testdata are what a person types and sees.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true})
}
