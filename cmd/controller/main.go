// Command controller is Gatepost's controller and admission webhook: it turns
// SigningKey and AgentAuthPolicy objects into the Secrets that sidecars mount,
// rotates keys, and adds the sidecar to new pods.
//
// It is configured by flags alone and exits with 0 after SIGTERM, 1 when it
// cannot go on, 2 when a flag is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// command is the whole program with its surroundings passed in.
func command(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "version" {
		fmt.Fprintln(stderr, "controller", version)
		return 0
	}
	settings, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "controller:", err)
		return 2
	}
	if err := run(ctx, settings, stderr); err != nil {
		fmt.Fprintln(stderr, "controller:", err)
		return 1
	}
	return 0
}
