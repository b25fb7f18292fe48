// Command demo plays the main job on a real Kubernetes and prints what happens:
// the chart is installed, an agent guarded, its key replaced under load, and ways
// round the guard looked for. `make demo` runs it on a cluster of its own, with
// DEMO_CLUSTER=current on an existing one; see the script `run` beside this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/e2e/stage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// namespace is that of examples/fastapi.
const namespace = "agents"

// errFailed is returned when the demo went to its end and a check failed.
var errFailed = errors.New("not everything went as it should")

func run(ctx context.Context, out io.Writer) error {
	d := &demo{out: newScript(out)}
	if err := d.set(ctx); err != nil {
		return errors.Join(err, d.leave(ctx))
	}
	err := d.play(ctx)
	if err == nil {
		err = d.out.close()
	}
	return errors.Join(err, d.leave(ctx))
}

type demo struct {
	out     *script
	stage   *stage.Stage
	callers *stage.Callers
	agent   *stage.Agent
}

// set brings everything onto the stage.
func (d *demo) set(ctx context.Context) error {
	c, err := cluster.Join(ctx)
	if err != nil {
		return err
	}
	if d.stage, err = stage.New(c, stage.ImagesFromEnvironment(), "."); err != nil {
		return err
	}
	if os.Getenv("GATEPOST_CLUSTER") == "current" {
		d.out.heading("The cluster of the current kubeconfig")
		d.out.say("images: %s, %s, %s, %s", d.stage.Images.Controller, d.stage.Images.Sidecar, d.stage.Images.Agent, d.stage.Images.Caller)
	} else if err := d.build(ctx, c); err != nil {
		return err
	}
	d.out.heading("Installing Gatepost")
	d.out.say("helm upgrade --install %s charts/gatepost --namespace %s", stage.Release, stage.Namespace)
	if err := d.stage.Install(ctx); err != nil {
		return err
	}
	d.out.heading("A guarded agent")
	if d.callers, err = d.stage.StartCallers(ctx); err != nil {
		return err
	}
	d.out.say("kubectl apply -k examples/fastapi, with a key that lives a minute: test/demo/agent")
	if d.agent, err = d.stage.Deploy(ctx, d.callers, namespace); err != nil {
		return err
	}
	listed, err := d.stage.Kubectl(ctx, "-n", namespace, "get", "pods,signingkeys,agentauthpolicies")
	for line := range strings.Lines(listed) {
		d.out.say("%s", strings.TrimRight(line, "\n"))
	}
	return err
}

// build makes the images and gives them to the node.
func (d *demo) build(ctx context.Context, c *cluster.Cluster) error {
	d.out.heading("Building the images, without a container engine")
	dir, err := os.MkdirTemp("", "gatepost-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tarballs, err := stage.BuildImages(ctx, c, ".", dir, func(what string) { d.out.say("%s", what) })
	if err != nil {
		return err
	}
	d.out.say("loading them onto the node")
	return c.Load(ctx, tarballs...)
}

// leave takes away from an existing cluster what was put there; a cluster of our
// own is taken down whole, by the script.
func (d *demo) leave(ctx context.Context) error {
	if os.Getenv("DEMO_KEEP") != "" || d.stage == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if d.callers != nil {
		errs = append(errs, d.callers.Close(ctx, d.stage))
	}
	if os.Getenv("GATEPOST_CLUSTER") == "current" {
		_, err := d.stage.Kubectl(ctx, "delete", "namespace", namespace, "--ignore-not-found", "--timeout=60s")
		errs = append(errs, err, d.stage.Uninstall(ctx))
	}
	return errors.Join(errs...)
}
