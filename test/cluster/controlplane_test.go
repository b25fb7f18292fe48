//go:build cluster

package cluster

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestControlPlane(t *testing.T) {
	began := time.Now()
	c := ControlPlane(t)
	t.Logf("figure: control_plane_ready %.1f s", time.Since(began).Seconds())

	t.Run("a new namespace gets its default service account", func(t *testing.T) {
		namespace := c.Namespace(t)
		if _, err := c.Kubectl(t.Context(), "wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=30s"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a namespace is deleted with what is in it", func(t *testing.T) {
		namespace := c.Namespace(t)
		for _, args := range [][]string{
			{"create", "configmap", "something", "-n", namespace},
			{"delete", "namespace", namespace, "--timeout=60s"},
		} {
			if _, err := c.Kubectl(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := c.Kubectl(t.Context(), "get", "namespace", namespace); err == nil {
			t.Errorf("kubectl still gets the namespace: %s", out)
		}
	})
	t.Run("a deployment is applied and gets a pod", func(t *testing.T) {
		namespace := c.Namespace(t)
		applyIn(t, c, namespace, "testdata/deployment.yaml")
		if _, err := c.Kubectl(t.Context(), "wait", "--for=create", "pods", "-l", "app=echo", "-n", namespace, "--timeout=30s"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a webhook on the loopback interface is asked", func(t *testing.T) { refuseByWebhook(t, c) })
	t.Run("client-go gets an answer", func(t *testing.T) {
		if got := getURL(t, c, c.Config.Host+"/version"); !strings.Contains(got, `"gitVersion": "v1.`) {
			t.Errorf("GET /version: %s", got)
		}
	})
}

func TestControlPlanesLiveSideBySide(t *testing.T) {
	first, second := ControlPlane(t), ControlPlane(t)
	if first.Config.Host == second.Config.Host {
		t.Fatalf("both are at %s", first.Config.Host)
	}
	if _, err := first.Kubectl(t.Context(), "create", "namespace", "of-the-first"); err != nil {
		t.Fatal(err)
	}
	if out, err := second.Kubectl(t.Context(), "get", "namespace", "of-the-first"); err == nil {
		t.Errorf("the second knows the first one's namespace: %s", out)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Kubectl(t.Context(), "get", "namespaces"); err != nil {
		t.Errorf("the second, after the first has stopped: %v", err)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Dir(filepath.Dir(c.Kubeconfig))); err != nil || len(left) > 0 {
		t.Errorf("directory left: %v %v", left, err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Config.Host, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
		t.Errorf("something still answers at %s", c.Config.Host)
	}
}
