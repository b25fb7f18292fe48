package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Window is what clients got while sidecars were killed under a greedy agent.
type Window struct {
	Kills   int
	Failed  int           // requests without an answer
	Guarded int           // requests that the guard answered
	Reached int           // requests that the agent answered itself
	Outside int           // of those: with no sidecar down
	Open    []string      // the pods whose agent was reached
	Longest time.Duration // from the first to the last answer of the agent between two of the guard's
	Alarms  []string      // what the policy's Enforced condition said when it was not True, in order
	Settled bool          // in the end the guard answers everywhere
}

// Findings judges the window: it must not be wider than said, nor go unseen.
func (w Window) Findings() []Finding {
	alarm := "not needed"
	if len(w.Alarms) > 0 {
		alarm = w.Alarms[0]
	}
	unseen := w.unseen()
	return []Finding{
		found(w.Kills >= 20, "sidecars killed", strconv.Itoa(w.Kills)),
		found(w.Guarded > 0, "requests that the guard answered", strconv.Itoa(w.Guarded)),
		found(w.Outside == 0, "requests that reached the agent while its sidecar was up", strconv.Itoa(w.Outside)),
		found(len(unseen) == 0, fmt.Sprintf("the alarm for windows of %d pods, through which %d requests went", len(w.Open), w.Reached), alarm),
		found(len(unseen) == 0, "pods whose window no alarm named", strconv.Itoa(len(unseen))),
		found(w.Settled, "the guard in the end", strconv.FormatBool(w.Settled)),
	}
}

// unseen are the pods whose agent was reached, and that no alarm named.
func (w Window) unseen() []string {
	return slices.DeleteFunc(slices.Clone(w.Open), func(pod string) bool {
		return slices.ContainsFunc(w.Alarms, func(alarm string) bool {
			return strings.HasPrefix(alarm, v1alpha1.ConditionEnforced+"=False/"+v1alpha1.ReasonPortTaken) && strings.Contains(alarm, pod)
		})
	})
}

// KillSidecars runs greedy agents and kills their sidecars, n times in all,
// while clients ask every few milliseconds. It needs to run on the node's machine.
func (a *Agent) KillSidecars(ctx context.Context, n int) (Window, error) {
	pods, err := a.deployGreedy(ctx)
	if err != nil {
		return Window{}, err
	}
	watch := &windowWatch{agent: a, killed: map[string]time.Time{}, first: map[string]time.Time{}}
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, pod := range pods {
		watchers.Go(func() { watch.askAgainAndAgain(watching, pod) })
	}
	watchers.Go(func() { watch.readPolicy(watching) })
	for n > 0 && err == nil {
		for _, pod := range pods[:min(n, len(pods))] {
			err = errors.Join(err, watch.kill(ctx, pod.Name))
		}
		n -= min(n, len(pods))
		for _, pod := range pods {
			err = errors.Join(err, a.waitForGuard(ctx, pod.Name, watch))
		}
	}
	settled := err == nil && watch.settles(ctx)
	stop()
	watchers.Wait()
	watch.window.Settled = settled
	return watch.window, err
}

// windowWatch counts what clients get, and what the policy says meanwhile.
type windowWatch struct {
	agent *Agent

	mu     sync.Mutex           // guards what follows
	killed map[string]time.Time // of the sidecars that have not answered since
	first  map[string]time.Time // of the agent's answers in the window that is open, by pod
	window Window
}

// kill kills the sidecar's process of a pod, as the kernel would that is out of memory.
func (w *windowWatch) kill(ctx context.Context, name string) error {
	var pod corev1.Pod
	if err := w.agent.API.Get(ctx, client.ObjectKey{Namespace: w.agent.Namespace, Name: name}, &pod); err != nil {
		return err
	}
	status := guardStatus(pod)
	if status == nil {
		return fmt.Errorf("pod %s has no sidecar", name)
	}
	_, id, _ := strings.Cut(status.ContainerID, "://")
	pid, err := processOf(id)
	if err != nil {
		return fmt.Errorf("finding the sidecar of pod %s: %w", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killed[name] = time.Now()
	w.window.Kills++
	return syscall.Kill(pid, syscall.SIGKILL)
}

// processOf finds the process of a container by its cgroup.
func processOf(container string) (int, error) {
	if container == "" {
		return 0, errors.New("it has no container")
	}
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), container) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("no process in container %s", container)
}

// waitForGuard waits until a pod's sidecar runs again, for which an agent that
// took its port has to crash first.
func (a *Agent) waitForGuard(ctx context.Context, name string, w *windowWatch) error {
	return Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		var pod corev1.Pod
		if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, &pod); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, down := w.killed[name]; down || !guardRuns(pod) {
			return fmt.Errorf("the sidecar of pod %s is not back: %s", name, describe(pod))
		}
		return nil
	})
}

// askAgainAndAgain asks one pod every few milliseconds.
func (w *windowWatch) askAgainAndAgain(ctx context.Context, pod corev1.Pod) {
	url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(agentPort)) + "/agent"
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		began := time.Now()
		got, err := ask(ctx, w.agent.Pod, http.MethodPost, url, http.Header{"Connection": {"close"}}, hello)
		if ctx.Err() == nil {
			w.count(pod.Name, began, got, err)
		}
	}
}

// count counts one request. A sidecar is back when it answers a request that
// began well after it was killed.
func (w *windowWatch) count(pod string, began time.Time, got answer, err error) {
	const dying = 100 * time.Millisecond
	w.mu.Lock()
	defer w.mu.Unlock()
	killed, down := w.killed[pod]
	switch {
	case err != nil:
		w.window.Failed++
	case got.byGuard():
		w.window.Guarded++
		if began.After(killed.Add(dying)) {
			delete(w.killed, pod)
			delete(w.first, pod)
		}
	default:
		w.window.Reached++
		if !slices.Contains(w.window.Open, pod) {
			w.window.Open = append(w.window.Open, pod)
		}
		if !down {
			w.window.Outside++
		}
		if w.first[pod].IsZero() {
			w.first[pod] = time.Now()
		}
		w.window.Longest = max(w.window.Longest, time.Since(w.first[pod]))
	}
}

// readPolicy notes what the policy's condition says whenever it is not True.
func (w *windowWatch) readPolicy(ctx context.Context) {
	_ = Eventually(ctx, time.Hour, func(ctx context.Context) error {
		policy, err := w.agent.Policy(ctx)
		if err != nil {
			return err
		}
		said := Condition(policy.Status.Conditions, v1alpha1.ConditionEnforced)
		w.mu.Lock()
		defer w.mu.Unlock()
		known := len(w.window.Alarms) > 0 && w.window.Alarms[len(w.window.Alarms)-1] == said
		if !strings.HasPrefix(said, v1alpha1.ConditionEnforced+"=True") && !known {
			w.window.Alarms = append(w.window.Alarms, said)
		}
		return errors.New("until the watch ends")
	})
}

// settles says whether for a while nobody but the guard answers.
func (w *windowWatch) settles(ctx context.Context) bool {
	w.mu.Lock()
	before := w.window
	w.mu.Unlock()
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.window.Reached == before.Reached && w.window.Guarded > before.Guarded
}

// EventSays is nil once an event of the agent's namespace has the reason.
func (a *Agent) EventSays(ctx context.Context, reason string) error {
	var events corev1.EventList
	if err := a.API.List(ctx, &events, client.InNamespace(a.Namespace)); err != nil {
		return fmt.Errorf("listing events: %w", err)
	}
	for _, e := range events.Items {
		if e.Reason == reason {
			return nil
		}
	}
	return fmt.Errorf("no event has the reason %s", reason)
}
