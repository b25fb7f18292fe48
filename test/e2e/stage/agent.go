package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// The names in examples/fastapi.
const (
	PolicyName = "fastapi"
	KeyName    = "agent-tokens"
	AgentName  = "fastapi"
)

// Agent is the FastAPI example, guarded, in a namespace of its own.
type Agent struct {
	*Stage
	*Callers
	Namespace string
	Signer    *Signer

	lifetime time.Duration // of a token, at most
}

// Deploy applies examples/fastapi with test/demo/agent's short-lived key into a namespace
// and waits until the guarded agent is ready.
func (s *Stage) Deploy(ctx context.Context, callers *Callers, namespace string) (*Agent, error) {
	manifests, err := s.Kubectl(ctx, "kustomize", filepath.Join(s.Checkout, "test", "demo", "agent"))
	if err != nil {
		return nil, fmt.Errorf("rendering the example: %w", err)
	}
	local := LocalImages()
	manifests = strings.NewReplacer(
		"namespace: agents\n", "namespace: "+namespace+"\n",
		"name: agents\n", "name: "+namespace+"\n",
		"image: "+local.Agent+"\n", "image: "+s.Images.Agent+"\n").Replace(manifests)
	if err := s.ApplyText(ctx, "", manifests); err != nil {
		return nil, fmt.Errorf("applying the example: %w", err)
	}
	a := s.Agent(callers, namespace)
	if _, err := s.Kubectl(ctx, "-n", namespace, "rollout", "status", "deployment/"+AgentName, "--timeout=2m"); err != nil {
		return a, errors.Join(fmt.Errorf("waiting for the agent: %w", err), a.whatIsWrong(ctx))
	}
	return a, nil
}

// Agent returns the agent that Deploy made in a namespace.
func (s *Stage) Agent(callers *Callers, namespace string) *Agent {
	return &Agent{
		Stage: s, Callers: callers, Namespace: namespace,
		lifetime: 10 * time.Second, // as test/demo/agent says
		Signer:   &Signer{API: s.API, Namespace: namespace, Secret: "agent-jwt", ValueKey: "JWT_SECRET"},
	}
}

// URL is the address of a path of the agent's Service.
func (a *Agent) URL(path string) string {
	return "http://" + AgentName + "." + a.Namespace + ".svc.cluster.local" + path
}

// Pods are the agent's pods that are not about to end, by the labels of the Deployment.
func (a *Agent) Pods(ctx context.Context, labels client.MatchingLabels) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := a.API.List(ctx, &list, client.InNamespace(a.Namespace), labels); err != nil {
		return nil, fmt.Errorf("listing the agent's pods: %w", err)
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// Policy reads the agent's policy.
func (a *Agent) Policy(ctx context.Context) (*v1alpha1.AgentAuthPolicy, error) {
	var policy v1alpha1.AgentAuthPolicy
	err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: PolicyName}, &policy)
	return &policy, err
}

// SigningKey reads the agent's signing key.
func (a *Agent) SigningKey(ctx context.Context) (*v1alpha1.SigningKey, error) {
	var key v1alpha1.SigningKey
	err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: KeyName}, &key)
	return &key, err
}

// Condition describes the condition of a type in one line.
func Condition(conditions []metav1.Condition, kind string) string {
	for _, c := range conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return kind + " is not there"
}

// whatIsWrong collects what the cluster says about a namespace.
func (a *Agent) whatIsWrong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	said, err := a.Kubectl(ctx, "-n", a.Namespace, "get", "pods,signingkeys,agentauthpolicies,events", "-o", "wide")
	return errors.Join(errors.New(said), err)
}
