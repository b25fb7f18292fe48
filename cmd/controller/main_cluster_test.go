//go:build cluster

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/cluster"
)

// log is what the program writes to standard error, while it runs.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The whole program: flags, both reconcilers, the webhook, health and metrics,
// and an orderly end.
func TestTheProgramRunsAndEndsInOrder(t *testing.T) {
	c := cluster.ControlPlane(t)
	for _, args := range [][]string{
		{"create", "namespace", "gatepost-system"},
		{"apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd")},
		{"apply", "--server-side", "-k", filepath.Join("..", "..", "config", "webhook")},
	} {
		if _, err := c.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBECONFIG", c.Kubeconfig)
	health, metrics := freeAddress(t), freeAddress(t)
	_, webhookPort, _ := net.SplitHostPort(freeAddress(t))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr := &log{}
	ended := make(chan int, 1)
	go func() {
		ended <- command(ctx, []string{
			"--sidecar-image=example.com/sidecar:1", "--namespace=gatepost-system", "--leader-elect",
			"--health-address=" + health, "--metrics-address=" + metrics, "--webhook-port=" + webhookPort,
		}, stderr)
	}()
	waitFor(t, stderr, ended, func() error { return getOK("http://" + health + "/readyz") })
	waitFor(t, stderr, ended, func() error { return getOK("http://" + health + "/healthz") })
	waitFor(t, stderr, ended, func() error {
		return getContaining("http://"+metrics+"/metrics", `controller_runtime_max_concurrent_reconciles{controller="signingkey"}`)
	})
	stop()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	case <-time.After(2 * time.Minute):
		t.Error("it does not end")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func waitFor(t *testing.T, stderr *log, ended <-chan int, probe func() error) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if last = probe(); last == nil {
			return
		}
		select {
		case code := <-ended:
			t.Fatalf("it ended with %d: %s", code, stderr)
		default:
		}
	}
	t.Fatalf("not within 3 minutes: %v; log: %s", last, stderr)
}

func getOK(url string) error { return getContaining(url, "") }

func getContaining(url, part string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), part) {
		return fmt.Errorf("%s answers %d: %.300s", url, response.StatusCode, body)
	}
	return nil
}
