// Package cluster gives tests a real Kubernetes, made of Go modules and a few
// Debian packages: no registry, no container engine, nothing from the network
// but Go's module proxy.
//
// There are two levels. ControlPlane is etcd, the API server, the controllers
// and the scheduler in one process on the loopback interface: any user can run
// it, it takes three seconds, and pods stay Pending. Node adds a kubelet, real
// containers and Services in network and mount namespaces of their own: it needs
// root on Linux, takes six seconds, and one node serves all tests.
//
// With GATEPOST_CLUSTER=current in the environment both are the cluster of the
// current kubeconfig instead. README.md has the commands, settings and costs.
package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is a Kubernetes that answers. Its methods may be used concurrently.
type Cluster struct {
	Kubeconfig string       // path of the administrator's kubeconfig
	Config     *rest.Config // the same for client-go, usable from this process even when the API server is in a namespace

	bin   string       // directory of kubectl, helm and the rest; empty: in PATH
	netns string       // path of the node's network namespace; empty: this process's own
	dir   string       // directory of the scripts; empty: an existing cluster
	stop  func() error // ends a control plane; nil: not ours to end
}

// The clients' own limit is for a cluster that is shared; a test waits for it.
const (
	clientQPS   = 500
	clientBurst = 1000
)

// Current returns the cluster that KUBECONFIG or the user's default names.
func Current() (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the current kubeconfig: %w", err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	return &Cluster{Kubeconfig: strings.Join(rules.Precedence, string(os.PathListSeparator)), Config: config}, nil
}

func fromKubeconfig(path string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	return &Cluster{Kubeconfig: path, Config: config}, nil
}

// OnNode returns a command that runs on the node's network with the cluster's
// KUBECONFIG and with kubectl, helm and the rest in PATH: there it reaches pods,
// Services and the API server. Of a cluster without such a node, an existing one
// or a control plane, it is an ordinary command with the same environment.
func (c *Cluster) OnNode(ctx context.Context, name string, args ...string) *exec.Cmd {
	if c.netns != "" {
		args = append([]string{"--net=" + c.netns, "--", c.program(name)}, args...)
		name = "nsenter"
	}
	cmd := exec.CommandContext(ctx, c.program(name), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	if c.bin != "" {
		cmd.Env = append(cmd.Env, "PATH="+c.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return cmd
}

// program prefers the cluster's own programs to those in our PATH.
func (c *Cluster) program(name string) string {
	if c.bin == "" || strings.ContainsRune(name, filepath.Separator) {
		return name
	}
	own := filepath.Join(c.bin, name)
	if _, err := os.Stat(own); err != nil {
		return name
	}
	return own
}

// Kubectl runs kubectl and returns its standard output. The error of a failure
// holds what kubectl said.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return output(c.OnNode(ctx, "kubectl", args...))
}

// Apply applies manifests, files or directories, on the server's side; fields
// that another owner has set become ours.
func (c *Cluster) Apply(ctx context.Context, paths ...string) error {
	args := []string{"apply", "--server-side", "--force-conflicts"}
	for _, path := range paths {
		args = append(args, "-f", path)
	}
	_, err := c.Kubectl(ctx, args...)
	return err
}

// Namespace makes a namespace of this test's own and deletes it with the test,
// without waiting for the deletion.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:10])
	if _, err := c.Kubectl(t.Context(), "create", "namespace", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.Kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", name, "--wait=false", "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// Load makes image tarballs known to the node. Of an existing cluster it is an
// error: only that cluster's owner knows how images get there.
func (c *Cluster) Load(ctx context.Context, tarballs ...string) error {
	if c.netns == "" {
		return errors.New("loading images: only a node of our own takes them; push or side-load them yourself")
	}
	_, err := output(exec.CommandContext(ctx, filepath.Join(c.dir, "load"), tarballs...))
	return err
}

// Dial connects from the node: to pods, Services and what listens there. The
// address is an IP and a port.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialFrom(ctx, c.netns, network, address)
}

// Listen opens a listener on the node for a server in this process, so that a
// webhook's `url: https://127.0.0.1:PORT` leads from the API server to the test.
// The address is an IP and a port, which may be 0.
func (c *Cluster) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return listenOn(ctx, c.netns, network, address)
}

// Stop ends a control plane that Start began. Of any other cluster it does
// nothing, since others may be using it.
func (c *Cluster) Stop() error {
	if c.stop == nil {
		return nil
	}
	return c.stop()
}

// output runs the command and returns its standard output; the error of a
// failure names the command and holds its standard error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
