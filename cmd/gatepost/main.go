// Command gatepost is the command line of Gatepost, also installed as
// `kubectl gatepost`: it makes API keys, mints tokens for a test and judges
// requests against a policy without a cluster, with the same code that the
// sidecar runs.
//
// Exit codes: 0 all went well; 1 a judgement was not as expected; 2 the input or
// a flag was wrong.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/policy"
)

// version is set at link time.
var version = "dev"

// errUnexpected says that everything could be read and judged, and that a
// judgement was not the expected one.
var errUnexpected = errors.New("not as expected")

func main() { os.Exit(run(asCalled(os.Args), os.Stdout, os.Stderr, time.Now)) }

func run(args []string, stdout, stderr io.Writer, now func() time.Time) int {
	root := command(now)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUnexpected):
		return 1
	default:
		fmt.Fprintln(stderr, "gatepost:", policy.HideKeys(err.Error())) // a key given by mistake is not said again
		return 2
	}
}

func command(now func() time.Time) *cobra.Command {
	root := &cobra.Command{
		Use:           "gatepost",
		Short:         "Authentication for AI agents on Kubernetes",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	tokens := &cobra.Command{Use: "token", Short: "Make tokens"}
	tokens.AddCommand(mintCommand(now))
	policies := &cobra.Command{Use: "policy", Short: "Check policies"}
	policies.AddCommand(testCommand())
	keys := &cobra.Command{Use: "apikey", Short: "Make API keys"}
	keys.AddCommand(createCommand(now, rand.Reader))
	root.AddCommand(tokens, policies, keys)
	root.AddCommand(clusterCommands(now)...)
	nameFor(root, os.Args[0])
	return root
}
