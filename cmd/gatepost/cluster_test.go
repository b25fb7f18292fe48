//go:build cluster

package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"

	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/fleet"
)

// The transcripts in testdata/bare are of a cluster without Gatepost, those in
// testdata/cluster of one with the controller, where a fleet plays the pods. Each
// has a namespace of its own, $NS, and is an administrator unless it says `as`.
func TestClusterTranscripts(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	c := cluster.ControlPlane(t)
	stage := &clusterStage{t: t, cluster: c}
	t.Run("bare", func(t *testing.T) { stage.run(t, filepath.Join("testdata", "bare")) })
	stage.kubectl("apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd"))
	stage.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=180s")
	stage.kubectl("create", "namespace", "gatepost-system")
	stage.kubectl("apply", "--server-side", "-k", filepath.Join("..", "..", "config", "rbac"))
	end := fleet.RunController(t, c.Config, controller.Config{
		Namespace: "gatepost-system", IssuerImage: "example.com/gatepost-issuer:test", MinPrePublish: time.Second, RetireMargin: 2 * time.Second,
	})
	defer end()
	t.Run("installed", func(t *testing.T) { stage.run(t, filepath.Join("testdata", "cluster")) })
}

// clusterStage is the cluster that scripts act on.
type clusterStage struct {
	t       *testing.T
	cluster *cluster.Cluster
}

func (s *clusterStage) kubectl(args ...string) {
	s.t.Helper()
	if _, err := s.cluster.Kubectl(s.t.Context(), args...); err != nil {
		s.t.Fatal(err)
	}
}

// fleetKey is where a script keeps its fleet.
type fleetKey struct{}

func (s *clusterStage) run(t *testing.T, dir string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			namespace := s.cluster.Namespace(t)
			env.Setenv("NS", namespace)
			env.Setenv("KUBECONFIG", s.cluster.Kubeconfig)
			env.Setenv("TERM", "xterm")
			f, err := fleet.New(t.Context(), fleet.Options{Config: s.cluster.Config, Namespace: namespace})
			if err != nil {
				return err
			}
			env.Defer(f.Close)
			env.Values[fleetKey{}] = f
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"kubectl": s.kubectlCommand, "fleet": s.fleetCommand, "issuers": s.issuersCommand, "hold": s.holdCommand, "sign": s.signCommand, "as": s.asCommand, "env2": envCommand, "inorder": inOrderCommand, "terminal": terminalCommand, "narrow": narrowCommand,
		},
	})
}

// kubectlCommand: kubectl ARGS..., in the script's namespace.
func (s *clusterStage) kubectlCommand(ts *testscript.TestScript, neg bool, args []string) {
	for i, arg := range args {
		if file := ts.MkAbs(arg); i > 0 && args[i-1] == "-f" {
			args[i] = file
		}
	}
	if args[0] != "gatepost" && args[0] != "__complete" { // flags do not stand before a plugin's name
		args = append([]string{"-n", ts.Getenv("NS")}, args...)
	}
	out, err := s.cluster.Kubectl(s.t.Context(), args...)
	_, _ = ts.Stdout().Write([]byte(out))
	if (err != nil) != neg {
		ts.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
}

// fleetCommand: fleet POLICY COUNT, plays so many guarded pods.
func (s *clusterStage) fleetCommand(ts *testscript.TestScript, _ bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	pods, err := ts.Value(fleetKey{}).(*fleet.Fleet).Add(ctx, args[0], count)
	ts.Check(err)
	for i, pod := range pods {
		ts.Setenv("POD"+strconv.Itoa(i+1), pod.Name)
	}
}

// issuersCommand: issuers NAME COUNT, plays the pods of a TokenIssuer.
func (s *clusterStage) issuersCommand(ts *testscript.TestScript, _ bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	_, err = ts.Value(fleetKey{}).(*fleet.Fleet).Issuers(ctx, args[0], count)
	ts.Check(err)
}

// signCommand: sign SECRET POLICY, a back end that reads the exported Secret
// signs tokens and sends them to the pods until the script ends.
func (s *clusterStage) signCommand(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value(fleetKey{}).(*fleet.Fleet)
	ctx, cancel := context.WithCancel(s.t.Context())
	signer, err := f.Signer(ctx, args[0], "HS256", fleet.Span{Min: 100 * time.Millisecond, Max: time.Second})
	ts.Check(err)
	ended := make(chan error, 1)
	go func() { ended <- f.Send(ctx, fleet.Traffic{Signer: signer, Policy: args[1]}) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-ended)
		if refused := f.Counts().Refused; refused > 0 {
			ts.Fatalf("%d valid tokens were refused", refused)
		}
	})
}

// holdCommand: hold POD makes the pod's kubelet bring it nothing new; with ! it
// does again.
func (s *clusterStage) holdCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, pod := range ts.Value(fleetKey{}).(*fleet.Fleet).Pods("") {
		if pod.Name == args[0] {
			pod.Hold(!neg)
			return
		}
	}
	ts.Fatalf("no pod %s", args[0])
}

// envCommand: env2 NAME, sets what the last command wrote as NAME=VALUE.
func envCommand(ts *testscript.TestScript, _ bool, args []string) {
	name, value, _ := strings.Cut(strings.TrimSpace(ts.ReadFile("stdout")), "=")
	if name != args[0] || value == "" {
		ts.Fatalf("stdout does not set %s: %s", args[0], name)
	}
	ts.Setenv(name, value)
}

// inOrderCommand: inorder FILE TEXT..., the texts first stand there in this order.
func inOrderCommand(ts *testscript.TestScript, _ bool, args []string) {
	text, last := ts.ReadFile(args[0]), -1
	for _, want := range args[1:] {
		at := strings.Index(text, want)
		if at <= last {
			ts.Fatalf("%q does not stand behind what came before", want)
		}
		last = at
	}
}

// asCommand: as USER, who has no rights but those that the script gives.
func (s *clusterStage) asCommand(ts *testscript.TestScript, _ bool, args []string) {
	config, err := clientcmd.LoadFromFile(s.cluster.Kubeconfig)
	ts.Check(err)
	for _, user := range config.AuthInfos {
		user.Impersonate = args[0]
	}
	file := ts.MkAbs("kubeconfig-" + args[0])
	ts.Check(clientcmd.WriteToFile(*config, file))
	ts.Setenv("KUBECONFIG", file)
	_, err = os.Stat(file)
	ts.Check(err)
}
