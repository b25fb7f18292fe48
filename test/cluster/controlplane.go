package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Options are for Start; the zero value is fine.
type Options struct {
	Progress io.Writer // receives what a build has to say; nil: standard error
}

const (
	stopLimit = 10 * time.Second
	logTail   = 2000 // bytes of a log that an error shows
)

// ControlPlane returns a control plane of this test's own, and ends it with the
// test. A failure to start fails the test.
func ControlPlane(t testing.TB) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Start begins a control plane and returns when pods could be created. It is for
// a TestMain whose tests share one; the caller calls Stop. Should this process
// die first, the control plane ends too.
//
// The first start on a machine builds Kubernetes, which takes minutes.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if useCurrent() {
		return Current()
	}
	scripts, err := findScripts()
	if err != nil {
		return nil, err
	}
	bin, err := buildPrograms(ctx, scripts, o.Progress)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kube-") // short, for the sockets in it
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	if err := p.start(ctx, filepath.Join(bin, "kube")); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), p.stop())
	}
	c, err := fromKubeconfig(filepath.Join(dir, "pki", "admin.kubeconfig"))
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	c.bin, c.stop = bin, p.stop
	return c, nil
}

// process is a running `kube control-plane` and the directory it lives in.
type process struct {
	dir   string
	cmd   *exec.Cmd
	stdin io.Closer // held open as long as it shall live
}

// start returns when the program says that it is ready.
func (p *process) start(ctx context.Context, kube string) error {
	log, err := os.Create(p.log())
	if err != nil {
		return err
	}
	defer log.Close()
	// Not bound to ctx, which ends with the start and not with the cluster.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), kube, "control-plane", "--dir", p.dir, "--until-eof")
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.stdin = cmd, stdin
	release := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer release()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		return errors.Join(ctx.Err(), fmt.Errorf("it said %q and logged: %s", line, p.lastWords()))
	}
	return nil
}

// stop asks, waits and insists, and removes the directory.
func (p *process) stop() error {
	if p.cmd != nil {
		_ = p.stdin.Close()
		insist := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
		defer insist.Stop()
		// Its exit status is of no interest to a test that has its results.
		_ = p.cmd.Wait()
	}
	return os.RemoveAll(p.dir)
}

func (p *process) log() string { return filepath.Join(p.dir, "log") }

func (p *process) lastWords() string {
	data, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-logTail):])
}
