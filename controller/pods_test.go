package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

const (
	image    = "example.com/sidecar:2"
	oldImage = "example.com/sidecar:1"
)

func TestPodsAreJudgedByWhatRunsInThem(t *testing.T) {
	t.Parallel()
	const name = "p"
	just := []string{name}
	for sentence, test := range map[string]struct {
		pod  corev1.Pod
		want podReport
	}{
		"a pod without the sidecar is unguarded, whatever its annotations say": {
			pod:  corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1alpha1.AnnotationStatus: "{}"}}},
			want: podReport{outdated: just, uninjected: just},
		},
		"an init container of that name that is no sidecar does not guard": {
			pod:  corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: v1alpha1.ContainerName}}}},
			want: podReport{outdated: just, uninjected: just},
		},
		"a ready pod that was told of the revision is programmed": {
			pod:  guarded(image, "7", corev1.ContainerStatus{Ready: true}),
			want: podReport{injected: just, ready: just, programmed: just},
		},
		"a pod that was told of an older revision waits to be told": {
			pod:  guarded(image, "6", corev1.ContainerStatus{Ready: true}),
			want: podReport{injected: just, ready: just, untold: just},
		},
		"a pod with the sidecar of another image is outdated and guarded": {
			pod:  guarded(oldImage, "7", corev1.ContainerStatus{Ready: true}),
			want: podReport{injected: just, ready: just, programmed: just, outdated: just},
		},
		"a pod under another policy's bundle is not this one's": {
			pod:  mounting(guarded(image, "7", corev1.ContainerStatus{Ready: true}), "other"),
			want: podReport{elsewhere: just, outdated: just},
		},
		"a sidecar that exited with 3 lost its port": {
			pod: guarded(image, "7", corev1.ContainerStatus{
				State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: ended(portTakenExit, ""),
			}),
			want: podReport{injected: just, programmed: just, portTaken: just},
		},
		"a sidecar that says so lost its port": {
			pod:  guarded(image, "7", corev1.ContainerStatus{State: ended(1, "port 8000 is taken by another process in this pod")}),
			want: podReport{injected: just, programmed: just, portTaken: just},
		},
		"a sidecar that has come back has its port": {
			pod:  guarded(image, "7", corev1.ContainerStatus{Ready: true, LastTerminationState: ended(portTakenExit, "")}),
			want: podReport{injected: just, ready: just, programmed: just},
		},
		"a sidecar that was killed under an agent that keeps ending may have lost its port": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{State: ended(137, "")}),
				corev1.ContainerStatus{Name: "agent", Ready: true, RestartCount: 2, State: running()}),
			want: podReport{injected: just, programmed: just, portTaken: just},
		},
		"a sidecar that was killed under an agent that never ended is down": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{
				RestartCount: 1, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}), corev1.ContainerStatus{Name: "agent", Ready: true, State: running()}),
			want: podReport{injected: just, programmed: just, down: just},
		},
		"a sidecar that starts for the first time is not down": {
			pod: guarded(image, "7", corev1.ContainerStatus{
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
			}),
			want: podReport{injected: just, programmed: just},
		},
		"a sidecar that ended after its agent guards nothing any more": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{State: ended(0, "")}),
				corev1.ContainerStatus{Name: "agent", State: ended(0, "")}),
			want: podReport{injected: just, programmed: just},
		},
		"a sidecar that ended for another reason did not lose its port": {
			pod:  guarded(image, "7", corev1.ContainerStatus{State: ended(1, "reading the policy")}),
			want: podReport{injected: just, programmed: just},
		},
		"an agent that dies of the address wants what the guard holds": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{Ready: true}),
				corev1.ContainerStatus{Name: "agent", LastTerminationState: ended(1, "[Errno 98] error while attempting to bind: Address already in use")}),
			want: podReport{injected: just, ready: just, programmed: just, addressFor: just},
		},
		"an agent that is held back and left no word may want it too": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{Ready: true}), corev1.ContainerStatus{
				Name: "agent", LastTerminationState: ended(1, ""),
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}),
			want: podReport{injected: just, ready: just, programmed: just, crashing: just},
		},
		"an agent that recovered does not": {
			pod: withAgent(guarded(image, "7", corev1.ContainerStatus{Ready: true}),
				corev1.ContainerStatus{Name: "agent", Ready: true, LastTerminationState: ended(1, "EADDRINUSE")}),
			want: podReport{injected: just, ready: just, programmed: just},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			test.want.selected = 1
			stripped, err := stripPod(test.pod.DeepCopy()) // what the cache keeps must be enough
			if err != nil {
				t.Fatal(err)
			}
			got := judgePods([]corev1.Pod{*stripped.(*corev1.Pod)}, "chat", image, 7)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(podReport{})); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCacheKeepsNothingOfAPodThatIsNotNeeded(t *testing.T) {
	t.Parallel()
	pod := withAgent(guarded(image, "7", corev1.ContainerStatus{Ready: true}), corev1.ContainerStatus{Name: "agent", ContainerID: "containerd://1"})
	pod.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = "large"
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	pod.Spec.Containers = []corev1.Container{{Name: "agent", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "hunter2"}}}}
	pod.Spec.NodeName = "node"
	pod.Status.HostIP = "10.0.0.1"
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}}
	stripped, err := stripPod(&pod)
	if err != nil {
		t.Fatal(err)
	}
	want := withAgent(guarded(image, "7", corev1.ContainerStatus{Ready: true}), corev1.ContainerStatus{Name: "agent"})
	if diff := cmp.Diff(&want, stripped); diff != "" {
		t.Errorf("stripped pod (-want +got):\n%s", diff)
	}
}

// A Secret's annotations may hold the Secret: kubectl apply puts it there.
func TestTheCacheKeepsNoAnnotationsOfSecrets(t *testing.T) {
	t.Parallel()
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "s", Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	stripped, err := stripMetadata(secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, stripped); diff != "" {
		t.Errorf("stripped metadata (-want +got):\n%s", diff)
	}
}

func running() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
}

// guarded is the pod p under the bundle of policy chat.
func guarded(image, revision string, status corev1.ContainerStatus) corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	status.Name = v1alpha1.ContainerName
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{v1alpha1.AnnotationBundleRevision: revision}},
		Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: v1alpha1.ContainerName, Image: image, RestartPolicy: &always}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{status}, ContainerStatuses: []corev1.ContainerStatus{},
		},
	}
	return mounting(pod, "chat")
}

func mounting(pod corev1.Pod, policy string) corev1.Pod {
	pod.Spec.Volumes = []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: v1alpha1.BundleName(policy)},
	}}}
	return pod
}

func withAgent(pod corev1.Pod, status corev1.ContainerStatus) corev1.Pod {
	pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
	return pod
}

func ended(code int32, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message}}
}
