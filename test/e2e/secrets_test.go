//go:build e2e

package e2e

import (
	"encoding/base64"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestSecretsStayInside looks for the bytes of the signing key, in the forms
// they are written in, wherever they have no place.
func TestSecretsStayInside(t *testing.T) {
	agent := deploy(t)
	findings, err := agent.Answers(t.Context()) // so that there is something in logs and metrics
	report(t, findings, err)
	key, err := agent.Signer.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := agent.Pods(t.Context(), client.MatchingLabels{"app": stage.AgentName})
	if err != nil {
		t.Fatal(err)
	}
	ns := agent.Namespace
	places := map[string][]string{
		"objects and events":          {"-n", ns, "get", "pods,deployments,signingkeys,agentauthpolicies,apikeys,configmaps,events", "-o", "yaml"},
		"the sidecar's log":           {"-n", ns, "logs", pods[0].Name, "-c", v1alpha1.ContainerName},
		"the agent's log":             {"-n", ns, "logs", pods[0].Name, "-c", "agent"},
		"the agent's environment":     {"-n", ns, "exec", pods[0].Name, "-c", "agent", "--", "cat", "/proc/1/environ"},
		"the agent's file system":     {"-n", ns, "exec", pods[0].Name, "-c", "agent", "--", "sh", "-c", "cat /proc/mounts; ls -R /etc/gatepost 2>&1; true"},
		"the controller's logs":       {"-n", stage.Namespace, "logs", "-l", "app.kubernetes.io/component=controller", "--tail=-1"},
		"what the controller is told": {"-n", stage.Namespace, "get", "deployments,pods,events", "-o", "yaml"},
	}
	for place, args := range places {
		t.Run(place, func(t *testing.T) {
			text, err := agent.Kubectl(t.Context(), args...)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) == 0 {
				t.Fatal("nothing was found there at all")
			}
			for form, secret := range forms(key.Secret) {
				if strings.Contains(text, secret) {
					t.Errorf("the signing key is there, %s", form)
				}
			}
		})
	}
}

// forms are the ways in which a secret is written.
func forms(secret []byte) map[string]string {
	return map[string]string{
		"as it is":        string(secret),
		"in base64":       base64.RawStdEncoding.EncodeToString(secret),
		"in base64url":    base64.RawURLEncoding.EncodeToString(secret),
		"in base64 twice": base64.RawStdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(secret)))[:40],
	}
}
