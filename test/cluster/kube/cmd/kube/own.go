package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"gatepost.dev/gatepost/test/cluster/kube/internal/controlplane"
	"gatepost.dev/gatepost/test/cluster/kube/internal/pki"
)

// writePKI is `kube pki --dir DIR --server URL --names NAME,... --node NAME`.
func writePKI() error {
	var config pki.Config
	flags := pflag.NewFlagSet("pki", pflag.ContinueOnError)
	flags.StringVar(&config.Dir, "dir", "pki", "directory to write")
	flags.StringVar(&config.Server, "server", "https://127.0.0.1:6443", "API server's URL in the kubeconfigs")
	flags.StringSliceVar(&config.Names, "names", nil, "further addresses and DNS names of the API server")
	flags.StringVar(&config.Node, "node", "node", "name of the node the kubelet speaks for")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	return pki.Write(config)
}

// runControlPlane is `kube control-plane --dir DIR [--port PORT] [--until-eof]`.
// Once pods could be created it prints one line, "ready URL", on standard output.
func runControlPlane() error {
	var config controlplane.Config
	var untilEOF bool
	flags := pflag.NewFlagSet("control-plane", pflag.ContinueOnError)
	flags.StringVar(&config.Dir, "dir", "", "directory for certificates and data (required)")
	flags.IntVar(&config.Port, "port", 0, "port on 127.0.0.1; 0 takes a free one")
	flags.BoolVar(&untilEOF, "until-eof", false, "end when standard input ends, and so with whoever holds its other end")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	plane, err := controlplane.Start(ctx, config)
	if err != nil {
		return err
	}
	fmt.Println("ready", plane.URL)
	return plane.Wait(ctx)
}
