package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatepost.dev/gatepost/cmd/gatepost/internal/cases"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// policyTest holds the flags of `gatepost policy test`.
type policyTest struct {
	files  []string
	junit  string
	format output.Format
}

func testCommand(now func() time.Time) *cobra.Command {
	var p policyTest
	command := &cobra.Command{
		Use:   "test -f CASES [-f CASES]...",
		Short: "Judge requests against a policy, without a cluster",
		Long: `Judge the requests of files against a policy and compare with what the files
expect. The judgement is the sidecar's own code. Exit code 1 says that a case
came out otherwise, 2 that a file could not be read or a policy is not valid;
the other files are judged all the same.

A file:
  policy: policy.yaml
  cases:
  - name: a teacher may run an agent
    request: {method: POST, path: /agents/a1/runs, headers: {X-Tenant-ID: t1}}
    principal: {provider: laravel, claims: {role: teacher}}  # or {apiKey: crm}; none: no credential
    expect: {reason: ok, rule: run}                          # with insufficient_scope also scopes: [...]`,
		Example: `  gatepost policy test -f cases.yaml
  gatepost policy test -f chat.yaml -f mail.yaml --junit report.xml`,
		Args: arguments(0, 0),
		RunE: func(command *cobra.Command, _ []string) error {
			return p.run(command, now)
		},
	}
	flags := command.Flags()
	flags.StringArrayVarP(&p.files, "file", "f", nil, "file with the policy's name and the cases; repeat it for several")
	flags.StringVar(&p.junit, "junit", "", "`file` for a JUnit report, written also when cases fail; - is stdout, in place of the list")
	p.format.Flag(command)
	_ = command.MarkFlagRequired("file")
	return command
}

func (p *policyTest) run(command *cobra.Command, now func() time.Time) error {
	if p.junit == "-" && p.format != output.Text {
		return errors.New("--junit - and -o both want stdout: give --junit a file")
	}
	var reports []cases.Report
	var errs []error
	failed := 0
	for _, file := range p.files {
		report, err := cases.Judge(file, now)
		if err != nil {
			errs = append(errs, err)
		}
		failed += report.Failed()
		reports = append(reports, report)
	}
	if err := p.report(output.To(command, p.format), reports, now()); err != nil {
		errs = append(errs, err)
	}
	switch {
	case len(errs) > 0:
		return errors.Join(errs...)
	case failed > 0:
		return errUnexpected
	}
	return nil
}

// report writes what came of the cases, to stdout and to the file of --junit.
func (p *policyTest) report(to output.Printer, reports []cases.Report, at time.Time) error {
	if p.junit != "" {
		text, err := cases.JUnit(reports, at)
		if err == nil && p.junit == "-" {
			_, err = to.Out.Write(text)
			return err
		}
		if err == nil {
			err = os.WriteFile(p.junit, text, 0o644) //nolint:gosec // a report is for everybody
		}
		if err != nil {
			return fmt.Errorf("--junit: %w", err)
		}
	}
	if p.format != output.Text {
		return to.Value(reports)
	}
	if len(reports) == 1 && reports[0].Error != "" {
		return nil // the error says it
	}
	_, err := io.WriteString(to.Out, cases.Text(reports, to.Terminal))
	return err
}
