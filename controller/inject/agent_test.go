package inject_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// The API server fills in the default before any webhook, so that what was left
// out and what was written looks the same.
func TestLastWordsAreKeptOfGuardedContainersThatDoNotCare(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		policy corev1.TerminationMessagePolicy
		path   string
		want   corev1.TerminationMessagePolicy
	}{
		"nothing said":                 {"", "", corev1.TerminationMessageFallbackToLogsOnError},
		"the defaults":                 {corev1.TerminationMessageReadFile, corev1.TerminationMessagePathDefault, corev1.TerminationMessageFallbackToLogsOnError},
		"as it should be":              {corev1.TerminationMessageFallbackToLogsOnError, corev1.TerminationMessagePathDefault, corev1.TerminationMessageFallbackToLogsOnError},
		"a file of its own":            {corev1.TerminationMessageReadFile, "/tmp/last-words", corev1.TerminationMessageReadFile},
		"a file of its own and no way": {"", "/tmp/last-words", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			pod := agentPod()
			for i := range pod.Spec.Containers {
				pod.Spec.Containers[i].TerminationMessagePolicy = test.policy
				pod.Spec.Containers[i].TerminationMessagePath = test.path
			}
			got, _, err := inject.Pod(pod, agentPolicy(), config)
			if err != nil {
				t.Fatal(err)
			}
			if agent := got.Spec.Containers[0]; agent.TerminationMessagePolicy != test.want || agent.TerminationMessagePath != test.path {
				t.Errorf("the agent: %q of %q, want %q", agent.TerminationMessagePolicy, agent.TerminationMessagePath, test.want)
			}
			if helper := got.Spec.Containers[1]; helper.TerminationMessagePolicy != test.policy {
				t.Errorf("a container that is not guarded: %q, want what it was, %q", helper.TerminationMessagePolicy, test.policy)
			}
		})
	}
}

// A webhook is asked again after others changed the pod; meanwhile the bundle may
// have a later revision.
func TestAPodIsAdmittedWithTheRevisionOfItsLastAdmission(t *testing.T) {
	t.Parallel()
	pod, policy := agentPod(), agentPolicy()
	pod.Annotations = map[string]string{v1alpha1.AnnotationBundleRevision: "1000000"}
	for _, test := range []struct {
		revision         int64
		argument, annota string
	}{
		{0, "", ""},
		{7, "--min-revision=7", "7"},
		{7, "--min-revision=7", "7"},
		{9, "--min-revision=9", "9"},
		{0, "", ""}, // a policy that was made anew
	} {
		policy.Status.BundleRevision = test.revision
		var err error
		if pod, _, err = inject.Pod(pod, policy, config); err != nil {
			t.Fatal(err)
		}
		args := slices.DeleteFunc(slices.Clone(pod.Spec.InitContainers[0].Args), func(arg string) bool { return !strings.HasPrefix(arg, "--min-revision") })
		if got := strings.Join(args, " "); got != test.argument {
			t.Errorf("revision %d: arguments %q, want %q", test.revision, got, test.argument)
		}
		if got, there := pod.Annotations[v1alpha1.AnnotationBundleRevision]; got != test.annota || there != (test.annota != "") {
			t.Errorf("revision %d: annotation %q, want %q", test.revision, got, test.annota)
		}
	}
}
