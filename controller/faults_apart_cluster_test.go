//go:build cluster

package controller_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/internal/telemetry"
)

// Two tenants use the same names. Neither's policy selects the other's pods, and
// no reference leads into another namespace.
func TestNamespacesAreApart(t *testing.T) {
	t.Parallel()
	ours, theirs := world.cluster.Namespace(t), world.cluster.Namespace(t)
	create(t, secretWith(theirs, "laravel", map[string]string{"current": strings.Repeat("0123456789abcdef", 2)}))
	create(t, signingKey(theirs, "tokens"))
	bySecretOfTheirs := agentPolicy(ours, "chat", bySecret("current"))
	byKeyOfTheirs := agentPolicy(ours, "tools", bySigningKey("tokens"))
	byKeyOfTheirs.Spec.Selector.MatchLabels["app"] = "tools"
	create(t, bySecretOfTheirs)
	create(t, byKeyOfTheirs)
	create(t, chatPod(theirs, "chat-1", "chat"))
	policyHas(t, bySecretOfTheirs, v1alpha1.ConditionResolvedRefs, no, v1alpha1.ReasonSecretNotFound)
	policyHas(t, byKeyOfTheirs, v1alpha1.ConditionResolvedRefs, no, v1alpha1.ReasonSigningKeyNotFound)

	secret := secretWith(ours, "laravel", map[string]string{"current": strings.Repeat("fedcba9876543210", 2)})
	create(t, secret)
	policyHas(t, bySecretOfTheirs, programmed, yes, v1alpha1.ReasonProgrammed)
	if got := bySecretOfTheirs.Status.Pods.Selected; got != 0 {
		t.Errorf("the policy selects %d pods, of another namespace", got)
	}
	pod := chatPod(theirs, "chat-1", "chat")
	if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if told := pod.Annotations[v1alpha1.AnnotationBundleRevision]; told != "" {
		t.Errorf("a pod of another namespace was told of revision %s", told)
	}
	remove(t, secret)
	policyHas(t, bySecretOfTheirs, v1alpha1.ConditionResolvedRefs, no, v1alpha1.ReasonSecretNotFound) // again at every look
}

// Whatever the controller says, in records, metrics, statuses and events, of a
// rotation and a revocation, no secret is in it, and what people wrote into an
// annotation does not begin a line of its own.
func TestWhatTheControllerSaysHoldsNoSecret(t *testing.T) {
	alone(t)
	s := stories()["rotation"]
	run := newLane(t, s)
	run.stop()
	var said bytes.Buffer
	logger, err := telemetry.NewLogger(&said, "debug")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	run.launch = func(t *testing.T, over *link) func() {
		return runController(t, over, controller.Config{
			WatchNamespaces: []string{run.key.Namespace}, Logger: logr.FromSlogHandler(logger.Handler()), Registerer: registry,
		})
	}
	run.start(t)
	secrets := run.secrets(t)
	run.play(t, s, fault{})
	secrets = append(secrets, run.secrets(t)...)
	annotate(t, run.key, v1alpha1.AnnotationRevokeKey, "no\r\n{\"level\":\"ERROR\"}")
	keyHas(t, run.key, degraded, yes, v1alpha1.ReasonUnknownKeyToRevoke)
	if message := meta.FindStatusCondition(run.key.Status.Conditions, degraded).Message; strings.ContainsAny(message, "\r\n") {
		t.Errorf("a condition has a line break: %q", message)
	}
	run.play(t, stories()["revocation"], fault{})
	secrets = append(secrets, run.secrets(t)...)
	run.stop()

	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := said.String() + fmt.Sprint(metrics)
	if len(metrics) == 0 || said.Len() == 0 {
		t.Fatal("nothing was said: the test shows nothing")
	}
	for line := range strings.Lines(said.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a record is not one line of JSON: %q", line)
		}
	}
	for _, secret := range secrets {
		for _, form := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			if strings.Contains(text, form) {
				t.Error("a secret is in a record or a metric")
			}
			isNowhere(t, run.key.Namespace, []byte(form))
		}
	}
	t.Logf("figure: secrets_looked_for %d secrets", len(secrets))
}

// secrets are the values of the keys that are live now.
func (run *lane) secrets(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for _, key := range stateOf(t, run.key).Keys {
		all = append(all, key.Value)
	}
	return all
}
