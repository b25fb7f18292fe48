package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/lint"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

func lintCommand(now func() time.Time) *cobra.Command {
	var files []string
	var strict bool
	var format output.Format
	command := &cobra.Command{
		Use:   "lint -f FILE [-f FILE]...",
		Short: "Say what is wrong with a policy or an issuer, and what is probably not meant",
		Long: `Check files with an AgentAuthPolicy or a TokenIssuer, and the APIKeys beside it.

Errors are what a sidecar, an issuer or the controller would refuse. Warnings are
what works and is probably not meant: rules that are never reached, issuers that
end in a slash, exemptions that change something, CORS for every page.

Exit code 1 says that there is an error, or with --strict a warning; 2 that a file
could not be read. Secrets and keys are not looked at.`,
		Example: `  gatepost policy lint -f policy.yaml
  gatepost policy lint -f policy.yaml -f issuer.yaml --strict -o json`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			found := []lint.Finding{}
			for _, file := range files {
				content, err := readInput(command, file)
				if err != nil {
					return fmt.Errorf("reading --file: %w", err)
				}
				if file == "-" {
					file = "stdin"
				}
				found = append(found, lint.Check(file, content, now())...)
			}
			if err := output.To(command, format).Print(found, lintTable(found)); err != nil {
				return err
			}
			for i := range found {
				if found[i].Severity == lint.Error || strict {
					return errUnexpected
				}
			}
			return nil
		},
	}
	command.Flags().StringArrayVarP(&files, "file", "f", nil, "file with the policy or the issuer, or - for stdin; repeat it for several")
	command.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	format.Flag(command)
	_ = command.MarkFlagRequired("file")
	return command
}

func lintTable(found []lint.Finding) output.Table {
	table := output.Table{
		Columns: []output.Column{{Name: "FILE"}, {Name: "SEVERITY"}, {Name: "FIELD"}, {Name: "SAYS", Wrap: true}},
		Empty:   "nothing to say",
	}
	for _, one := range found {
		place, tone := one.File, output.Notice
		if one.Line > 0 {
			place = fmt.Sprintf("%s:%d", one.File, one.Line)
		}
		if one.Severity == lint.Error {
			tone = output.Bad
		}
		table.Rows = append(table.Rows, []output.Cell{{Text: place}, {Text: string(one.Severity), Tone: tone}, {Text: one.Field}, {Text: one.Says}})
	}
	return table
}
