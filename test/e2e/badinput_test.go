//go:build e2e

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// badInput is what somebody applies and should not, and what is said about it.
type badInput struct {
	manifest string
	kind     string // of the object that says it
	name     string
	want     string // beginning of a condition: Type=Status/Reason
	names    string // what the message has to name
}

// TestBadInputIsNamed: what is wrong with an object stands in its conditions,
// with the field or object that has to change.
func TestBadInputIsNamed(t *testing.T) {
	s, callers := onStage(t)
	for name, test := range map[string]badInput{
		"a secret that is shorter than its hash": {
			manifest: secretManifest("weak", "only-20-bytes-long!!") + importedKey("weak"),
			kind:     "SigningKey", name: "imported", want: "Ready=False/" + v1alpha1.ReasonSecretTooShort, names: "weak",
		},
		"a public key as an HMAC secret": {
			manifest: secretManifest("pem", `-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0123456789012345678901234567\n-----END PUBLIC KEY-----\n`) + importedKey("pem"),
			kind:     "SigningKey", name: "imported", want: "Ready=False/" + v1alpha1.ReasonSecretLooksLikeKey, names: "pem",
		},
		"a Secret that is not there": {
			manifest: importedKey("nowhere"),
			kind:     "SigningKey", name: "imported", want: "Ready=False/" + v1alpha1.ReasonSecretNotFound, names: "nowhere",
		},
		"an overlap that is too short": {
			manifest: signingKey("{prePublish: 5s, retireAfter: 15m}"),
			kind:     "SigningKey", name: "key", want: "Ready=False/" + v1alpha1.ReasonUnsafeRotation, names: "retireAfter",
		},
		"a policy without its key": {
			manifest: policyManifest("lonely", "app: lonely", ""),
			kind:     "AgentAuthPolicy", name: "lonely", want: "ResolvedRefs=False/" + v1alpha1.ReasonSigningKeyNotFound, names: "key",
		},
		"a policy that selects nothing": {
			manifest: signingKey("{}") + policyManifest("lonely", "app: lonely", ""),
			kind:     "AgentAuthPolicy", name: "lonely", want: "Enforced=False/" + v1alpha1.ReasonNoPodsSelected, names: "selector",
		},
		"a field that nothing stands behind yet": {
			manifest: policyManifest("early", "app: early", `protectedResource: {resource: "https://chat.example.com"}`),
			kind:     "AgentAuthPolicy", name: "early", want: "Accepted=False/" + v1alpha1.ReasonNotSupportedYet, names: "protectedResource",
		},
	} {
		t.Run(name, func(t *testing.T) {
			agent := s.Agent(callers, namespace(t, s, true))
			if err := apply(t.Context(), agent, test.manifest); err != nil {
				t.Fatal(err)
			}
			wantSaid(t, agent, test)
		})
	}
}

// TestUnknownAlgorithmIsRefused: what the schema can see never gets in.
func TestUnknownAlgorithmIsRefused(t *testing.T) {
	s, callers := onStage(t)
	agent := s.Agent(callers, namespace(t, s, true))
	err := apply(t.Context(), agent, strings.ReplaceAll(signingKey("{}"), "HS256", "none"))
	if err == nil || !strings.Contains(err.Error(), "algorithm") {
		t.Errorf("error %v, want one that names the algorithm", err)
	}
}

// TestTwoPoliciesForOnePod: the older one stays, the other says why it does not count.
func TestTwoPoliciesForOnePod(t *testing.T) {
	agent := deploy(t)
	late := strings.ReplaceAll(policyManifest("late", "app: "+stage.AgentName, ""), "name: key", "name: "+stage.KeyName)
	if err := apply(t.Context(), agent, late); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, agent, badInput{kind: "AgentAuthPolicy", name: "late", want: "Accepted=False/" + v1alpha1.ReasonConflicted, names: stage.PolicyName})
	findings, err := agent.Answers(t.Context())
	report(t, findings, err)
}

// TestBadEditKeepsTheLastGoodPolicy: an edit that is refused changes nothing.
func TestBadEditKeepsTheLastGoodPolicy(t *testing.T) {
	agent := deploy(t)
	if _, err := agent.Kubectl(t.Context(), "-n", agent.Namespace, "patch", "agentauthpolicy", stage.PolicyName, "--type=merge", "-p", `{"spec":{"protectedResource":{"resource":"https://chat.example.com"}}}`); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, agent, badInput{kind: "AgentAuthPolicy", name: stage.PolicyName, want: "Accepted=False/" + v1alpha1.ReasonNotSupportedYet, names: "protectedResource"})
	findings, err := agent.Answers(t.Context())
	report(t, findings, err)
}

// wantSaid waits for the condition, and for an event of its reason.
func wantSaid(t *testing.T, agent *stage.Agent, test badInput) {
	t.Helper()
	var said string
	err := stage.Eventually(t.Context(), 30*time.Second, func(ctx context.Context) error {
		lines, err := agent.Kubectl(ctx, "-n", agent.Namespace, "get", test.kind, test.name, "-o",
			`jsonpath={range .status.conditions[*]}{.type}={.status}/{.reason}: {.message}{"\n"}{end}`)
		if err != nil {
			return err
		}
		for line := range strings.Lines(lines) {
			if strings.HasPrefix(line, test.want+":") && strings.Contains(line, test.names) {
				said = strings.TrimSpace(line)
				return nil
			}
		}
		return errors.New(strings.Join([]string{"want", test.want, "naming", test.names, "in", lines}, " "))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(said)
	_, reason, _ := strings.Cut(test.want, "/")
	if err := stage.Eventually(t.Context(), 10*time.Second, func(ctx context.Context) error { return agent.EventSays(ctx, reason) }); err != nil {
		t.Error(err)
	}
}

func apply(ctx context.Context, agent *stage.Agent, manifest string) error {
	return agent.ApplyText(ctx, agent.Namespace, manifest)
}

func secretManifest(name, value string) string {
	return `---
apiVersion: v1
kind: Secret
metadata: {name: ` + name + `}
stringData: {JWT_SECRET: "` + value + `"}
`
}

func importedKey(secret string) string {
	return `---
apiVersion: gatepost.dev/v1alpha1
kind: SigningKey
metadata: {name: imported}
spec:
  algorithm: HS256
  source: {type: SecretRef, secretRef: {name: ` + secret + `, key: JWT_SECRET}}
`
}

func signingKey(rotation string) string {
	return `---
apiVersion: gatepost.dev/v1alpha1
kind: SigningKey
metadata: {name: key}
spec: {algorithm: HS256, rotation: ` + rotation + `}
`
}

func policyManifest(name, label, more string) string {
	return `---
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: ` + name + `}
spec:
  selector: {matchLabels: {` + label + `}}
  jwt: {providers: [{name: backend, algorithms: [HS256], signingKeyRef: {name: key}}]}
  ` + more + `
`
}
