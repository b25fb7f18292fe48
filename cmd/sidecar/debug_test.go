package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// debugging is where Go programs show their insides, by custom.
var debugging = []string{
	"/debug/", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline",
	"/debug/vars", "/debug/requests", "/debug/events", "/debug/fgprof", "/configz", "/config", "/flags", "/", "/quitquitquit", "/loglevel",
}

// Threat K8: memory holds keys, so nothing shows it. Packages that would are
// linked (expvar, by Prometheus) and register themselves for whoever serves
// http.DefaultServeMux.
func TestNothingShowsMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "keys", "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"policy.yaml":    "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: p}\nspec:\n  jwt: {providers: [{name: own, algorithms: [HS256], secretRef: {name: s, keys: [current]}}]}\n",
		"keys/s/current": strings.Repeat("k", 40),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	admin := freeAddress(t)
	guard := exec.Command("sidecar", "--policy", filepath.Join(dir, "policy.yaml"), "--keys", filepath.Join(dir, "keys"),
		"--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--admin", admin)
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = guard.Process.Kill()
		_ = guard.Wait()
	})
	status := func(path string) int {
		res, err := http.Get("http://" + admin + path)
		if err != nil {
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for deadline := time.Now().Add(20 * time.Second); status("/readyz") != http.StatusOK; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the sidecar is not ready after 20 s")
		}
	}
	for _, path := range debugging {
		if got := status(path); got != http.StatusNotFound {
			t.Errorf("the admin port answers %s with %d, want 404", path, got)
		}
	}
	limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(guard.Process.Pid), "limits"))
	if err != nil {
		t.Skipf("SKIPPED: this system has no /proc: %v", err)
	}
	if !strings.Contains(string(limits), "Max core file size        0                    0") {
		t.Errorf("a crash may leave a core file:\n%s", limits)
	}
}
