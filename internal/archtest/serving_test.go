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

// servingModules are the modules that may be linked into what faces requests: the
// sidecar and the issuer.
var servingModules = []string{
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
	isSmall(t, "sidecar", 12, idleSidecar)
}

// An issuer is paid for once or twice, and holds the buckets of its throttles.
func TestIssuerIsSmall(t *testing.T) {
	t.Parallel()
	isSmall(t, "issuer", 16, idleIssuer)
}

// isSmall builds a program and starts it as a person would without a cluster: its
// binary has 12 MB at most, its memory most MB.
func isSmall(t *testing.T, program string, most float64, arguments func(*testing.T) []string) {
	t.Helper()
	binary := buildProgram(t, program)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	size := float64(info.Size()) / megabyte
	t.Logf("figure: %s_binary %.2f MB", program, size)
	if size > 12 {
		t.Errorf("the binary of the %s has %.2f MB, more than 12", program, size)
	}
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: resident memory is read from /proc, which only Linux has")
	}
	rss := idleMemory(t, binary, arguments(t))
	t.Logf("figure: %s_idle_rss %.2f MB", program, rss)
	if rss > most {
		t.Errorf("the idle %s holds %.2f MB, more than %.0f", program, rss, most)
	}
}

func buildProgram(t *testing.T, program string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), program)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "nethttpomithttp2", "-o", binary, "./cmd/"+program)
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the %s: %v\n%s", program, err, out)
	}
	return binary
}

func idleSidecar(t *testing.T) []string {
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
	return []string{"--policy", policy, "--keys", keys, "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--admin", "127.0.0.1:0"}
}

func idleIssuer(t *testing.T) []string {
	t.Helper()
	keys := t.TempDir()
	document := filepath.Join(t.TempDir(), "issuer.yaml")
	write(t, filepath.Join(keys, "sessions", "current"), "an HMAC secret of thirty-two bytes or more")
	write(t, filepath.Join(keys, "agent-jwt", "current"), "another secret of thirty-two bytes or more")
	write(t, filepath.Join(keys, "agent-jwt", "current.kid"), "1-aaaaaaaaaa")
	write(t, filepath.Join(keys, "users", "htpasswd"), "ann:$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW\n")
	write(t, document, `apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: idle}
spec:
  issuer: http://127.0.0.1:8080
  signingKeyRef: {name: agent-jwt}
  audiences: [https://chat.example.com]
  grants: [Session, Password, RefreshToken]
  session: {providers: [{name: local, algorithms: [HS256], secretRef: {name: sessions, keys: [current]}}]}
  password: {usersSecretRef: {name: users, key: htpasswd}}
  legacyPasswordGrant: true
  replicas: 1
`)
	return []string{"--issuer", document, "--keys", keys, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
}

// idleMemory starts a program and returns its resident set in MB a few seconds
// after it became ready.
func idleMemory(t *testing.T, binary string, arguments []string) float64 {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	program := exec.CommandContext(ctx, binary, arguments...)
	stderr, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = program.Wait() })
	waitReady(t, adminAddress(t, bufio.NewScanner(stderr)))
	time.Sleep(2 * time.Second) // the garbage of starting is given back by then
	return residentMB(t, program.Process.Pid)
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
	t.Fatalf("the program ended without saying where its admin port is:\n%s", &seen)
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
	t.Fatal("the program did not become ready within 20 s")
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
