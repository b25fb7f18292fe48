//go:build cluster

package gatepost_test

import (
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/cluster"
)

// TestInstallUpgradeUninstall is the life of a release on a real API server:
// what the controller writes at run time must outlive an upgrade, and the
// people's objects must outlive the chart.
func TestInstallUpgradeUninstall(t *testing.T) {
	c := cluster.ControlPlane(t)
	helmOn := func(args ...string) {
		t.Helper()
		cmd := c.OnNode(t.Context(), helm(t), append(args, "--namespace", namespace)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %v: %v\n%s", args, err, out)
		}
	}
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := c.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := c.Apply(t.Context(), configDir+"/default/namespace.yaml"); err != nil { // restricted Pod Security
		t.Fatal(err)
	}
	helmOn("install", release, ".")
	waitForPods(t, kubectl)
	kubectl("patch", "mutatingwebhookconfiguration", "gatepost-webhook", "--type=json", "--field-manager=gatepost-controller-webhook",
		"-p", `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+caBundle+`"},{"op":"add","path":"/webhooks/1/clientConfig/caBundle","value":"`+caBundle+`"}]`)
	kubectl("-n", namespace, "patch", "secret", "gatepost-webhook-cert", "-p", `{"data":{"tls.crt":"bWFkZSBhdCBydW4gdGltZQ=="}}`)

	helmOn("upgrade", release, ".", "--set", "logLevel=debug")
	for what, test := range map[string]struct {
		args []string
		want string
	}{
		"the new log level":        {[]string{"-n", namespace, "get", "deployment", "gatepost", "-o", "jsonpath={.spec.template.spec.containers[0].args}"}, "--log-level=debug"},
		"the CA of both webhooks":  {[]string{"get", "mutatingwebhookconfiguration", "gatepost-webhook", "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}"}, caBundle + " " + caBundle},
		"the webhook's own secret": {[]string{"-n", namespace, "get", "secret", "gatepost-webhook-cert", "-o", `jsonpath={.data.tls\.crt}`}, "bWFkZSBhdCBydW4gdGltZQ=="},
		"the CRDs":                 {[]string{"get", "crd", "-o", "name"}, "agentauthpolicies.gatepost.dev"},
	} {
		if got := kubectl(test.args...); !strings.Contains(got, test.want) {
			t.Errorf("after the upgrade %s: got %q, want %q", what, got, test.want)
		}
	}

	helmOn("uninstall", release)
	left := kubectl("get", "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings",
		"-l", "app.kubernetes.io/name=gatepost", "-o", "name")
	if left != "" {
		t.Errorf("after uninstalling there is still: %s", left)
	}
	if crds := kubectl("get", "crd", "-o", "name"); !strings.Contains(crds, "signingkeys.gatepost.dev") {
		t.Errorf("the CRDs went with the chart: %q", crds)
	}
}

// waitForPods returns when both controllers have been admitted; no node runs them.
func waitForPods(t *testing.T, kubectl func(...string) string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		pods := kubectl("-n", namespace, "get", "pods", "-l", "app.kubernetes.io/name=gatepost", "-o", "name")
		if len(strings.Fields(pods)) == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pods: %q, events: %s", pods, kubectl("-n", namespace, "get", "events"))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// caBundle is a certificate in PEM, in base64: the API server looks at it.
const caBundle = "" +
	"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJoekNDQVMyZ0F3SUJBZ0lVTnFuQmR1OUk2RVYrMUJiaER4SUhGMk1MZlFJd0NnWUlLb1pJemowRUF3" +
	"SXcKR0RFV01CUUdBMVVFQXd3TloyRjBaWEJ2YzNRdGRHVnpkREFnRncweU5qRXhNakl3TkRNeE5URmFHQTh5TVRJMgpNVEF5T1RBME16RTFNVm93R0RFV01C" +
	"UUdBMVVFQXd3TloyRjBaWEJ2YzNRdGRHVnpkREJaTUJNR0J5cUdTTTQ5CkFnRUdDQ3FHU000OUF3RUhBMElBQkFXQWUvZXNsdUtNNTR6TlFmbm1udm93eU5W" +
	"YytNeEs2aHdkRHVJWkF5bG8KR2dpNndQTWh4bEw4QXM2aUprSGZIWUtkU2lMNVl6eGlRSTZJdVRNaGJkK2pVekJSTUIwR0ExVWREZ1FXQkJRTQpkTytZNlFH" +
	"Vk9FSGo3dVJJdmNyTnp0MzZXekFmQmdOVkhTTUVHREFXZ0JRTWRPK1k2UUdWT0VIajd1Ukl2Y3JOCnp0MzZXekFQQmdOVkhSTUJBZjhFQlRBREFRSC9NQW9H" +
	"Q0NxR1NNNDlCQU1DQTBnQU1FVUNJSFlEVmUzNDY1bzEKN1B4VkNmbkluKzQrREpjeHlJcEY2ZytBRzl6N1l0NGhBaUVBM1hpaGE2NDBPZVd4WGZ0L3g3NWFG" +
	"NEF1L1RyaQovVjUxUGFXY21aNEc2NHc9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
