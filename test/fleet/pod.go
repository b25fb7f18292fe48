package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Pod is one guarded pod: its kubelet's part and its sidecar.
type Pod struct {
	Name   string
	UID    types.UID
	Policy string

	fleet    *Fleet
	listener net.Listener
	verifier verifier

	mu       sync.Mutex
	told     int64 // the annotation's revision
	mounted  *edition
	pending  bool // a delivery without annotation is under way
	held     bool
	late     time.Duration
	restarts int32
	gone     bool
}

// Add creates pods under a policy and returns when their sidecars run, which
// takes the policy's bundle. They carry the label app with the policy's name,
// and the annotation that the injector would give them.
func (f *Fleet) Add(ctx context.Context, policy string, count int) ([]*Pod, error) {
	var p v1alpha1.AgentAuthPolicy
	if err := f.api.Get(ctx, client.ObjectKey{Namespace: f.options.Namespace, Name: policy}, &p); err != nil {
		return nil, fmt.Errorf("adding pods: %w", err)
	}
	bundle := v1alpha1.BundleName(policy)
	err := f.until(ctx, func() bool { return f.latest(bundle) != nil })
	if err != nil {
		return nil, fmt.Errorf("adding pods: waiting for secret %s: %w", bundle, err)
	}
	pods := make([]*Pod, count)
	errs := make([]error, count)
	turns := make(chan struct{}, f.options.Parallel)
	var all sync.WaitGroup
	for i := range pods {
		turns <- struct{}{}
		all.Go(func() {
			pods[i], errs[i] = f.add(ctx, policy, p.Status.BundleRevision)
			<-turns
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("adding pods: %w", err)
		}
	}
	return pods, nil
}

// add creates one pod and starts its sidecar.
func (f *Fleet) add(ctx context.Context, policy string, revision int64) (*Pod, error) {
	number := f.number()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(address(number), 0).String())
	if err != nil {
		return nil, err
	}
	pod := &Pod{Name: fmt.Sprintf("%s-%05d", policy, number), Policy: policy, fleet: f, listener: listener, told: revision}
	object := f.object(pod, revision)
	if err := f.api.Create(ctx, object); err != nil {
		listener.Close()
		return nil, fmt.Errorf("creating pod %s: %w", pod.Name, err)
	}
	pod.UID = object.UID
	f.mu.Lock()
	f.pods[pod.Name], f.byAddress[pod.Address()] = pod, pod
	f.mu.Unlock()
	pod.verifier.minimum = revision
	pod.deliver()
	pod.verifier.start(pod.mount())
	go func() { _ = f.server.Serve(listener) }() // ends with the listener
	if seen, known, err := f.objects.GetByKey(object.Namespace + "/" + object.Name); err == nil && known {
		f.podSeen(seen) // it may have been annotated meanwhile
	}
	return pod, pod.report(ctx, true)
}

func (f *Fleet) number() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	return f.next
}

// address is a loopback address of the pod's own.
func address(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(64 + number>>16&63), byte(number >> 8 & 255), byte(number & 255)})
}

// object is the pod as the injector leaves it. No scheduler feels responsible
// for it, and it costs no service account token.
func (f *Fleet) object(pod *Pod, revision int64) *corev1.Pod {
	always, no := corev1.ContainerRestartPolicyAlways, false
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.options.Namespace, Name: pod.Name,
			Labels: map[string]string{"app": pod.Policy, v1alpha1.LabelInjected: "true"},
		},
		Spec: corev1.PodSpec{
			SchedulerName: "fleet", AutomountServiceAccountToken: &no,
			InitContainers: []corev1.Container{{
				Name: v1alpha1.ContainerName, Image: f.options.Image, RestartPolicy: &always,
				Ports: []corev1.ContainerPort{{Name: v1alpha1.AdminPortName, ContainerPort: int32(pod.Address().Port()), Protocol: corev1.ProtocolTCP}},
			}},
			Containers: []corev1.Container{{Name: "agent", Image: "example.com/agent"}},
			Volumes: []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: v1alpha1.BundleName(pod.Policy)},
			}}},
		},
	}
	if revision > 0 {
		object.Annotations = map[string]string{v1alpha1.AnnotationBundleRevision: strconv.FormatInt(revision, 10)}
	}
	return object
}

// Address is where the sidecar's `/state` is.
func (p *Pod) Address() netip.AddrPort {
	at, err := netip.ParseAddrPort(p.listener.Addr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return at
}

// report writes the pod's status as its kubelet would.
func (p *Pod) report(ctx context.Context, running bool) error {
	p.mu.Lock()
	restarts := p.restarts
	p.mu.Unlock()
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	if !running {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error", FinishedAt: metav1.Now()}}
	}
	sidecar := corev1.ContainerStatus{
		Name: v1alpha1.ContainerName, Image: p.fleet.options.Image, ImageID: "none", State: state,
		Ready: running && p.verifier.serves(), Started: &running, RestartCount: restarts,
	}
	ip := p.Address().Addr().String()
	patch, err := json.Marshal(map[string]any{"status": corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		InitContainerStatuses: []corev1.ContainerStatus{sidecar},
	}})
	if err != nil {
		return err
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.fleet.options.Namespace, Name: p.Name}}
	if err := p.fleet.api.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("writing the status of pod %s: %w", p.Name, err)
	}
	return nil
}
