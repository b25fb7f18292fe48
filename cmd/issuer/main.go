// Issuer issues tokens.
//
//	issuer --issuer FILE --keys DIR [--users FILE] --listen ADDR --admin ADDR
//	issuer --bundle DIR --listen ADDR --admin ADDR [--pod-uid UID] [--min-revision N]
//	issuer drain [--admin ADDR] [--wait DURATION]
//	issuer version
//
// It ends with 0 when it was asked to, 1 when it failed at run time, and 2 when it
// was started wrongly (flags, document or keys).
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"gatepost.dev/gatepost/internal/program"
	"gatepost.dev/gatepost/issuer"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() { issuing().Main() }

// issuing is the issuer as a program.
func issuing() program.Program {
	return program.Program{Name: "issuer", Version: version, Work: serve, DrainWait: 5 * time.Second}
}

// serve runs the issuer until ctx ends.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	options, err := parse(args, stderr)
	if err != nil {
		return program.Usage(err)
	}
	options.config.Version = version
	if options.config.Log, err = program.Prepare(stderr, options.logLevel); err != nil {
		return err
	}
	made, err := issuer.New(options.config)
	if err == nil {
		err = options.present()
	}
	if err != nil {
		return program.Usage(err)
	}
	if err = made.Run(ctx); errors.Is(err, issuer.ErrNotLoaded) {
		return program.Usage(err)
	}
	return err
}

// present names the flag whose file or directory is not there.
func (o *options) present() error {
	return program.Present(
		program.Named{Flag: "issuer", Path: o.config.DocumentFile},
		program.Named{Flag: "keys", Path: o.config.KeysDir, Dir: true},
		program.Named{Flag: "users", Path: o.config.UsersFile},
		program.Named{Flag: "bundle", Path: o.config.BundleDir, Dir: true},
	)
}
