//go:build cluster

package controller_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/test/live"
)

// gateway stands between a controller's process and the API server, and counts
// and fails calls as a link does.
func gateway(t *testing.T, over *link) (kubeconfig string) {
	t.Helper()
	config := rest.CopyConfig(world.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	over.next = transport
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     over,
		FlushInterval: -1, // watches
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	file := clientcmdapi.Config{
		CurrentContext: "test",
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: server.URL}},
	}
	if err := clientcmd.WriteToFile(file, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// controllerProcess is the built program.
type controllerProcess struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan struct{}
}

// launch starts the program over a link.
func launch(t *testing.T, over *link, namespace string, flags ...string) *controllerProcess {
	t.Helper()
	_, port, err := net.SplitHostPort(live.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &controllerProcess{log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(live.Build(t, "controller"), append([]string{
		"--sidecar-image=" + sidecarImage, "--namespace=" + ownNamespace, "--watch-namespaces=" + namespace,
		"--min-pre-publish=1s", "--retire-margin=2s", "--metrics-address=0", "--health-address=0", "--webhook-port=" + port,
	}, flags...)...)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+gateway(t, over))
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // it is killed
	}()
	t.Cleanup(p.kill) // before the gateway closes, to which it would come back
	return p
}

// kill ends the process with SIGKILL.
func (p *controllerProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// said is the log of a process that has ended, without the complaints that nobody
// installed its webhook.
func (p *controllerProcess) said() string {
	lines := slices.DeleteFunc(strings.SplitAfter(p.log.String(), "\n"), func(line string) bool {
		return strings.Contains(line, `"logger":"webhook"`)
	})
	return strings.Join(lines, "")
}

// end asks the process to end, so that its lease is free at once.
func (p *controllerProcess) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
	}
}

// processKills is how often CI kills the program.
const processKills = 4

// The program itself, rather than a part of it, is ended by SIGKILL at random
// calls of a rotation.
func TestTheProgramIsKilledAtRandomCalls(t *testing.T) {
	alone(t)
	s := stories()["rotation"]
	run := newLane(t, s)
	run.stop()
	run.launch = func(t *testing.T, over *link) func() {
		p := launch(t, over, run.key.Namespace)
		go func() {
			select {
			case <-over.died:
				_ = p.cmd.Process.Kill()
			case <-p.ended:
			}
		}()
		return func() {
			over.cut()
			p.kill()
		}
	}
	run.start(t)
	run.play(t, s, fault{})
	faults := faultsOf(run.link.sent(), 1<<20)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range processKills * soak() {
		run.play(t, s, faults[random.IntN(len(faults))])
	}
	tell(t, "program", len(faults)/2, []*lane{run})
}

// losesWithin is how long a leader may go on that has lost its lease: it tries to
// renew it for 10 s, and to give it back for as long.
const losesWithin = 20 * time.Second

// The program is stopped by SIGSTOP while it leads, for longer than its lease.
// Another takes over and rotates; then the first goes on, and ends itself.
func TestAStoppedLeaderDoesNoHarm(t *testing.T) {
	alone(t)
	s := stories()["rotation"]
	run := newLane(t, s)
	run.stop()
	ended := lastLeader(t) // the lease may still be its
	first := launch(t, newLink(), run.key.Namespace, "--leader-elect")
	defer first.kill()
	holder := leader(t, ended)
	second := launch(t, newLink(), run.key.Namespace, "--leader-elect")
	defer second.end()
	before := run.witness.activeKID()
	run.link = newLink() // the processes have their own, which nothing cuts
	s.begins(t, run)
	run.witness.await(t, "another key to sign", func() bool { return run.witness.activeKID() != before }) // in the middle of it
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	successor := leader(t, holder)
	run.settle(t, "under the second leader", before, len(run.policies))
	run.play(t, s, fault{})
	settled := run.said(t)
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.ended:
	case <-time.After(losesWithin + patience):
		first.kill() // and only then is its log complete
		t.Errorf("the first leader, %s, goes on, although %s took over; the lease is that of %s now; %s", holder, successor, lastLeader(t), first.said())
	}
	if now := run.said(t); now != settled {
		t.Errorf("the stopped leader changed\n%s\nto\n%s", settled, now)
	}
	for _, problem := range run.witness.findings() {
		t.Error(problem)
	}
}

// leader waits for a leader other than the one given.
func leader(t *testing.T, other string) (holder string) {
	t.Helper()
	eventually(t, func() string {
		if holder = lastLeader(t); holder == "" || holder == other {
			return "nobody else leads"
		}
		return ""
	})
	return holder
}

// lastLeader is whose the lease is, or was; empty: it was given back.
func lastLeader(t *testing.T) string {
	t.Helper()
	var lease coordinationv1.Lease
	err := world.api.Get(t.Context(), client.ObjectKey{Namespace: ownNamespace, Name: "controller.gatepost.dev"}, &lease)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}
