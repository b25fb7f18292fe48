// Command caller makes the HTTP requests that a test asks for, from the pod that
// it runs in. As the process of a container it waits to be joined:
//
//	kubectl exec -i caller -- /caller requests
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"gatepost.dev/gatepost/test/e2e/remote"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: caller wait|requests")
	}
	switch args[0] {
	case "wait":
		<-ctx.Done()
		return nil
	case "requests":
		return remote.Serve(ctx, os.Stdin, os.Stdout)
	}
	return fmt.Errorf("no command %q: want wait or requests", args[0])
}
