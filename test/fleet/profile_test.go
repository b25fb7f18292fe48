//go:build cluster && linux

package fleet_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"gatepost.dev/gatepost/controller"
)

// profileDir, when set, makes the controller of the tests about costs this very
// test binary, which leaves cpu.pprof and heap.pprof in that directory:
//
//	FLEET_PROFILE=/tmp/p GATEPOST_SOAK=20 go test -tags cluster -run CostsNoMore ./test/fleet
const profileDir = "FLEET_PROFILE"

const profiledArg = "profiled-controller"

// runProfiled is the controller under a profiler, with the flags of
// cmd/controller as far as the tests use them.
func runProfiled(args []string) (err error) {
	var c controller.Config
	var namespaces string
	set := flag.NewFlagSet(profiledArg, flag.ExitOnError)
	set.StringVar(&c.SidecarImage, "sidecar-image", "", "")
	set.StringVar(&c.Namespace, "namespace", "", "")
	set.StringVar(&namespaces, "watch-namespaces", "", "")
	set.DurationVar(&c.MinPrePublish, "min-pre-publish", 0, "")
	set.DurationVar(&c.RetireMargin, "retire-margin", 0, "")
	set.StringVar(&c.MetricsAddress, "metrics-address", "", "")
	set.StringVar(&c.HealthAddress, "health-address", "", "")
	_ = set.String("webhook-port", "", "")
	if err := set.Parse(args); err != nil {
		return err
	}
	c.WatchNamespaces = []string{namespaces}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cluster, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	mgr, err := controller.New(cluster, c)
	if err != nil {
		return err
	}
	cpu, err := os.Create(filepath.Join(os.Getenv(profileDir), "cpu.pprof"))
	if err != nil {
		return err
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	defer func() { err = errors.Join(err, writeHeap()) }()
	return mgr.Start(ctx)
}

// writeHeap keeps what is live after a collection.
func writeHeap() error {
	heap, err := os.Create(filepath.Join(os.Getenv(profileDir), "heap.pprof"))
	if err != nil {
		return err
	}
	defer heap.Close()
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	return pprof.Lookup("heap").WriteTo(heap, 0)
}
