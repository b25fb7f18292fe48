// Command kube is a whole Kubernetes in one static binary: etcd, the API server,
// the controllers, the scheduler, kube-proxy, the kubelet and kubectl, as other
// distributions bundle them too. Linked apart they weigh three times as much.
//
// Which of them it is follows from the name it is called by, so that symbolic
// links named kubelet, kubectl and so on do what they say; called by any other
// name it takes the program from its first argument: `kube kubectl get pods`.
//
// Two programs are our own: `pki` writes certificates and kubeconfigs, and
// `control-plane` runs everything but the node's half inside one process.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	// CronJobs name time zones, and the images have no zone files.
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// The programs' own main packages link these in: exec plugins in
	// kubeconfigs, the JSON log format, and the metrics of client and build.
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const usage = "usage: kube etcd|kube-apiserver|kube-controller-manager|kube-scheduler|" +
	"kube-proxy|kubelet|kubectl|pki|control-plane [flags]"

func main() {
	program := find(filepath.Base(os.Args[0]))
	if program == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		program = find(os.Args[0])
	}
	if program == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	os.Exit(program())
}

// find returns the program of that name as a function that runs it on os.Args
// and returns its exit status, or nil.
func find(name string) func() int {
	switch name {
	case "etcd":
		return func() int { etcdmain.Main(os.Args); return 0 }
	case "kube-apiserver":
		return serve(apiserver.NewAPIServerCommand)
	case "kube-controller-manager":
		return serve(controllers.NewControllerManagerCommand)
	case "kube-scheduler":
		return serve(func() *cobra.Command { return scheduler.NewSchedulerCommand() })
	case "kube-proxy":
		return serve(proxy.NewProxyCommand)
	case "kubelet":
		return serve(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })
	case "kubectl":
		return runKubectl
	case "pki":
		return report(writePKI)
	case "control-plane":
		return report(runControlPlane)
	}
	return nil
}

// serve delays the construction: each of these registers flags and gates in
// package variables, where they would meet those of the others.
func serve(command func() *cobra.Command) func() int {
	return func() int { return cli.Run(command()) }
}

func runKubectl() int {
	if _, err := logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)); err != nil {
		fmt.Fprintln(os.Stderr, "error: setting the log level:", err)
		return 1
	}
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints in kubectl's manner and exits
	}
	return 0
}

func report(run func() error) func() int {
	return func() int {
		if err := run(); err != nil {
			fmt.Fprintf(os.Stderr, "error: %s: %v\n", os.Args[0], err)
			return 1
		}
		return 0
	}
}
