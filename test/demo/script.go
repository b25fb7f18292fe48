package main

import (
	"fmt"
	"io"
	"time"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// script prints what happens, and keeps count.
type script struct {
	out          io.Writer
	began        time.Time
	good, failed int
}

func newScript(out io.Writer) *script { return &script{out: out, began: time.Now()} }

func (s *script) heading(text string) {
	s.printf("\n== %s (%s)\n", text, time.Since(s.began).Round(time.Second))
}

func (s *script) say(format string, args ...any) { s.printf("   "+format+"\n", args...) }

func (s *script) findings(findings []stage.Finding) {
	for _, f := range findings {
		mark := "ok  "
		if f.Err != nil {
			mark = "FAIL"
			s.failed++
		} else {
			s.good++
		}
		s.printf("   %s %s -> %s\n", mark, f.What, f.Saw)
	}
}

func (s *script) figure(f stage.Figure) { s.printf("figure: %s %g %s\n", f.Name, f.Value, f.Unit) }

// close prints how it went.
func (s *script) close() error {
	s.heading("The end")
	s.figure(stage.Figure{Name: "demo_checks_passed", Value: float64(s.good), Unit: "checks"})
	s.figure(stage.Figure{Name: "demo_checks_failed", Value: float64(s.failed), Unit: "checks"})
	s.figure(stage.Figure{Name: "demo_after_build_cluster", Value: time.Since(s.began).Round(time.Second).Seconds(), Unit: "seconds"})
	if s.failed > 0 {
		return fmt.Errorf("%w: %d checks failed, %d passed", errFailed, s.failed, s.good)
	}
	s.say("%d checks, all as they should be", s.good)
	return nil
}

func (s *script) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...) // a demo that nobody can read goes on
}
