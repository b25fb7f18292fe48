//go:build cluster && linux

package alerts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/test/cluster"
	"gatepost.dev/gatepost/test/fleet"
)

// stuckObjects are a key that gives a signer three seconds, and who verifies it.
const stuckObjects = `
apiVersion: gatepost.dev/v1alpha1
kind: SigningKey
metadata: {name: tokens}
spec:
  algorithm: HS256
  exportTo: {secretName: tokens-export}
  maxTokenLifetime: 1s
  rotation: {prePublish: 100ms, retireAfter: 3s}
---
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  jwt: {providers: [{name: tokens, algorithms: [HS256], clockSkew: 0s, signingKeyRef: {name: tokens}}]}
`

// A signer that never restarts is alarmed from the metrics that a real controller
// has then, alone among all alerts, and nobody is refused.
func TestASignerThatNeverRestartsIsAlarmed(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := cluster.ControlPlane(t)
	kubectl := func(args ...string) {
		t.Helper()
		if out, err := c.Kubectl(ctx, args...); err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, out)
		}
	}
	kubectl("apply", "--server-side", "-k", root+"/config/crd")
	kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=180s")
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(objects, []byte(stuckObjects), 0o600); err != nil {
		t.Fatal(err)
	}
	ns := c.Namespace(t)
	registry := prometheus.NewRegistry()
	t.Cleanup(fleet.RunController(t, c.Config, controller.Config{
		MinPrePublish: 50 * time.Millisecond, RetireMargin: time.Second, Registerer: registry,
	}))
	kubectl("apply", "-n", ns, "-f", objects)
	f, err := fleet.New(ctx, fleet.Options{Config: c.Config, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if _, err := f.Add(ctx, "chat", 2); err != nil {
		t.Fatal(err)
	}
	signer, err := f.Signer(ctx, "tokens-export", "HS256", fleet.Span{})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	sending, stop := context.WithCancel(ctx)
	go func() { sent <- f.Send(sending, fleet.Traffic{Signer: signer, Policy: "chat"}) }()
	degraded := func(reason string) {
		t.Helper()
		kubectl("wait", "-n", ns, "signingkey/tokens", "--timeout=180s", `--for=jsonpath={.status.conditions[?(@.type=="Degraded")].reason}=`+reason)
	}

	signer.Stick(true)
	kubectl("annotate", "-n", ns, "signingkey/tokens", "gatepost.dev/rotate-now=1")
	degraded("RetiredKeyStillUsed")
	alarmed(t, registry, ns, `ALERTS{alertname="GatepostRetiredKeyStillUsed", alertstate="firing", namespace="`+ns+`", name="tokens", severity="warning"}`)

	signer.Stick(false)
	kubectl("annotate", "-n", ns, "signingkey/tokens", "gatepost.dev/rotate-now=2", "--overwrite")
	degraded("AsExpected")
	alarmed(t, registry, ns)
	stop()
	if err := <-sent; err != nil {
		t.Error(err)
	}
	counts := f.Counts()
	t.Logf("figure: stuck_signer_accepted %d requests", counts.Accepted)
	t.Logf("figure: stuck_signer_refused %d requests", counts.Refused)
	if counts.Refused > 0 || counts.Accepted == 0 {
		t.Errorf("%+v", counts)
	}
}

// alarmed waits until the alerts of the namespace are these and no others. What
// else is on its way for a second while keys change is none of them.
func alarmed(t *testing.T, registry *prometheus.Registry, namespace string, alerts ...string) {
	t.Helper()
	var said string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		var err error
		if said, err = judged(t, registry, namespace, alerts); err == nil {
			return
		}
	}
	t.Errorf("alerts from what the controller's metrics are:\n%s", said)
}

// judged lets promtool judge what the registry holds now, as if it had been so for
// 20 minutes.
func judged(t *testing.T, registry *prometheus.Registry, namespace string, alerts []string) (string, error) {
	t.Helper()
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	samples := []sample{}
	for _, alert := range alerts {
		samples = append(samples, sample{alert, 1})
	}
	path, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(map[string]any{
		"rule_files": []string{path}, "evaluation_interval": "1m",
		"tests": []any{map[string]any{
			"interval": "1m", "input_series": series(t, registry),
			"promql_expr_test": []any{map[string]any{
				"expr": fmt.Sprintf(`ALERTS{alertstate="firing", namespace=%q}`, namespace), "eval_time": "20m", "exp_samples": samples,
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "now.test.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "test", "rules", file)
}

// series are the gauges and counters of ours, each standing still.
func series(t *testing.T, registry *prometheus.Registry) []map[string]string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "gatepost_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			value := metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			labels := make([]string, 0, len(metric.GetLabel()))
			for _, label := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
			all = append(all, map[string]string{
				"series": family.GetName() + "{" + strings.Join(labels, ",") + "}", "values": fmt.Sprintf("%gx25", value),
			})
		}
	}
	return all
}
