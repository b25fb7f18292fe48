package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		Long: `Check files with AgentAuthPolicies, TokenIssuers and the APIKeys beside them. Of a
directory, all files below whose names end in .yaml, .yml or .json are checked, but
for hidden ones. Objects of other kinds are left out, and counted on stderr.

Errors are what a sidecar, an issuer or the controller would refuse. Warnings are
what works and is probably not meant: rules that are never reached, issuers that
end in a slash, exemptions that change something, CORS for every page.

Exit code 1 says that there is an error, or with --strict a warning; 2 that a file
could not be read, or that there was nothing to check. Secrets and keys are not
looked at. The file of a sidecar or an issuer without Kubernetes holds one policy or
one issuer; here a file may hold several.`,
		Example: `  gatepost policy lint -f policy.yaml
  gatepost policy lint -f policy.yaml -f issuer.yaml --strict -o json
  gatepost policy lint -f deploy/`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			report := lint.Report{Findings: []lint.Finding{}}
			for _, file := range files {
				if err := lintAll(command, &report, file, now()); err != nil {
					return err
				}
			}
			if report.Checked == 0 && len(report.Findings) == 0 {
				return fmt.Errorf("there is no AgentAuthPolicy, TokenIssuer or APIKey in %s: name the files or directories that have some", strings.Join(files, ", "))
			}
			if err := output.To(command, format).Print(report.Findings, lintTable(report.Findings)); err != nil {
				return err
			}
			if report.Skipped > 0 {
				fmt.Fprintf(command.ErrOrStderr(), "objects of Gatepost checked: %d; others left out: %d\n", report.Checked, report.Skipped)
			}
			for i := range report.Findings {
				if report.Findings[i].Severity == lint.Error || strict {
					return errUnexpected
				}
			}
			return nil
		},
	}
	command.Flags().StringArrayVarP(&files, "file", "f", nil, "`FILE` or directory with policies and issuers, or - for stdin; repeat it for several")
	command.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	format.Flag(command)
	_ = command.MarkFlagRequired("file")
	return command
}

// lintAll adds what there is to say about one --file: a file, stdin or a directory.
func lintAll(command *cobra.Command, report *lint.Report, name string, now time.Time) error {
	if info, err := os.Stat(name); name != "-" && err == nil && info.IsDir() {
		return lintBelow(command, report, name, now)
	}
	content, err := readInput(command, name)
	if err != nil {
		return fmt.Errorf("reading --file: %w", err)
	}
	if name == "-" {
		name = "stdin"
	}
	report.Add(name, content, false, now)
	return nil
}

// lintBelow looks at the manifests of a directory, in the order of their names.
func lintBelow(command *cobra.Command, report *lint.Report, dir string, now time.Time) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch hidden := path != dir && strings.HasPrefix(entry.Name(), "."); {
		case err != nil:
			return fmt.Errorf("reading --file: %w", err)
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden, entry.IsDir(), !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			return nil
		}
		content, err := readInput(command, path)
		if err != nil {
			return fmt.Errorf("reading --file: %w", err)
		}
		report.Add(path, content, true, now)
		return nil
	})
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
