//go:build cluster && linux

package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/fleet"
	"gatepost.dev/gatepost/test/live"
)

// world is the control plane that the tests share.
var world struct {
	cluster *cluster.Cluster
	api     client.Client
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == profiledArg {
		if err := runProfiled(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet tests:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	ctrl.SetLogger(logr.Discard())
	ctx := context.Background()
	c, err := cluster.Start(ctx, cluster.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if _, err := c.Kubectl(ctx, "apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd")); err != nil {
		return 0, err
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=180s"); err != nil {
		return 0, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 0, err
	}
	for _, args := range [][]string{
		{"create", "namespace", "gatepost-system"},
		{"apply", "--server-side", "-k", filepath.Join("..", "..", "config", "webhook")},
	} {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			return 0, err
		}
	}
	world.cluster = c
	if world.api, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	return live.Main(m), nil
}

// patience is how long a test waits for what takes seconds.
const patience = 3 * time.Minute

// soak is the factor of GATEPOST_SOAK.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// figure prints what docs/figures.md lists.
func figure(name string, value any, unit string) { fmt.Printf("figure: %s %v %s\n", name, value, unit) }

// startController runs a controller of one namespace, with bounds of
// milliseconds, until the returned function is called.
func startController(t *testing.T, namespace string, edit func(*controller.Config)) (end func()) {
	t.Helper()
	c := controller.Config{
		WatchNamespaces: []string{namespace}, MinPrePublish: 20 * time.Millisecond, RetireMargin: 20 * time.Millisecond,
	}
	if edit != nil {
		edit(&c)
	}
	return fleet.RunController(t, world.cluster.Config, c)
}

// newFleet plays the pods of a namespace until the test ends.
func newFleet(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	o.Config = world.cluster.Config
	f, err := fleet.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// eventually waits until probe returns nothing; it fails with its last answer.
func eventually(t *testing.T, limit time.Duration, probe func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = probe(); last == "" {
			return
		}
	}
	t.Fatalf("not within %s: %s", limit, last)
}
