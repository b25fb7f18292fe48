package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// mostAnswer is how much of an answer is read, in bytes; 1,024 denials take
// about a quarter of it.
const mostAnswer = 4 << 20

// mostAsked is how many pods are asked at once.
const mostAsked = 8

// Answer is what one pod said at its admin port.
type Answer struct {
	Pod string
	// Status and Body are of HTTP.
	Status int
	Body   []byte
	// Err says why there is no answer, and what to do.
	Err error
}

// Ask sends GET path to the admin ports of pods and returns their answers in the
// order of pods. It ends early with its context.
func (c *Cluster) Ask(ctx context.Context, pods []corev1.Pod, path string) []Answer {
	answers := make([]Answer, len(pods))
	room := make(chan struct{}, mostAsked)
	var asked sync.WaitGroup
	for i := range pods {
		asked.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			answers[i] = c.askOne(ctx, &pods[i], path)
		})
	}
	asked.Wait()
	return answers
}

// Guarded are the guarded, living pods of the namespace that a policy guards; all
// of them when it is empty. The names, if there are any, choose among them; one
// that is not there, or not guarded, is an error.
func (c *Cluster) Guarded(ctx context.Context, policy string, names ...string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.List(ctx, &list, "listing pods"); err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if BundleOf(pod) != "" && pod.DeletionTimestamp == nil && (policy == "" || BundleOf(pod) == v1alpha1.BundleName(policy)) &&
			(len(names) == 0 || slices.Contains(names, pod.Name)) {
			pods = append(pods, *pod)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == name }) {
			return nil, fmt.Errorf("pod %s: there is no guarded pod of this name in namespace %s: kubectl get pods -l %s=true lists them", name, c.Namespace, v1alpha1.LabelInjected)
		}
	}
	return pods, nil
}

// BundleOf is the bundle Secret that a pod's sidecar mounts; empty: it has no
// sidecar.
func BundleOf(pod *corev1.Pod) string {
	if sidecarOf(pod) == nil {
		return ""
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == v1alpha1.VolumeName && volume.Secret != nil {
			return volume.Secret.SecretName
		}
	}
	return ""
}

// sidecarOf finds the guard by what runs, not by what an annotation says.
func sidecarOf(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.InitContainers {
		container := &pod.Spec.InitContainers[i]
		if container.Name == v1alpha1.ContainerName && container.RestartPolicy != nil &&
			*container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return container
		}
	}
	return nil
}

// adminPort is the sidecar's admin port.
func adminPort(pod *corev1.Pod) int32 {
	if sidecar := sidecarOf(pod); sidecar != nil {
		for _, port := range sidecar.Ports {
			if port.Name == v1alpha1.AdminPortName {
				return port.ContainerPort
			}
		}
	}
	return v1alpha1.AdminPort
}

func (c *Cluster) askOne(ctx context.Context, pod *corev1.Pod, path string) Answer {
	answer := Answer{Pod: pod.Name}
	doing := fmt.Sprintf("asking pod %s at port %d", pod.Name, adminPort(pod))
	connection, err := c.dial(pod)
	if err != nil {
		answer.Err = c.Explain(doing, err)
		return answer
	}
	ended := context.AfterFunc(ctx, func() { _ = connection.Close() }) // what waits on it ends
	defer func() { ended(); _ = connection.Close() }()
	answer.Status, answer.Body, err = get(ctx, connection, adminPort(pod), path)
	if err != nil {
		answer.Err = fmt.Errorf("%s: %w", doing, errors.Join(ctx.Err(), err))
	}
	return answer
}

// dial opens a port-forward to a pod, over WebSocket where the API server has
// that, else as older ones do.
func (c *Cluster) dial(pod *corev1.Pod) (httpstream.Connection, error) {
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	address := clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	first, err := portforward.NewSPDYOverWebsocketDialerForStreaming(address, c.Config)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(c.Config)
	if err != nil {
		return nil, err
	}
	second := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	dialer := portforward.NewFallbackDialerForStreaming(first, second, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	return connection, err
}

// get sends one request over a port-forward and reads the answer.
func get(ctx context.Context, connection httpstream.Connection, port int32, path string) (int, []byte, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	problems, err := connection.CreateStream(headers)
	if err != nil {
		return 0, nil, fmt.Errorf("opening a stream: %w", err)
	}
	_ = problems.Close() // our half: nothing is written there
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := connection.CreateStream(headers)
	if err != nil {
		return 0, nil, fmt.Errorf("opening a stream: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Close = true
	if err := request.Write(data); err != nil {
		return 0, nil, fmt.Errorf("sending the request: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(data), request)
	if err != nil {
		return 0, nil, refusedBy(problems, err)
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	return response.StatusCode, body, err
}

// refusedBy says what the kubelet says of a port that it cannot reach.
func refusedBy(problems io.Reader, err error) error {
	said, _ := io.ReadAll(io.LimitReader(problems, 1<<10)) // best effort: err is what is known
	if text := strings.TrimSpace(string(said)); text != "" {
		return fmt.Errorf("the pod does not answer: %s; does its container %s run?", text, v1alpha1.ContainerName)
	}
	return fmt.Errorf("reading the answer: %w", err)
}
