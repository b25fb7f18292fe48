package stage

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/test/e2e/remote"
)

// callersNamespace has no injection: its pods are strangers.
const callersNamespace = "gatepost-stage-callers"

// Callers make requests from two places in the cluster.
type Callers struct {
	Pod  *http.Client // from a pod of another namespace
	Node *http.Client // from the network of a node
	stop func()
}

// StartCallers starts the callers' pods and joins them.
func (s *Stage) StartCallers(ctx context.Context) (*Callers, error) {
	err := Eventually(ctx, time.Minute, func(ctx context.Context) error { // an earlier run's may still be ending
		return s.Create(ctx,
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: callersNamespace}},
			s.callerPod("pod", false), s.callerPod("node", true))
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.Kubectl(ctx, "-n", callersNamespace, "wait", "--for=condition=Ready", "pod/pod", "pod/node", "--timeout=2m"); err != nil {
		return nil, fmt.Errorf("waiting for the callers: %w", err)
	}
	pod, stopPod, err := s.join(ctx, "pod")
	if err != nil {
		return nil, err
	}
	node, stopNode, err := s.join(ctx, "node")
	if err != nil {
		stopPod()
		return nil, err
	}
	return &Callers{Pod: pod, Node: node, stop: func() { stopPod(); stopNode() }}, nil
}

// Close leaves the callers and ends them without waiting.
func (c *Callers) Close(ctx context.Context, s *Stage) error {
	c.stop()
	_, err := s.Kubectl(ctx, "delete", "namespace", callersNamespace, "--wait=false")
	return err
}

func (s *Stage) callerPod(name string, onNode bool) *corev1.Pod {
	no, yes, user := false, true, int64(10002)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: callersNamespace},
		Spec: corev1.PodSpec{
			HostNetwork:                   onNode,
			DNSPolicy:                     corev1.DNSClusterFirstWithHostNet,
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "caller", Image: s.Images.Caller, Args: []string{"wait"},
				SecurityContext: &corev1.SecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, AllowPrivilegeEscalation: &no},
			}},
		},
	}
}

// join runs the caller's program in its container and speaks to it by the pipe
// that kubectl exec is. The returned function cuts the pipe, and with it ends the
// program at the other end.
func (s *Stage) join(ctx context.Context, pod string) (*http.Client, func(), error) {
	ctx, cut := context.WithCancel(ctx)
	cmd := s.OnNode(ctx, "kubectl", "-n", callersNamespace, "exec", "-i", pod, "--", "/caller", "requests")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		cut()
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cut()
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		cut()
		return nil, nil, fmt.Errorf("joining the caller %s: %w", pod, err)
	}
	client := &http.Client{
		Transport:     remote.NewTransport(out, in),
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client, func() {
		cut()
		_ = cmd.Wait() // killed, as it says
	}, nil
}
