//go:build e2e

// Package e2e plays the main job on a real node: the chart installed by helm, a
// FastAPI agent guarded by the injected sidecar, keys rotated under load, and
// everything that may go wrong on the way. The parts are in package stage.
//
//	make e2e RUN='TestMainJob'
//
// Each test has a namespace of its own. All share one node and one installation,
// so none of them runs in parallel with another.
package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// shared is the installation that all tests of this binary use. The first test
// makes it, TestMain takes it away.
type shared struct {
	once    sync.Once
	stage   *stage.Stage
	callers *stage.Callers
	err     error
}

var installation shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := installation.close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "leaving the stage:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// onStage returns the installation; where no node can run, the test is skipped.
func onStage(t *testing.T) (*stage.Stage, *stage.Callers) {
	t.Helper()
	node := cluster.Node(t)
	installation.once.Do(func() {
		ctx := context.WithoutCancel(t.Context()) // it outlives this test
		installation.err = installation.open(ctx, node)
	})
	if installation.err != nil {
		t.Fatal("setting the stage: ", installation.err)
	}
	return installation.stage, installation.callers
}

func (s *shared) open(ctx context.Context, node *cluster.Cluster) error {
	checkout, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if s.stage, err = stage.New(node, stage.ImagesFromEnvironment(), checkout); err != nil {
		return err
	}
	if os.Getenv("GATEPOST_CLUSTER") != "current" {
		dir, err := os.MkdirTemp("", "gatepost-e2e-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		tarballs, err := stage.BuildImages(ctx, node, checkout, dir, func(what string) { fmt.Println("e2e:", what) })
		if err != nil {
			return err
		}
		if err := node.Load(ctx, tarballs...); err != nil {
			return err
		}
	}
	if err := s.stage.Install(ctx); err != nil {
		return err
	}
	s.callers, err = s.stage.StartCallers(ctx)
	return err
}

func (s *shared) close(ctx context.Context) error {
	if s.callers == nil {
		return nil
	}
	if err := s.callers.Close(ctx, s.stage); err != nil {
		return err
	}
	return s.stage.Uninstall(ctx)
}

// namespaceName returns a fresh name for a namespace that is deleted with the test.
func namespaceName(t *testing.T, s *stage.Stage) string {
	t.Helper()
	name := "e2e-" + strings.ToLower(rand.Text()[:8])
	t.Cleanup(func() {
		if _, err := s.Kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", name, "--wait=false", "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// namespace makes a namespace, with injection or without.
func namespace(t *testing.T, s *stage.Stage, injection bool) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(t, s)}}
	if injection {
		object.Labels = map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}
	}
	if err := s.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return object.Name
}

// deploy puts the guarded example into a namespace of the test's own.
func deploy(t *testing.T) *stage.Agent {
	t.Helper()
	s, callers := onStage(t)
	agent, err := s.Deploy(t.Context(), callers, namespaceName(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return agent
}

// report fails the test for each finding that is not as it should be.
func report(t *testing.T, findings []stage.Finding, err error) {
	t.Helper()
	for _, f := range findings {
		if f.Err != nil {
			t.Error(f.Err)
		} else {
			t.Logf("%s: %s", f.What, f.Saw)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// figure prints a figure of the run.
func figure(t *testing.T, name string, value any, unit string) {
	t.Helper()
	t.Logf("figure: %s %v %s", name, value, unit)
}

// pause lets time pass in which something else goes on.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
