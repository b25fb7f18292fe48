// Package kube reaches the cluster that a command is about: it reads kubeconfigs
// as kubectl does (--kubeconfig, KUBECONFIG, --context, --namespace, or the
// account of the pod it runs in), and says in its errors what to do: where there
// is no cluster, which right is missing, that Gatepost is not installed.
//
// Pods are asked at their admin port by port-forward, because a sidecar tells
// its decisions to nobody but its own pod. Nothing listens on this machine for
// that: the request travels on the stream itself.
package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// patience is how long one request may take.
const patience = 30 * time.Second

// Flags say which cluster and which namespace, in kubectl's words.
type Flags struct {
	Kubeconfig string
	Context    string
	Namespace  string
	// All is every namespace; only commands that can have AddAll offer it.
	All bool
}

// Add adds --kubeconfig, --context and -n, --namespace to a command.
func (f *Flags) Add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.Kubeconfig, "kubeconfig", "", "kubeconfig `file`; default: KUBECONFIG, else ~/.kube/config")
	flags.StringVar(&f.Context, "context", "", "context of the kubeconfig `name`; default: its current one")
	flags.StringVarP(&f.Namespace, "namespace", "n", "", "namespace `name`; default: that of the context")
	f.complete(command)
}

// AddAll adds -A, --all-namespaces too.
func (f *Flags) AddAll(command *cobra.Command) {
	f.Add(command)
	command.Flags().BoolVarP(&f.All, "all-namespaces", "A", false, "all namespaces")
	command.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
}

// Cluster is a cluster that can be asked. Its methods may be used concurrently.
type Cluster struct {
	// Client reads and writes typed objects.
	Client client.Client
	// Config is for what Client cannot do.
	Config *rest.Config
	// Namespace is where to look; empty: everywhere.
	Namespace string

	context string // name of the kubeconfig's, for errors; empty: none
}

// Connect reads the kubeconfig. The cluster is not asked anything yet.
func (f *Flags) Connect() (*Cluster, error) {
	loader := f.loader()
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errors.New("there is no cluster to ask: no kubeconfig names one; give --kubeconfig FILE, or set KUBECONFIG")
	case err != nil:
		return nil, fmt.Errorf("reading the kubeconfig: %w; check --kubeconfig and --context", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w; check --kubeconfig and --context", err)
	}
	if f.All {
		namespace = ""
	}
	config.Timeout, config.UserAgent = patience, "gatepost"
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	return &Cluster{Client: api, Config: config, Namespace: namespace, context: f.contextName(loader)}, nil
}

func (f *Flags) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{
		CurrentContext: f.Context, Context: clientcmdapi.Context{Namespace: f.Namespace},
	})
}

// contextName is the name by which people know the cluster.
func (f *Flags) contextName(loader clientcmd.ClientConfig) string {
	raw, err := loader.RawConfig()
	switch {
	case f.Context != "":
		return f.Context
	case err != nil: // it was read a moment ago; a name is not worth an error
		return ""
	}
	return raw.CurrentContext
}

// In are the options of a list in the cluster's namespace.
func (c *Cluster) In() []client.ListOption {
	return []client.ListOption{client.InNamespace(c.Namespace)}
}

// Key is an object of the cluster's namespace.
func (c *Cluster) Key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.Namespace, Name: name}
}

// Get fetches one object; doing begins the error, as in "fetching SigningKey a".
func (c *Cluster) Get(ctx context.Context, name string, into client.Object, doing string) error {
	return c.Explain(doing, c.Client.Get(ctx, c.Key(name), into))
}

// List fetches the objects of a kind in the namespace.
func (c *Cluster) List(ctx context.Context, into client.ObjectList, doing string) error {
	return c.Explain(doing, c.Client.List(ctx, into, c.In()...))
}
