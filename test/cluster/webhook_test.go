//go:build cluster || e2e

package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// refuseByWebhook shows that the API server asks a webhook that this process
// serves on the loopback interface.
func refuseByWebhook(t *testing.T, c *Cluster) {
	const verdict = "refused by the test's own webhook"
	listener, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(refuse(verdict))
	server.Listener.Close()
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)

	namespace := c.Namespace(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	manifest, err := os.ReadFile("testdata/webhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	applyText(t, c, strings.NewReplacer(
		"NAMESPACE", namespace, "URL", server.URL, "CA", base64.StdEncoding.EncodeToString(ca),
	).Replace(string(manifest)))
	t.Cleanup(func() {
		if _, err := c.Kubectl(context.WithoutCancel(t.Context()), "delete", "validatingwebhookconfiguration", namespace); err != nil {
			t.Error(err)
		}
	})

	// The API server takes a moment to notice a new webhook.
	var answer error
	eventually(t, func() bool {
		_, answer = c.Kubectl(t.Context(), "create", "configmap", "any", "--dry-run=server", "-n", namespace)
		return answer != nil
	})
	if !strings.Contains(answer.Error(), verdict) {
		t.Errorf("want %q, got %v", verdict, answer)
	}
}

// refuse answers every AdmissionReview with a refusal.
func refuse(verdict string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Request    struct {
				UID string `json:"uid"`
			} `json:"request"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": review.APIVersion,
			"kind":       review.Kind,
			"response": map[string]any{
				"uid": review.Request.UID, "allowed": false, "status": map[string]any{"message": verdict},
			},
		})
	}
}

// eventually polls for half a minute.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("not within 30 s")
		}
	}
}

func applyIn(t *testing.T, c *Cluster, namespace, file string) {
	t.Helper()
	if _, err := c.Kubectl(t.Context(), "apply", "--server-side", "-n", namespace, "-f", file); err != nil {
		t.Fatal(err)
	}
}

func applyText(t *testing.T, c *Cluster, manifest string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

// getURL fetches with the administrator's credentials, from where the cluster is.
func getURL(t *testing.T, c *Cluster, url string) string {
	t.Helper()
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
