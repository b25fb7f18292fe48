package stage

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// greedy is an agent that wants port 8000 of every address: it tries every few
// milliseconds, answers for two seconds when it gets it, and crashes: often before
// the kubelet has started the sidecar again, which then finds its port free and
// cannot tell.
const greedy = `
import http.server, sys, time
class Bare(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("X-Bare", "yes"); self.end_headers(); self.wfile.write(b"bare")
    do_POST = do_GET
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
until = time.time() + 30
while time.time() < until:
    try:
        server = Server(("0.0.0.0", 8000), Bare)
    except OSError as error:
        last = error
        time.sleep(0.005)
        continue
    server.timeout, until = 0.1, time.time() + 2
    while time.time() < until:
        server.handle_request()
    sys.exit("crashing after a while with the port")
sys.exit(str(last))
`

// greedyPods share the kills, so that the kubelet's back-off does not stretch them.
const greedyPods = 4

func (a *Agent) deployGreedy(ctx context.Context) ([]corev1.Pod, error) {
	var original appsv1.Deployment
	if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: AgentName}, &original); err != nil {
		return nil, fmt.Errorf("reading the agent's Deployment: %w", err)
	}
	labels := map[string]string{"app": AgentName, "variant": "greedy"}
	template := *original.Spec.Template.DeepCopy()
	template.Labels["variant"] = "greedy"
	template.Spec.Containers[0].Command = []string{"python3", "-c", greedy}
	template.Spec.Containers[0].ReadinessProbe = nil
	err := a.Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: "greedy"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(greedyPods)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
		},
	})
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	err = Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		if pods, err = a.Pods(ctx, client.MatchingLabels(labels)); err != nil {
			return err
		}
		guarded := 0
		for _, pod := range pods {
			if guardRuns(pod) && pod.Status.PodIP != "" {
				guarded++
			}
		}
		if guarded != greedyPods {
			return fmt.Errorf("%d pods have their sidecar, want %d", guarded, greedyPods)
		}
		return nil
	})
	return pods, err
}

func guardStatus(pod corev1.Pod) *corev1.ContainerStatus {
	for n := range pod.Status.InitContainerStatuses {
		if status := &pod.Status.InitContainerStatuses[n]; status.Name == v1alpha1.ContainerName {
			return status
		}
	}
	return nil
}

func guardRuns(pod corev1.Pod) bool {
	status := guardStatus(pod)
	return status != nil && status.State.Running != nil && status.Ready
}
