// Sidecar guards the ports of one agent.
//
//	sidecar --policy FILE --keys DIR --listen ADDR --upstream URL --admin ADDR
//	sidecar --policy FILE --keys-file FILE --pod-ips IPS --guard PORT [...] --admin ADDR [...]
//	sidecar drain [--admin ADDR]
//	sidecar version
//
// It ends with 0 when it was asked to, 1 when it failed at run time, 2 when it
// was started wrongly (flags, policy or keys), and 3 when another process of
// the pod listens on a guarded port.
package main

import (
	"context"
	"errors"
	"io"

	"gatepost.dev/gatepost/internal/program"
	"gatepost.dev/gatepost/sidecar"
)

// exitPortTaken is the exit code that the sidecar alone has.
const exitPortTaken = 3

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() { guarding().Main() }

// guarding is the sidecar as a program.
func guarding() program.Program {
	return program.Program{Name: "sidecar", Version: version, Work: guard}
}

// guard runs the sidecar until ctx ends.
func guard(ctx context.Context, args []string, stderr io.Writer) error {
	options, err := parse(args, stderr)
	if err != nil {
		return program.Usage(err)
	}
	options.config.Version = version
	if options.config.Log, err = program.Prepare(stderr, options.logLevel); err != nil {
		return err
	}
	s, err := sidecar.New(options.config)
	if err == nil {
		err = options.present()
	}
	if err != nil {
		return program.Usage(err)
	}
	return ended(s.Run(ctx))
}

// present names the flag whose file or directory is not there.
func (o *options) present() error {
	return program.Present(
		program.Named{Flag: "policy", Path: o.config.PolicyFile},
		program.Named{Flag: "keys", Path: o.config.KeysDir, Dir: true},
		program.Named{Flag: "keys-file", Path: o.config.KeysFile},
	)
}

// ended gives an error of Run the exit code that goes with it.
func ended(err error) error {
	switch {
	case errors.Is(err, sidecar.ErrNotLoaded):
		return program.Usage(err)
	case errors.Is(err, sidecar.ErrPortTaken):
		return program.Exit(exitPortTaken, err)
	}
	return err
}
