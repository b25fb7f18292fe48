package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/demo"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

func demoCommand(random io.Reader) *cobra.Command {
	var keep bool
	var format output.Format
	command := &cobra.Command{
		Use:   "demo",
		Short: "Play everything on this machine, without a cluster",
		Long: `Start a sidecar, an issuer and a tiny agent in this process, on free ports of
127.0.0.1, and play a front end against them: 401, a token, a stream that outlives
it, "Token has expired" and the refresh, a rule, a rotation, a revocation. It takes
about twenty seconds, needs no root, no cluster and no network, and leaves nothing.

Exit code 1 says that a step came out otherwise.`,
		Example: `  gatepost demo
  gatepost demo --keep`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			to := output.To(command, format)
			config := demo.Config{Random: random, Keep: keep}
			if format == output.Text {
				config.Out, config.Terminal = to.Out, to.Terminal
			} else if keep {
				return errors.New("--keep is for people: leave -o out")
			}
			report, err := demo.Play(command.Context(), config)
			if err == nil && format != output.Text {
				err = to.Value(report)
			}
			if err == nil && !report.Passed {
				return errUnexpected
			}
			return err
		},
	}
	command.Flags().BoolVar(&keep, "keep", false, "leave everything running at the end, until Ctrl-C")
	format.Flag(command)
	return command
}
