//go:build e2e

package cluster

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNode(t *testing.T) {
	began := time.Now()
	c := Node(t)
	t.Logf("figure: node_ready %.1f s", time.Since(began).Seconds())

	t.Run("a pod with a native sidecar becomes ready and is reached", func(t *testing.T) { reachGuarded(t, c) })
	t.Run("a job with a native sidecar completes", func(t *testing.T) { completeJob(t, c) })
	t.Run("a webhook that this process serves on the node is asked", func(t *testing.T) { refuseByWebhook(t, c) })
	t.Run("a second user of the node finds it up", func(t *testing.T) {
		if again := Node(t); again.Config.Host != c.Config.Host {
			t.Errorf("got another node: %s, not %s", again.Config.Host, c.Config.Host)
		}
	})
	t.Run("an image is loaded once more", func(t *testing.T) {
		if c.netns == "" {
			t.Skip("an existing cluster takes no tarballs")
		}
		if err := c.Load(t.Context(), filepath.Join(c.bin, "..", "images", "pod.tar")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("helm knows the cluster", func(t *testing.T) {
		if out, err := output(c.OnNode(t.Context(), "helm", "list", "--all-namespaces")); err != nil {
			t.Errorf("%s: %v", out, err)
		}
	})
	t.Run("the node's network has no way out", func(t *testing.T) {
		if conn, err := c.Dial(t.Context(), "tcp", "192.0.2.1:80"); err == nil {
			conn.Close()
			t.Error("connected to an address outside")
		}
	})
}

// service is what a test needs of a Service; node addresses are in podIPs' order.
type service struct {
	Spec struct {
		ClusterIPs []string `json:"clusterIPs"`
		Ports      []struct {
			NodePort uint16 `json:"nodePort"`
		} `json:"ports"`
	} `json:"spec"`
}

func reachGuarded(t *testing.T, c *Cluster) {
	namespace := c.Namespace(t)
	applyIn(t, c, namespace, "testdata/sidecar.yaml")
	kubectl(t, c, "wait", "--for=condition=Ready", "pod/guarded", "-n", namespace, "--timeout=60s")

	var svc service
	decode(t, kubectl(t, c, "get", "service", "guarded", "-n", namespace, "-o", "json"), &svc)
	pods := strings.Fields(kubectl(t, c, "get", "pod", "guarded", "-n", namespace, "-o", "jsonpath={.status.podIPs[*].ip}"))
	hosts := strings.Fields(kubectl(t, c, "get", "node", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`))
	t.Logf("pod %v, service %v, node %v", pods, svc.Spec.ClusterIPs, hosts)
	targets := map[string]string{}
	for i, pod := range pods {
		family := "IPv4"
		if netip.MustParseAddr(pod).Is6() {
			family = "IPv6"
		}
		targets["the pod by "+family] = "http://" + net.JoinHostPort(pod, "8080") + "/"
		targets["the Service by "+family] = "http://" + net.JoinHostPort(svc.Spec.ClusterIPs[i], "80") + "/"
		nodePort := netip.AddrPortFrom(netip.MustParseAddr(hosts[i]), svc.Spec.Ports[0].NodePort)
		targets["the NodePort by "+family] = "http://" + nodePort.String() + "/"
	}
	for name, url := range targets {
		eventually(t, func() bool { return strings.Contains(fetch(t, c, url), "hello") })
		t.Logf("reached %s", name)
	}
	inPod := kubectl(t, c, "exec", "guarded", "-c", "agent", "-n", namespace, "--", "/pod", "get", "http://guarded."+namespace+".svc.cluster.local/")
	if !strings.Contains(inPod, "hello") {
		t.Errorf("from inside the pod, through its own Service by name: %s", inPod)
	}
	if conn, err := c.Dial(t.Context(), "tcp", net.JoinHostPort(pods[0], "9000")); err == nil {
		conn.Close()
		t.Error("the program on the pod's loopback interface is reached from outside")
	}
	renewSecret(t, c, namespace, targets["the pod by IPv4"]+"file")
}

// renewSecret shows that a Secret reaches its mount at once when the pod is
// annotated after it.
func renewSecret(t *testing.T, c *Cluster, namespace, url string) {
	kubectl(t, c, "patch", "secret", "signing", "-n", namespace, "-p", `{"stringData":{"key":"second"}}`)
	kubectl(t, c, "annotate", "pod", "guarded", "-n", namespace, "touched=yes")
	began := time.Now()
	eventually(t, func() bool { return fetch(t, c, url) == "second" })
	took := time.Since(began)
	t.Logf("figure: secret_in_mount_after_annotation %.2f s", took.Seconds())
	if took > 5*time.Second {
		t.Errorf("the new secret was in the mount after %v", took)
	}
}

func completeJob(t *testing.T, c *Cluster) {
	namespace := c.Namespace(t)
	applyIn(t, c, namespace, "testdata/job.yaml")
	kubectl(t, c, "wait", "--for=condition=Complete", "job/work", "-n", namespace, "--timeout=60s")
	ended := kubectl(t, c, "get", "pods", "-l", "job-name=work", "-n", namespace,
		"-o", "jsonpath={.items[0].status.initContainerStatuses[0].state.terminated.exitCode}")
	if ended != "0" {
		t.Errorf("the sidecar's exit code is %q, want 0", ended)
	}
}

func kubectl(t *testing.T, c *Cluster, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
}

// fetch returns the body of a plain request made on the node, or the error.
func fetch(t *testing.T, c *Cluster, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
