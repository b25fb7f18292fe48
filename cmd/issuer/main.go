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
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/internal/program"
	"gatepost.dev/gatepost/internal/telemetry"
	"gatepost.dev/gatepost/issuer"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// memoryLimit is what the Go runtime aims at unless GOMEMLIMIT says otherwise, in
// bytes: hashes of passwords take up to 128 MiB of it.
const memoryLimit = 200 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does what args say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "version":
		fmt.Fprintf(stdout, "issuer %s %s\n", telemetry.Version(version), runtime.Version())
		return exitOK
	case "drain":
		return drain(ctx, args[1:], stderr)
	}
	return serve(ctx, args, stderr)
}

// serve runs the issuer until ctx ends.
func serve(ctx context.Context, args []string, stderr io.Writer) int {
	options, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return complain(stderr, err, exitUsage)
	}
	if err := telemetry.DisableCoreDumps(); err != nil {
		return complain(stderr, err, exitFailed)
	}
	logger, err := telemetry.NewLogger(stderr, options.logLevel)
	if err != nil {
		return complain(stderr, fmt.Errorf("--log-level: %w", err), exitUsage)
	}
	log.SetFlags(0)
	log.SetOutput(telemetry.Bridge(logger, "log").Writer())
	options.config.Log, options.config.Version = logger, version
	made, err := issuer.New(options.config)
	if err == nil {
		err = options.present()
	}
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	return ended(made.Run(ctx), stderr)
}

// present names the flag whose file or directory is not there.
func (o *options) present() error {
	return program.Present(
		program.Named{Flag: "issuer", Path: o.config.DocumentFile},
		program.Named{Flag: "keys", Path: o.config.KeysDir},
		program.Named{Flag: "users", Path: o.config.UsersFile},
		program.Named{Flag: "bundle", Path: o.config.BundleDir},
	)
}

// ended is the exit code that goes with the error of Run.
func ended(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, issuer.ErrNotLoaded):
		return complain(stderr, err, exitUsage)
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%w: another program listens there; choose another port or end it", err)
	}
	return complain(stderr, err, exitFailed)
}

// drain tells a running issuer of the same pod not to be ready any more, and waits
// until nobody sends it new requests: run before a pod is stopped, it holds the
// signal back for so long.
func drain(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("issuer drain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("admin", "127.0.0.1:19901", "admin `address` of the issuer, on loopback")
	wait := flags.Duration("wait", 5*time.Second, "`time` to wait afterwards, until the pod's address is known to be gone")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := adminport.Drain(asking, *address); err != nil {
		return complain(stderr, err, exitFailed)
	}
	select {
	case <-ctx.Done():
	case <-time.After(*wait):
	}
	return exitOK
}

// complain writes one error for a person and returns the code.
func complain(stderr io.Writer, err error, code int) int {
	fmt.Fprintf(stderr, "issuer: %v\n", err)
	return code
}
