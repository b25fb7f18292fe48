// Command gatepost is the command line of Gatepost, also installed as
// `kubectl gatepost`. Without a cluster it mints and reads tokens, makes API
// keys, judges requests against a policy, explains refusals and plays a demo,
// with the same code that the sidecar and the issuer run. In a cluster it shows
// what is guarded, and keys on their way.
//
// Exit codes: 0 all went well; 1 a judgement was not as expected (a case of a
// test, a token that was to be verified, a policy with errors); 2 the input or a
// flag was wrong, or something could not be asked.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/policy"
)

// errUnexpected says that everything could be read and judged, and that a
// judgement was not the expected one.
var errUnexpected = errors.New("not as expected")

func main() { os.Exit(run(asCalled(os.Args), os.Stdout, os.Stderr, time.Now)) }

func run(args []string, stdout, stderr io.Writer, now func() time.Time) int {
	root := command(now)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := root.ExecuteContext(ctx)
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
		Version:       thisBuild().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate(thisBuild().line())
	tokens := &cobra.Command{Use: "token", Short: "Make, read and verify tokens"}
	tokens.AddCommand(mintCommand(now), inspectCommand(now), verifyCommand(now))
	policies := &cobra.Command{Use: "policy", Short: "Check policies"}
	policies.AddCommand(testCommand(now), lintCommand(now))
	keys := &cobra.Command{Use: "apikey", Short: "Make API keys"}
	keys.AddCommand(createCommand(now, rand.Reader))
	root.AddCommand(tokens, policies, keys, explainCommand(now), demoCommand(rand.Reader), versionCommand())
	root.AddCommand(clusterCommands(now)...)
	refuseMisspelt(root)
	nameFor(root, os.Args[0])
	return root
}
