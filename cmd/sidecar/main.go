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
	"gatepost.dev/gatepost/sidecar"
)

// The exit codes.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitPortTaken = 3
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// memoryLimit is what the Go runtime aims at unless GOMEMLIMIT says otherwise,
// in bytes: the same as in a pod, where 256 MiB are the end.
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
		fmt.Fprintf(stdout, "sidecar %s %s\n", telemetry.Version(version), runtime.Version())
		return exitOK
	case "drain":
		return drain(ctx, args[1:], stderr)
	}
	return guard(ctx, args, stderr)
}

// guard runs the sidecar until ctx ends.
func guard(ctx context.Context, args []string, stderr io.Writer) int {
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
	s, err := sidecar.New(options.config)
	if err == nil {
		err = options.present()
	}
	if err != nil {
		return complain(stderr, err, exitUsage)
	}
	return ended(s.Run(ctx), stderr)
}

// present names the flag whose file or directory is not there.
func (o *options) present() error {
	return program.Present(
		program.Named{Flag: "policy", Path: o.config.PolicyFile},
		program.Named{Flag: "keys", Path: o.config.KeysDir},
		program.Named{Flag: "keys-file", Path: o.config.KeysFile},
	)
}

// ended is the exit code that goes with the error of Run.
func ended(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, sidecar.ErrNotLoaded):
		return complain(stderr, err, exitUsage)
	case errors.Is(err, sidecar.ErrPortTaken):
		return complain(stderr, err, exitPortTaken)
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%w: another program listens there; choose another port or end it", err)
	}
	return complain(stderr, err, exitFailed)
}

// drain tells a running sidecar of the same pod not to be ready any more.
func drain(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("sidecar drain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("admin", "127.0.0.1:19901", "admin `address` of the sidecar, on loopback")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := adminport.Drain(ctx, *address); err != nil {
		return complain(stderr, err, exitFailed)
	}
	return exitOK
}

// complain writes one error for a person and returns the code.
func complain(stderr io.Writer, err error, code int) int {
	fmt.Fprintf(stderr, "sidecar: %v\n", err)
	return code
}
