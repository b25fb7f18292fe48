package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// CarelessName is a Deployment whose agent wants to listen on every address.
const CarelessName = "careless"

// Careless deploys the example once more, told to listen on 0.0.0.0, and looks
// for two things: that it says what is wrong, and that nobody can reach it.
func (a *Agent) Careless(ctx context.Context) ([]Finding, error) {
	if err := a.deployCareless(ctx); err != nil {
		return nil, err
	}
	labels := client.MatchingLabels{"variant": CarelessName}
	var pod corev1.Pod
	var reached []string
	err := Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		pods, err := a.Pods(ctx, labels)
		if err != nil || len(pods) == 0 {
			return errors.Join(err, errors.New("no pod yet"))
		}
		pod = pods[0]
		if bare, err := a.bare(ctx, pod); err == nil && bare {
			reached = append(reached, pod.Status.PodIP)
		}
		return crashed(pod)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the careless agent to fail: %w", err), a.whatIsWrong(ctx))
	}
	said, err := a.lastWords(ctx, pod.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the careless agent's log: %w", err)
	}
	advice, err := a.adviceForCareless(ctx, pod.Name)
	if err != nil {
		return nil, err
	}
	return append(advice,
		found(len(reached) == 0, "answers of the careless agent itself", strconv.Itoa(len(reached))),
		found(strings.Contains(said, "address already in use"), "the careless agent's log", lineWith(said, "address already in use")),
		found(!ready(pod), "the careless pod", describe(pod)),
	), nil
}

// lastWords waits for the log of an agent that failed: its container may just be
// starting again, and have said nothing yet.
func (a *Agent) lastWords(ctx context.Context, pod string) (said string, err error) {
	err = Eventually(ctx, time.Minute, func(ctx context.Context) error {
		said, err = a.Kubectl(ctx, "-n", a.Namespace, "logs", pod, "-c", "agent", "--previous", "--tail=20")
		if err != nil || said == "" {
			said, err = a.Kubectl(ctx, "-n", a.Namespace, "logs", pod, "-c", "agent", "--tail=20")
		}
		if err == nil && said == "" {
			return errors.New("the log is empty")
		}
		return err
	})
	return said, err
}

// adviceForCareless waits for the policy's condition and an event to name the
// pod and say what to change.
func (a *Agent) adviceForCareless(ctx context.Context, pod string) ([]Finding, error) {
	const advice = "listen on 127.0.0.1"
	var condition, event string
	err := Eventually(ctx, time.Minute, func(ctx context.Context) error {
		policy, err := a.Policy(ctx)
		if err != nil {
			return err
		}
		condition = Condition(policy.Status.Conditions, v1alpha1.ConditionEnforced)
		if !strings.Contains(condition, advice) || !strings.Contains(condition, pod) {
			return fmt.Errorf("the condition does not say what to change: %s", condition)
		}
		event, err = a.eventWith(ctx, advice)
		return err
	})
	said := found(strings.Contains(condition, advice), "the policy's condition", condition)
	told := found(event != "", "an event of the policy", event)
	if ctx.Err() != nil {
		return nil, err
	}
	return []Finding{said, told}, nil
}

// eventWith returns the event of the agent's namespace that contains words.
func (a *Agent) eventWith(ctx context.Context, words string) (string, error) {
	var events corev1.EventList
	if err := a.API.List(ctx, &events, client.InNamespace(a.Namespace)); err != nil {
		return "", fmt.Errorf("listing events: %w", err)
	}
	for _, e := range events.Items {
		if strings.Contains(e.Message, words) {
			return fmt.Sprintf("%s %s %s: %s", e.Type, e.Reason, e.InvolvedObject.Name, e.Message), nil
		}
	}
	return "", fmt.Errorf("no event says %q", words)
}

// deployCareless copies the agent's Deployment.
func (a *Agent) deployCareless(ctx context.Context) error {
	var original appsv1.Deployment
	if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: AgentName}, &original); err != nil {
		return fmt.Errorf("reading the agent's Deployment: %w", err)
	}
	template := *original.Spec.Template.DeepCopy()
	template.Labels["variant"] = CarelessName
	template.Spec.Containers[0].Env = append(template.Spec.Containers[0].Env, corev1.EnvVar{Name: "UVICORN_HOST", Value: "0.0.0.0"})
	return a.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: CarelessName},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": AgentName, "variant": CarelessName}},
			Template: template,
		},
	})
}

// bare says whether somebody other than the guard answers at the pod's address.
func (a *Agent) bare(ctx context.Context, pod corev1.Pod) (bool, error) {
	if pod.Status.PodIP == "" {
		return false, nil
	}
	url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(agentPort)) + "/health"
	got, err := ask(ctx, a.Pod, http.MethodGet, url, nil, "")
	return err == nil && !got.byGuard(), err
}

// crashed is nil once the agent's container has failed and its sidecar runs.
func crashed(pod corev1.Pod) error {
	for _, status := range pod.Status.ContainerStatuses {
		if status.RestartCount > 0 || status.State.Terminated != nil {
			return nil
		}
	}
	return errors.New("it has not failed: " + describe(pod))
}

func ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// describe says what the pod's containers are doing.
func describe(pod corev1.Pod) string {
	var parts []string
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		state := "running"
		if status.State.Waiting != nil {
			state = status.State.Waiting.Reason
		}
		if status.State.Terminated != nil {
			state = fmt.Sprintf("%s, exit code %d", status.State.Terminated.Reason, status.State.Terminated.ExitCode)
		}
		parts = append(parts, fmt.Sprintf("%s %s (%d restarts)", status.Name, state, status.RestartCount))
	}
	return strings.Join(parts, ", ")
}

func lineWith(text, words string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(text)
}
