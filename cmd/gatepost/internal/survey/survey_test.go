package survey_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/survey"
	"gatepost.dev/gatepost/policy"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// guarding is a policy in order that selects app=NAME; each reason replaces that
// of a condition, and makes it False unless it says how good it is.
func guarding(name string, conditions ...metav1.Condition) v1alpha1.AgentAuthPolicy {
	p := v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: name, Generation: 1}}
	p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	p.Status.ObservedGeneration = 1
	for _, kind := range []string{"Accepted", "ResolvedRefs", "Programmed", "Enforced"} {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind}
		if i := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == kind }); i >= 0 {
			c = conditions[i]
		}
		p.Status.Conditions = append(p.Status.Conditions, c)
	}
	return p
}

func is(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: reason + " it is"}
}

// pod is one that app=NAME selects, guarded by a policy; bare without one.
func pod(name, app, by string, edits ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: name, Labels: map[string]string{"app": app}}}
	if by != "" {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Name: v1alpha1.ContainerName, RestartPolicy: &always}}
		p.Spec.Volumes = []corev1.Volume{{Name: v1alpha1.VolumeName, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: v1alpha1.BundleName(by)},
		}}}
	}
	for _, edit := range edits {
		edit(&p)
	}
	return p
}

func signing(conditions ...metav1.Condition) v1alpha1.SigningKey {
	k := v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "tokens"}}
	k.Status.Conditions = conditions
	return k
}

// found is a finding without its message.
type found struct {
	Urgency survey.Urgency
	Object  string
	Reason  string
}

func TestFindings(t *testing.T) {
	t.Parallel()
	inOrder := []metav1.Condition{is("Ready", "True", "KeyActive"), is("Rotating", "False", "Idle"), is("Degraded", "False", "AsExpected")}
	for name, test := range map[string]struct {
		world   survey.World
		want    []found
		counts  [3]int // guarded, selected, unselected
		message string // contained in the first finding's
	}{
		"nothing is wrong": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}, Pods: []corev1.Pod{pod("a", "chat", "chat")},
				Keys: []v1alpha1.SigningKey{signing(inOrder...)},
			},
			counts: [3]int{1, 1, 0},
		},
		"a bare pod in a namespace that does not inject": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{guarding("chat", is("Enforced", "False", "PodsNotInjected"))},
				Pods:     []corev1.Pod{pod("a", "chat", "chat"), pod("b", "chat", "")}, Injects: map[string]bool{"agents": false},
			},
			want:    []found{{"Unguarded", "AgentAuthPolicy chat", "PodsNotInjected"}},
			counts:  [3]int{1, 2, 0},
			message: "sidecar: b; the namespace does not inject: kubectl label namespace agents gatepost.dev/injection=enabled",
		},
		"a bare pod that is older than the policy": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}, Pods: []corev1.Pod{pod("b", "chat", "")}, Injects: map[string]bool{"agents": true},
			},
			want:    []found{{"Unguarded", "AgentAuthPolicy chat", "PodsNotInjected"}},
			counts:  [3]int{0, 1, 0},
			message: "restart them",
		},
		"a pod with the sidecar of another policy is bare": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}, Pods: []corev1.Pod{pod("b", "chat", "former")},
			},
			want:   []found{{"Unguarded", "AgentAuthPolicy chat", "PodsNotInjected"}},
			counts: [3]int{0, 1, 0},
		},
		"pods that are over, or decline where they may, do not count": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{func() v1alpha1.AgentAuthPolicy {
					p := guarding("chat")
					p.Spec.AllowOptOut = true
					return p
				}()},
				Pods: []corev1.Pod{
					pod("over", "chat", "", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
					pod("going", "chat", "", func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.NewTime(noon)) }),
					pod("declines", "chat", "", func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = "false" }),
					pod("stranger", "web", ""),
				},
			},
			counts: [3]int{0, 0, 1},
		},
		"the urgent first, and no consequences": {
			world: survey.World{
				Policies: []v1alpha1.AgentAuthPolicy{
					guarding("later", is("Accepted", "False", "Conflicted"), is("Programmed", "False", "NotAccepted"), is("Enforced", "False", "NotProgrammed")),
					guarding("open", is("Enforced", "False", "AuditMode")),
					guarding("idle", is("Enforced", "False", "NoPodsSelected")),
					guarding("taken", is("Enforced", "False", "PortTaken")),
				},
				Keys:    []v1alpha1.SigningKey{signing(is("Ready", "False", "StateLost"), is("Rotating", "True", "WaitingForVerifiers"), is("Degraded", "True", "VerifiersLagging"))},
				Issuers: []v1alpha1.TokenIssuer{{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "front"}}},
				APIKeys: []v1alpha1.APIKey{{
					ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "crm"},
					Status:     v1alpha1.APIKeyStatus{Conditions: []metav1.Condition{is("Accepted", "True", "Accepted")}},
				}},
			},
			want: []found{
				{"Unguarded", "AgentAuthPolicy open", "AuditMode"},
				{"Unguarded", "AgentAuthPolicy taken", "PortTaken"},
				{"Failing", "AgentAuthPolicy later", "Conflicted"},
				{"Failing", "SigningKey tokens", "StateLost"},
				{"Failing", "TokenIssuer front", "NotJudged"},
				{"Look", "AgentAuthPolicy idle", "NoPodsSelected"},
				{"Look", "SigningKey tokens", "VerifiersLagging"},
				{"Look", "SigningKey tokens", "WaitingForVerifiers"},
				{"Look", "APIKey crm", "NoLiveKey"},
			},
		},
		"a key that is revoked and may be accepted is urgent": {
			world: survey.World{Keys: []v1alpha1.SigningKey{func() v1alpha1.SigningKey {
				k := signing(inOrder...)
				k.Status.LastRevocation = &v1alpha1.RevocationStatus{KID: "1-a", RevokedTime: new(metav1.NewTime(noon))}
				return k
			}()}},
			want: []found{{"Unguarded", "SigningKey tokens", "RevokedKeyAccepted"}},
		},
		"a policy that was changed a moment ago is not judged by its old conditions": {
			world: survey.World{Policies: []v1alpha1.AgentAuthPolicy{func() v1alpha1.AgentAuthPolicy {
				p := guarding("chat")
				p.Generation = 2
				return p
			}()}},
			want: []found{{"Failing", "AgentAuthPolicy chat", "NotJudged"}},
		},
		"where pods are not shown the controller's counts stand": {
			world: survey.World{
				Hidden: []string{"pods"},
				Policies: []v1alpha1.AgentAuthPolicy{func() v1alpha1.AgentAuthPolicy {
					p := guarding("chat", is("Enforced", "False", "PodsNotInjected"))
					p.Status.Pods = v1alpha1.PodCounts{Selected: 5, Injected: 4, Outdated: 2}
					return p
				}()},
			},
			want:   []found{{"Unguarded", "AgentAuthPolicy chat", "PodsNotInjected"}, {"Look", "AgentAuthPolicy chat", "PodsOutdated"}},
			counts: [3]int{4, 5, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := survey.Take(test.world)
			var got []found
			for _, f := range report.Findings {
				got = append(got, found{f.Urgency, f.Kind + " " + f.Name, f.Reason})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.counts, [3]int{report.Guarded, report.Selected, report.Unselected}); diff != "" {
				t.Errorf("guarded, selected, unselected (-want +got):\n%s", diff)
			}
			if len(report.Findings) > 0 && !strings.Contains(report.Findings[0].Message, test.message) {
				t.Errorf("it says: %s", report.Findings[0].Message)
			}
			if urgent := slices.ContainsFunc(got, func(f found) bool { return f.Urgency != survey.Look }); urgent != report.Urgent() {
				t.Errorf("Urgent is %v", report.Urgent())
			}
		})
	}
}

