// Package demo plays Gatepost without a cluster: a sidecar, an issuer and a tiny
// agent run in this process, on free ports of loopback, and a client walks the
// way of a front end. It is refused without a token, gets one for its session,
// streams past the token's expiry, refreshes, meets a rule, sees a key replaced
// without a request refused and another one revoked, and asks why.
//
// Everything real is the real thing: sidecar.Run, issuer.Run, the files they
// watch, HTTP between them. What a controller would do with keys, the demo does
// in the same order with files: publish, switch, remove. Nothing leaves the
// machine, nothing is left behind.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// Config is what a demo needs. The zero value plays in silence.
type Config struct {
	// Out takes the story, act by act; nil: nobody watches.
	Out io.Writer
	// Terminal is what Out can show.
	Terminal output.Terminal
	// Random is where keys come from: a source fit for secrets.
	Random io.Reader
	// Keep leaves everything running at the end, until the context ends.
	Keep bool
}

// Report is what came of it.
type Report struct {
	Steps []Step `json:"steps"`
	// Passed says that every step came out as it should.
	Passed bool `json:"passed"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Step is one thing that was tried.
type Step struct {
	// Act is what it shows.
	Act string `json:"act"`
	// Asked is the request, Answered what came back, Want what should.
	Asked    string `json:"asked"`
	Answered string `json:"answered"`
	Want     string `json:"want"`
	OK       bool   `json:"ok"`
}

// Play plays the demo in a directory of its own, which it removes. The error
// says why it could not go on; steps that came out wrong are in the Report.
func Play(ctx context.Context, c Config) (Report, error) {
	if runtime.GOOS == "windows" {
		return Report{}, errors.New("the demo runs a sidecar, which forwards nothing on Windows: play it on Linux or macOS, or in WSL")
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "gatepost-demo")
	if err != nil {
		return Report{}, fmt.Errorf("a directory for policy and keys: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left is of no use to anybody
	if c.Out == nil {
		c.Out = io.Discard
	}
	s, err := start(ctx, dir, c.Random)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	n := &narrator{out: c.Out, terminal: c.Terminal}
	p := &play{stage: s, narrator: n, client: newClient()}
	defer p.client.http.CloseIdleConnections()
	if err := p.acts(ctx); err != nil {
		return Report{Steps: n.steps}, err
	}
	report := Report{Steps: n.steps, Passed: n.passed(), Seconds: time.Since(began).Seconds()}
	n.end(report)
	if c.Keep && ctx.Err() == nil {
		n.tell(s.directions())
		<-ctx.Done()
	}
	return report, nil
}
