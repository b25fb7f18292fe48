package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"gatepost.dev/gatepost/test/cluster/kube/internal/pki"
)

const (
	serviceCIDRs   = "10.96.0.0/16,fd00:10:96::/112" // dual-stack, as on the node
	firstServiceIP = "10.96.0.1"                     // the API server's own Service
)

// runAPIServer serves on the listener until ctx ends.
func runAPIServer(ctx context.Context, listener net.Listener, certs, etcd string) error {
	o := apiserveroptions.NewServerRunOptions()
	sets := o.Flags()
	key := filepath.Join(certs, pki.ServiceAccountKey)
	err := parse(&sets, map[string]string{
		"etcd-servers":                     etcd,
		"advertise-address":                "127.0.0.1",
		"endpoint-reconciler-type":         "none", // a loopback address may not be an endpoint
		"tls-cert-file":                    filepath.Join(certs, pki.ServerCertFile),
		"tls-private-key-file":             filepath.Join(certs, pki.ServerKeyFile),
		"client-ca-file":                   filepath.Join(certs, pki.CAFile),
		"service-account-key-file":         key,
		"service-account-signing-key-file": key,
		"service-account-issuer":           "https://kubernetes.default.svc.cluster.local",
		"service-cluster-ip-range":         serviceCIDRs,
		"authorization-mode":               "Node,RBAC",
		"allow-privileged":                 "true",
	})
	if err != nil {
		return err
	}
	o.SecureServing.Listener = listener
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("setting feature gates: %w", err)
	}
	completed, err := o.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return errors.Join(errs...)
	}
	return apiserver.Run(ctx, completed)
}

// runControllers runs the controllers that make sense without a node.
func runControllers(ctx context.Context, certs string) error {
	o, err := controlleroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	known, off, aliases := controllers.KnownControllers(), controllers.ControllersDisabledByDefault(), controllers.ControllerAliases()
	sets := o.Flags(known, off, aliases)
	err = parse(&sets, map[string]string{
		"kubeconfig":                       filepath.Join(certs, "controller-manager.kubeconfig"),
		"leader-elect":                     "false",
		"secure-port":                      "0",
		"service-account-private-key-file": filepath.Join(certs, pki.ServiceAccountKey),
		"root-ca-file":                     filepath.Join(certs, pki.CAFile),
		"use-service-account-credentials":  "true",
		// The default of 20 requests a second holds up the start by 5 s.
		"kube-api-qps":   "500",
		"kube-api-burst": "1000",
		"controllers": fmt.Sprintf("*,-%s,-%s,-%s",
			names.NodeLifecycleController, names.NodeIpamController, names.TaintEvictionController),
	})
	if err != nil {
		return err
	}
	config, err := o.Config(ctx, known, off, aliases)
	if err != nil {
		return err
	}
	return controllers.Run(ctx, config.Complete())
}

func runScheduler(ctx context.Context, certs string) error {
	o := scheduleroptions.NewOptions()
	err := parse(o.Flags, map[string]string{
		"kubeconfig":   filepath.Join(certs, "scheduler.kubeconfig"),
		"leader-elect": "false",
		"secure-port":  "0",
	})
	if err != nil {
		return err
	}
	config, sched, err := scheduler.Setup(ctx, o)
	if err != nil {
		return err
	}
	return scheduler.Run(ctx, config, sched)
}

// parse sets the named flags, which is how each component's options are meant to
// be filled: defaults and checks hang on the flags.
func parse(sets *cliflag.NamedFlagSets, values map[string]string) error {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	for name, value := range values {
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("flag --%s: %w", name, err)
		}
	}
	return nil
}
