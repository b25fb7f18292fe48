package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// How often a Watch looks at the key's status, and asks the pods.
const (
	statusEvery = 50 * time.Millisecond
	podsEvery   = 200 * time.Millisecond
)

// Watch looks at the agent's signing key and at its pods, and keeps the Ledger.
type Watch struct {
	Ledger Ledger

	agent *Agent
	mu    sync.Mutex // guards what follows
	ready []corev1.Pod
	key   v1alpha1.SigningKey
}

// Watch looks at the agent while do runs.
func (a *Agent) Watch(ctx context.Context, do func(*Watch)) {
	w := &Watch{agent: a}
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { again(watching, statusEvery, w.readKey) })
	watchers.Go(func() { again(watching, podsEvery, w.askPods) })
	do(w)
	stop()
	watchers.Wait()
}

// again does something every so often until ctx ends.
func again(ctx context.Context, every time.Duration, do func(context.Context)) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

func (w *Watch) readKey(ctx context.Context) {
	key, err := w.agent.SigningKey(ctx)
	if err != nil {
		return // the next look may be luckier, and what must be seen is waited for
	}
	w.Ledger.Status(time.Now(), key.Status.Keys)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.key = *key
}

// askPods asks every pod that is ready what it has loaded.
func (w *Watch) askPods(ctx context.Context) {
	pods, err := w.agent.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return
	}
	var serving []corev1.Pod
	var names []string
	var asking sync.WaitGroup
	for _, pod := range pods {
		if ready(pod) {
			serving, names = append(serving, pod), append(names, pod.Name)
			asking.Go(func() { w.askPod(ctx, pod) })
		}
	}
	asking.Wait()
	w.Ledger.Pods(time.Now(), names)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = serving
}

func (w *Watch) askPod(ctx context.Context, pod corev1.Pod) {
	asked := time.Now()
	url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(v1alpha1.AdminPort)) + "/state?nonce=stage"
	got, err := ask(ctx, w.agent.Pod, http.MethodGet, url, nil, "")
	if err != nil || got.status != http.StatusOK {
		return
	}
	var state struct {
		KIDs map[string][]string `json:"kids"`
	}
	if json.Unmarshal([]byte(got.body), &state) == nil && state.KIDs != nil {
		w.Ledger.Pod(asked, time.Now(), pod.Name, state.KIDs[KeyName])
	}
}

// Key is the signing key as it was last read.
func (w *Watch) Key() v1alpha1.SigningKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.key
}

// Serving are the pods that were ready when last looked at.
func (w *Watch) Serving() []corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ready
}

// Aim sends every fifth user to the Service and the others each to a pod by its
// own address, as long as it serves.
func (w *Watch) Aim(user int) Aim {
	pods := w.Serving()
	if user%5 == 0 {
		return w.agent.AimAtService(user)
	}
	if len(pods) == 0 {
		return Aim{}
	}
	return aimAt(pods[user%len(pods)])
}

// AimAtService sends every user to the agent's Service.
func (a *Agent) AimAtService(int) Aim { return Aim{Name: "Service", URL: a.URL("/agent")} }

func aimAt(pod corev1.Pod) Aim {
	return Aim{Name: pod.Name, URL: "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(agentPort)) + "/agent"}
}

// Until waits until the ledger has seen something of a key, and returns when it was.
func (w *Watch) Until(ctx context.Context, within time.Duration, what, kid string, seen func(KeyTimes) time.Time) (time.Time, error) {
	var at time.Time
	err := Eventually(ctx, within, func(context.Context) error {
		if at = seen(w.Ledger.Times(kid)); at.IsZero() {
			key := w.Key()
			return fmt.Errorf("waiting until key %s is %s: %s; %s", kid, what, describePhases(key.Status.Keys), Condition(key.Status.Conditions, "Rotating"))
		}
		return nil
	})
	return at, err
}
