package cases

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/policy"
)

// Report is what came of one file of cases.
type Report struct {
	// File is the file's name as it was given.
	File string `json:"file"`
	// Policy is the policy's file.
	Policy string   `json:"policy,omitempty"`
	Cases  []Result `json:"cases,omitempty"`
	// Error says why nothing could be judged; empty when it could.
	Error string `json:"error,omitempty"`
	// Took is how long judging took.
	Took time.Duration `json:"-"`
}

// Result is what came of one case.
type Result struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Got    string `json:"got"`
	Want   string `json:"want"`
	// Took is how long judging took.
	Took time.Duration `json:"-"`
}

// Failed counts the cases that came out otherwise.
func (r *Report) Failed() int {
	failed := 0
	for _, one := range r.Cases {
		if !one.Passed {
			failed++
		}
	}
	return failed
}

// Judge reads a file of cases and judges each. The error says why that could not
// be done; it is in the Report too.
func Judge(file string, now func() time.Time) (Report, error) {
	report := Report{File: file}
	began := now()
	err := report.judge(now)
	if err != nil {
		report.Cases, report.Error = nil, policy.HideKeys(err.Error())
	}
	report.Took = now().Sub(began)
	return report, err
}

func (r *Report) judge(now func() time.Time) error {
	tests, err := read(r.File)
	if err != nil {
		return err
	}
	r.Policy = filepath.Join(filepath.Dir(r.File), tests.Policy)
	bench, err := readPolicy(r.Policy)
	if err != nil {
		return err
	}
	if err := tests.fits(bench); err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	for _, test := range tests.Cases {
		began := now()
		got := bench.judge(test)
		want := policy.Decision{Reason: test.Expect.Reason, Rule: test.Expect.Rule, Scopes: test.Expect.Scopes}
		r.Cases = append(r.Cases, Result{
			Name: test.Name, Passed: test.isAsExpected(got), Got: describe(got), Want: describe(want), Took: now().Sub(began),
		})
	}
	return nil
}

// Text is the reports for people: a line for each case, and a sum.
func Text(reports []Report, terminal output.Terminal) string {
	var text strings.Builder
	passed, failed := 0, 0
	for i := range reports {
		r := &reports[i]
		if len(reports) > 1 {
			text.WriteString(output.Clean(r.File) + ":\n")
		}
		for _, one := range r.Cases {
			if one.Passed {
				fmt.Fprintf(&text, "%s    %s\n", output.Paint("ok", output.Good, terminal), output.Clean(one.Name))
				continue
			}
			fmt.Fprintf(&text, "%s  %s: got %s, want %s\n", output.Paint("FAIL", output.Bad, terminal), output.Clean(one.Name), one.Got, one.Want)
		}
		if r.Error != "" && len(reports) > 1 {
			text.WriteString(output.Paint("not judged", output.Bad, terminal) + "\n")
		}
		failed += r.Failed()
		passed += len(r.Cases) - r.Failed()
	}
	fmt.Fprintf(&text, "%d passed, %d failed\n", passed, failed)
	return text.String()
}
