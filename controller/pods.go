package controller

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// podReport is how the pods of one policy fare. Names are sorted.
type podReport struct {
	selected   int
	injected   []string // with the sidecar, mounting this policy's bundle
	ready      []string // of those: the sidecar serves
	programmed []string // of those: told of the current revision
	untold     []string // injected and not yet told
	outdated   []string // with a sidecar of another image, of another policy, or none
	uninjected []string // no sidecar: unguarded
	elsewhere  []string // guarded by another policy's bundle
	portTaken  []string // another process holds the sidecar's port, or may
	down       []string // the sidecar is down while the agent, which never ended before, runs
	addressFor []string // the agent dies because it wants the address that the guard holds
	crashing   []string // the agent keeps ending and left no word why
}

// What the sidecar says, and exits with, when the agent or another process got
// hold of a guarded port.
const (
	portTakenExit = 3
	portTakenText = "is taken by another process in this pod"
)

// addressInUse is how agents word EADDRINUSE: Go, Python, Node, Java, Rust.
var addressInUse = []string{"address already in use", "address in use", "eaddrinuse"}

// judgePods sums up the pods a policy guards: living ones, in any order.
func judgePods(pods []corev1.Pod, policy, sidecarImage string, revision int64) podReport {
	var report podReport
	for i := range pods {
		report.add(&pods[i], v1alpha1.BundleName(policy), sidecarImage, revision)
	}
	for _, names := range [][]string{
		report.injected, report.ready, report.programmed, report.untold, report.outdated,
		report.uninjected, report.elsewhere, report.portTaken, report.down, report.addressFor, report.crashing,
	} {
		slices.Sort(names)
	}
	return report
}

func (r *podReport) add(pod *corev1.Pod, bundle, sidecarImage string, revision int64) {
	r.selected++
	image, guarded := sidecarImageOf(pod)
	if image != sidecarImage || bundleOf(pod) != bundle {
		r.outdated = append(r.outdated, pod.Name)
	}
	switch {
	case !guarded:
		r.uninjected = append(r.uninjected, pod.Name)
		return
	case bundleOf(pod) != bundle:
		r.elsewhere = append(r.elsewhere, pod.Name)
		return
	}
	r.injected = append(r.injected, pod.Name)
	if toldOf(pod, revision) {
		r.programmed = append(r.programmed, pod.Name)
	} else {
		r.untold = append(r.untold, pod.Name)
	}
	r.judgeGuard(pod)
	r.judgeAgent(pod)
}

// judgeGuard tells whether the sidecar serves, and if not, what may be reached
// around it.
func (r *podReport) judgeGuard(pod *corev1.Pod) {
	sidecar := statusOf(pod.Status.InitContainerStatuses, v1alpha1.ContainerName)
	if sidecar != nil && sidecar.Ready {
		r.ready = append(r.ready, pod.Name)
	}
	switch {
	case lostItsPort(sidecar), isDown(sidecar) && slices.ContainsFunc(pod.Status.ContainerStatuses, runsAgain):
		r.portTaken = append(r.portTaken, pod.Name)
	case isDown(sidecar) && slices.ContainsFunc(pod.Status.ContainerStatuses, runs):
		r.down = append(r.down, pod.Name)
	}
}

// judgeAgent tells whether the agent ends because of the guard.
func (r *podReport) judgeAgent(pod *corev1.Pod) {
	switch {
	case slices.ContainsFunc(pod.Status.ContainerStatuses, wantsGuardedAddress):
		r.addressFor = append(r.addressFor, pod.Name)
	case slices.ContainsFunc(pod.Status.ContainerStatuses, crashesSilently):
		r.crashing = append(r.crashing, pod.Name)
	}
}

func toldOf(pod *corev1.Pod, revision int64) bool {
	return pod.Annotations[v1alpha1.AnnotationBundleRevision] == strconv.FormatInt(revision, 10)
}

// counts are the numbers for the status.
func (r *podReport) counts() v1alpha1.PodCounts {
	return v1alpha1.PodCounts{
		Selected: int32(r.selected), Injected: int32(len(r.injected)), //nolint:gosec // pods of one namespace
		Programmed: int32(len(r.programmed)), Outdated: int32(len(r.outdated)), //nolint:gosec // pods of one namespace
	}
}

// living reports whether a pod can still serve: neither finished nor going away.
func living(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// sidecarImageOf finds the guard by what runs, not by what an annotation says.
func sidecarImageOf(pod *corev1.Pod) (string, bool) {
	for _, container := range pod.Spec.InitContainers {
		if container.Name == v1alpha1.ContainerName && container.RestartPolicy != nil &&
			*container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return container.Image, true
		}
	}
	return "", false
}

func bundleOf(pod *corev1.Pod) string { return secretOfVolume(pod, v1alpha1.VolumeName) }

func secretOfVolume(pod *corev1.Pod, name string) string {
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == name && volume.Secret != nil {
			return volume.Secret.SecretName
		}
	}
	return ""
}

func statusOf(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

// lostItsPort reports whether the sidecar is down now because another process
// took a guarded port. One that has come back has its port.
func lostItsPort(sidecar *corev1.ContainerStatus) bool {
	if sidecar == nil || sidecar.Ready {
		return false
	}
	return slices.ContainsFunc(endings(sidecar), func(end *corev1.ContainerStateTerminated) bool {
		return end.ExitCode == portTakenExit || strings.Contains(end.Message, portTakenText)
	})
}

// isDown reports whether a sidecar that has run before does not run now.
func isDown(sidecar *corev1.ContainerStatus) bool {
	return sidecar != nil && sidecar.State.Running == nil && (sidecar.State.Terminated != nil || sidecar.RestartCount > 0)
}

func runs(status corev1.ContainerStatus) bool { return status.State.Running != nil }

// runsAgain reports whether a container runs that has ended before: while the
// sidecar is down, an agent that dies of the guarded address may have got it, and
// may be gone with it before the sidecar could say so.
func runsAgain(status corev1.ContainerStatus) bool { return runs(status) && status.RestartCount > 0 }

// wantsGuardedAddress reports whether a container keeps ending, and its last
// words are that an address is in use. Only containers with
// terminationMessagePolicy FallbackToLogsOnError have last words.
func wantsGuardedAddress(status corev1.ContainerStatus) bool {
	if status.Ready || status.Name == v1alpha1.ContainerName {
		return false
	}
	return slices.ContainsFunc(endings(&status), func(end *corev1.ContainerStateTerminated) bool {
		message := strings.ToLower(end.Message)
		return end.ExitCode != 0 && slices.ContainsFunc(addressInUse, func(words string) bool { return strings.Contains(message, words) })
	})
}

// crashesSilently reports whether a container is held back because it keeps
// ending, and did not say why.
func crashesSilently(status corev1.ContainerStatus) bool {
	waiting := status.State.Waiting
	return waiting != nil && waiting.Reason == "CrashLoopBackOff" &&
		!slices.ContainsFunc(endings(&status), func(end *corev1.ContainerStateTerminated) bool { return end.Message != "" })
}

func endings(status *corev1.ContainerStatus) []*corev1.ContainerStateTerminated {
	var ends []*corev1.ContainerStateTerminated
	for _, end := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
		if end != nil {
			ends = append(ends, end)
		}
	}
	return ends
}

// someOf lists at most ten names for a message.
func someOf(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:mostNamed], ", ") + ", ..."
}

// mostNamed is how many pods are named in one place.
const mostNamed = 10
