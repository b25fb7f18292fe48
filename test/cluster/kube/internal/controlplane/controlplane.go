// Package controlplane runs a Kubernetes API without a node inside the calling
// process: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
//
// Everything that the API machinery does is real: storage, validation, CEL,
// webhooks, RBAC, garbage collection, namespaces, service accounts, workloads
// down to pods. The pods stay Pending, since no kubelet is there to run them.
//
// The components share one process, which takes half the memory of four and
// lets us hand the API server an open listener instead of guessing a free port.
// They keep gates, metrics and logging in package variables: one control plane
// per process, started once.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"gatepost.dev/gatepost/test/cluster/kube/internal/pki"
)

// Config says where a control plane lives.
type Config struct {
	Dir  string // for certificates, kubeconfigs (Dir/pki) and etcd's data; required
	Port int    // on 127.0.0.1; 0 takes a free one
}

// Plane is a running control plane.
type Plane struct {
	URL    string // of the API server
	failed chan error
}

const (
	startLimit   = 90 * time.Second
	pollInterval = 50 * time.Millisecond
	components   = 3 // that may report a failure
)

// Start returns once the API server is ready and the controllers have given the
// default namespace its service account, so that pods can be created.
func Start(ctx context.Context, c Config) (*Plane, error) {
	if c.Dir == "" {
		return nil, errors.New("--dir is required")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return nil, err
	}
	p := &Plane{URL: "https://" + listener.Addr().String(), failed: make(chan error, components)}
	certs := filepath.Join(c.Dir, "pki")
	if err := pki.Write(pki.Config{Dir: certs, Server: p.URL, Names: []string{firstServiceIP}}); err != nil {
		return nil, fmt.Errorf("writing certificates: %w", err)
	}
	client, err := adminClient(certs)
	if err != nil {
		return nil, err
	}
	store, err := startEtcd(ctx, filepath.Join(c.Dir, "etcd"))
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}

	p.run("kube-apiserver", func() error { return runAPIServer(ctx, listener, certs, store) })
	if err := p.wait(ctx, "the API server", isReady(client)); err != nil {
		return nil, err
	}
	p.run("kube-controller-manager", func() error { return runControllers(ctx, certs) })
	p.run("kube-scheduler", func() error { return runScheduler(ctx, certs) })
	return p, p.wait(ctx, "the default service account", hasServiceAccount(client))
}

// Wait returns the first failure of a component, or nil when ctx has ended.
func (p *Plane) Wait(ctx context.Context) error {
	select {
	case err := <-p.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (p *Plane) run(name string, component func() error) {
	go func() {
		if err := component(); err != nil && !errors.Is(err, context.Canceled) {
			p.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
}

// wait polls until done, a component's failure, or the time limit.
func (p *Plane) wait(ctx context.Context, what string, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		last := done(ctx)
		if last == nil {
			return nil
		}
		select {
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), last))
		case <-time.After(pollInterval):
		}
	}
}

func adminClient(certs string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(certs, "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func isReady(client *kubernetes.Clientset) func(context.Context) error {
	return func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}
}

func hasServiceAccount(client *kubernetes.Clientset) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return errors.New("not there yet")
		}
		return err
	}
}
