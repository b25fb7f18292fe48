package main

import (
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/controller/webhook"
	"gatepost.dev/gatepost/internal/telemetry"
)

// run builds the controller and runs it until the context ends.
func run(ctx context.Context, s settings, stderr io.Writer) error {
	records, err := telemetry.NewLogger(stderr, s.logLevel)
	if err != nil {
		return err
	}
	if err := telemetry.DisableCoreDumps(); err != nil {
		return err
	}
	logger := logr.FromSlogHandler(records.Handler())
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	s.Logger = logger

	cluster, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	return serve(ctx, cluster, s)
}

func serve(ctx context.Context, cluster *rest.Config, s settings) error {
	mgr, err := controller.New(cluster, s.Config)
	if err != nil {
		return err
	}
	if err := webhook.Register(mgr, s.webhook); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}
