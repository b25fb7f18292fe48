package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// leaderLease is the Lease by which controllers take turns.
const leaderLease = "controller.gatepost.dev"

// KillLeader kills the process of the controller that leads, as the kernel would
// that is out of memory. It needs to run on the node's machine.
func (s *Stage) KillLeader(ctx context.Context) error {
	pod, err := s.leader(ctx)
	if err != nil {
		return err
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return fmt.Errorf("pod %s has no container", pod.Name)
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	pid, err := processOf(id)
	if err != nil {
		return fmt.Errorf("finding the process of %s: %w", pod.Name, err)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// leader is the pod of the controller that holds the Lease.
func (s *Stage) leader(ctx context.Context) (*corev1.Pod, error) {
	var lease coordinationv1.Lease
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: leaderLease}, &lease); err != nil {
		return nil, fmt.Errorf("finding the controller that leads: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return nil, errors.New("no controller leads")
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	var pod corev1.Pod
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &pod); err != nil {
		return nil, fmt.Errorf("reading the controller that leads: %w", err)
	}
	return &pod, nil
}

// Hold keeps a pod's mounted bundle as it is until release is called: over the
// directory in which the kubelet keeps it another one is mounted, and there goes
// what the kubelet writes, while the container has a mount of its own. It needs to
// run on the node's machine.
func (a *Agent) Hold(ctx context.Context, pod corev1.Pod) (release func() error, err error) {
	kubelet, path, err := mountOf(string(pod.UID))
	if err != nil {
		return nil, fmt.Errorf("holding pod %s back: %w", pod.Name, err)
	}
	ctx = context.WithoutCancel(ctx)
	inside := func(args ...string) error {
		return run(exec.CommandContext(ctx, "nsenter", append([]string{"--mount=/proc/" + kubelet + "/ns/mnt", "--"}, args...)...))
	}
	release = func() error { // and make the kubelet look, which it would do within a minute or so
		touch := fmt.Appendf(nil, `{"metadata":{"annotations":{"stage/released":%q}}}`, time.Now().Format(time.RFC3339Nano))
		return errors.Join(inside("umount", path), a.API.Patch(ctx, &pod, client.RawPatch(types.MergePatchType, touch)))
	}
	return release, inside("mount", "-t", "tmpfs", "-o", "size=1m", "none", path)
}

// mountOf finds the kubelet that mounts the bundle of a pod, and where.
func mountOf(uid string) (kubelet, path string, err error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return "", "", err
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(text)) != "kubelet" {
			continue
		}
		mounts, err := os.ReadFile(filepath.Join(filepath.Dir(name), "mountinfo"))
		if err != nil {
			continue // it has just ended
		}
		if path := parseMount(string(mounts), uid, v1alpha1.VolumeName); path != "" {
			return filepath.Base(filepath.Dir(name)), path, nil
		}
	}
	return "", "", fmt.Errorf("no kubelet of this machine has mounted volume %s of pod %s", v1alpha1.VolumeName, uid)
}

// parseMount finds in a mountinfo where the kubelet mounted a pod's secret volume.
func parseMount(mountinfo, uid, volume string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line) // the fifth is the mount point
		if len(fields) > 4 && strings.HasSuffix(fields[4], "/pods/"+uid+"/volumes/kubernetes.io~secret/"+volume) {
			return fields[4]
		}
	}
	return ""
}
