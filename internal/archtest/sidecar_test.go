package archtest

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sidecarModules are the modules that may be linked into the sidecar.
var sidecarModules = []string{
	module,
	"github.com/beorn7/perks",
	"github.com/cespare/xxhash/v2",
	"github.com/lestrrat-go/blackmagic",
	"github.com/lestrrat-go/httpcc",
	"github.com/lestrrat-go/httprc",
	"github.com/lestrrat-go/iter",
	"github.com/lestrrat-go/jwx/v2",
	"github.com/lestrrat-go/option",
	"github.com/munnerz/goautoneg",
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model",
	"github.com/prometheus/common",
	"github.com/prometheus/procfs",
	"go.yaml.in/yaml/v3",
	"golang.org/x/crypto",
	"golang.org/x/sys",
	"google.golang.org/protobuf",
}

const megabyte = 1e6

// A sidecar is paid for once per pod: 12 MB on disk and 12 MB of memory idle.
func TestSidecarIsSmall(t *testing.T) {
	t.Parallel()
	binary := buildSidecar(t)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	size := float64(info.Size()) / megabyte
	t.Logf("figure: sidecar_binary %.2f MB", size)
	if size > 12 {
		t.Errorf("the sidecar's binary has %.2f MB, more than 12", size)
	}
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: resident memory is read from /proc, which only Linux has")
	}
	rss := idleMemory(t, binary)
	t.Logf("figure: sidecar_idle_rss %.2f MB", rss)
	if rss > 12 {
		t.Errorf("the idle sidecar holds %.2f MB, more than 12", rss)
	}
}

func buildSidecar(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sidecar")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "nethttpomithttp2", "-o", binary, "./cmd/sidecar")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the sidecar: %v\n%s", err, out)
	}
	return binary
}

// idleMemory starts the sidecar as a person would without a cluster and returns
// its resident set in MB a few seconds after it became ready.
func idleMemory(t *testing.T, binary string) float64 {
	t.Helper()
	keys := t.TempDir()
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, filepath.Join(keys, "agent-jwt", "current"), "an HMAC secret of thirty-two bytes or more")
	write(t, policy, `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: idle}
spec:
  jwt:
    providers:
    - {name: local, algorithms: [HS256], secretRef: {name: agent-jwt, keys: [current]}}
`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	sidecar := exec.CommandContext(ctx, binary, "--policy", policy, "--keys", keys,
		"--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--admin", "127.0.0.1:0")
	stderr, err := sidecar.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sidecar.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = sidecar.Wait() })
	waitReady(t, adminAddress(t, bufio.NewScanner(stderr)))
	time.Sleep(2 * time.Second) // the garbage of starting is given back by then
	return residentMB(t, sidecar.Process.Pid)
}

var adminListening = regexp.MustCompile(`"admin":"([^"]+)"`)

func adminAddress(t *testing.T, logs *bufio.Scanner) string {
	t.Helper()
	var seen strings.Builder
	for logs.Scan() {
		seen.WriteString(logs.Text() + "\n")
		if match := adminListening.FindStringSubmatch(logs.Text()); match != nil {
			go func() {
				for logs.Scan() { // the pipe must not fill up
				}
			}()
			return match[1]
		}
	}
	t.Fatalf("the sidecar ended without saying where its admin port is:\n%s", &seen)
	return ""
}

func waitReady(t *testing.T, admin string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("the sidecar did not become ready within 20 s")
}

func residentMB(t *testing.T, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes * 1024 / megabyte
		}
	}
	t.Fatal("no VmRSS in /proc")
	return 0
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
