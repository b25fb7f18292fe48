package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/internal/telemetry"
)

// The exit codes that both programs have; they are API.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// memoryLimit is what the Go runtime aims at unless GOMEMLIMIT says otherwise, in
// bytes: the same as in a pod, where 256 MiB are the end. Hashes of passwords take
// up to 128 MiB of it.
const memoryLimit = 200 << 20

// Program is one that works until it is asked to end.
type Program struct {
	// Name is what a person calls it by, Version what the linker stamped.
	Name, Version string
	// Work does it until ctx ends. Its error is told to the person who started the
	// program, and is exit code 1 unless Usage or Exit says otherwise.
	Work func(ctx context.Context, args []string, stderr io.Writer) error
	// DrainWait is how long the command drain waits unless --wait says otherwise;
	// zero: it does not wait, and there is no such flag.
	DrainWait time.Duration
}

// Main is the program's main: it works until SIGTERM or an interrupt. A second one
// ends it at once.
func (p Program) Main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	os.Exit(p.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Run does what args say and returns the exit code.
func (p Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "version":
		fmt.Fprintf(stdout, "%s %s %s\n", p.Name, telemetry.Version(p.Version), runtime.Version())
		return exitOK
	case "drain":
		return p.drain(ctx, args[1:], stderr)
	}
	return p.end(p.Work(ctx, args, stderr), stderr)
}

// drain tells the program that runs in the same pod not to be ready any more, and
// waits until nobody sends it new requests: run before a pod is stopped, it holds
// the signal back for so long.
func (p Program) drain(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet(p.Name+" drain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("admin", "127.0.0.1:19901", "admin `address` of the "+p.Name+", on loopback")
	wait := p.DrainWait
	if wait > 0 {
		flags.DurationVar(&wait, "wait", wait, "`time` to wait afterwards, until the pod's address is known to be gone")
	}
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := adminport.Drain(asking, *address); err != nil {
		return p.end(err, stderr)
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
	return exitOK
}

// end tells a person about an error and returns the exit code.
func (p Program) end(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	exit, ok := errors.AsType[*exitError](err)
	switch {
	case ok:
	case errors.Is(err, syscall.EADDRINUSE):
		exit = &exitError{exitFailed, fmt.Errorf("%w: another program listens there; choose another port or end it", err)}
	default:
		exit = &exitError{exitFailed, err}
	}
	fmt.Fprintf(stderr, "%s: %v\n", p.Name, exit.error)
	return exit.code
}

// exitError is an error with the exit code that goes with it.
type exitError struct {
	code int
	error
}

// Unwrap is the error.
func (e *exitError) Unwrap() error { return e.error }

// Exit is err with an exit code of its own.
func Exit(code int, err error) error { return &exitError{code, err} }

// Usage is err with exit code 2: the program was started wrongly.
func Usage(err error) error { return Exit(exitUsage, err) }

// Prepare makes the process fit to hold keys: no crash leaves a core file, and all
// that libraries log goes to stderr as records of at least the given level.
func Prepare(stderr io.Writer, level string) (*slog.Logger, error) {
	if err := telemetry.DisableCoreDumps(); err != nil {
		return nil, err
	}
	logger, err := telemetry.NewLogger(stderr, level)
	if err != nil {
		return nil, Usage(fmt.Errorf("--log-level: %w", err))
	}
	log.SetFlags(0)
	log.SetOutput(telemetry.Bridge(logger, "log").Writer())
	return logger, nil
}