// The first line is the whole in a sentence.
func TestTheFirstLine(t *testing.T) {
	t.Parallel()
	for want, world := range map[string]survey.World{
		"No AgentAuthPolicy: nothing is guarded here. Nothing needs attention.": {},
		"No pod is selected by a policy. Nothing needs attention.":              {Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}},
		"1 of 1 selected pods are guarded. Nothing needs attention.": {
			Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}, Pods: []corev1.Pod{pod("a", "chat", "chat")},
		},
		"0 of 1 selected pods are guarded. One thing wants something done:": {
			Policies: []v1alpha1.AgentAuthPolicy{guarding("chat")}, Pods: []corev1.Pod{pod("a", "chat", "")},
		},
		"No pod is selected by a policy. Nothing is broken; have a look at:": {
			Policies: []v1alpha1.AgentAuthPolicy{guarding("chat", is("Enforced", "False", "NoPodsSelected"))},
		},
	} {
		report := survey.Take(world)
		if got := report.Tables(true, noon)[0].Render(output.Terminal{}); got != want+"\n" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Whatever is in a cluster, a table fits a terminal of 80 columns.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("the agent keeps ending ", 30)
	broken := guarding("chat", metav1.Condition{Type: "Enforced", Status: metav1.ConditionFalse, Reason: "PodsNotReady", Message: long})
	broken.Spec.Mode = policy.ModeAudit
	report := survey.Take(survey.World{Policies: []v1alpha1.AgentAuthPolicy{broken}, Pods: []corev1.Pod{pod("a", "chat", "")}})
	for _, table := range report.Tables(true, noon) {
		for line := range strings.Lines(table.Render(output.Terminal{Columns: 80})) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("too wide: %s", line)
			}
		}
	}
}
