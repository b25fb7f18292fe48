package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Setup is how a sidecar is started.
type Setup struct {
	Policy   string            // the AgentAuthPolicy and APIKeys, in YAML
	Keys     map[string][]byte // NAME/KEY -> content of the keys directory
	Upstream string            // the agent's host:port
	Flags    []string          // more flags
	Env      []string          // more environment, NAME=value

	// OutputBytes bounds what Logs keeps of the sidecar's output, from its
	// beginning; zero keeps all.
	OutputBytes int
}

// Sidecar is the built sidecar as a process of its own.
type Sidecar struct {
	*Program

	Address string // host:port that is guarded
	URL     string // http://Address
	Admin   string // host:port of metrics, health and what is for loopback only
	Dir     string // holds policy.yaml and keys/

	t testing.TB
}

// Start builds the sidecar of this checkout once per test process and runs it.
func Start(t testing.TB, s Setup) *Sidecar {
	t.Helper()
	binary := Build(t, "sidecar")
	g := &Sidecar{Dir: t.TempDir(), t: t}
	g.Write("policy.yaml", []byte(s.Policy))
	if err := os.MkdirAll(filepath.Join(g.Dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range s.Keys {
		g.Write(filepath.Join("keys", name), content)
	}
	args := append([]string{
		"--policy", filepath.Join(g.Dir, "policy.yaml"), "--keys", filepath.Join(g.Dir, "keys"),
		"--listen", "127.0.0.1:0", "--upstream", "http://" + s.Upstream, "--admin", "127.0.0.1:0",
	}, s.Flags...)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...)
	command.Env = append(os.Environ(), s.Env...)
	g.Program = run(t, command, &Log{most: s.OutputBytes})
	g.Await(t, "its record `listening`", func(context.Context) bool { return g.listening() })
	g.URL = "http://" + g.Address
	return g
}

// listening reads the addresses from the sidecar's first records.
func (g *Sidecar) listening() bool {
	for line := range strings.Lines(g.Logs.String()) {
		var record struct {
			Guarded []string `json:"guarded"`
			Admin   string   `json:"admin"`
		}
		if json.Unmarshal([]byte(line), &record) == nil && len(record.Guarded) > 0 {
			g.Address, g.Admin = record.Guarded[0], record.Admin
			return true
		}
	}
	return false
}

// Write replaces a file of Dir in one step: policy.yaml, or keys/NAME/KEY.
func (g *Sidecar) Write(name string, content []byte) {
	g.t.Helper()
	replace(g.t, filepath.Join(g.Dir, name), content)
}

// replace writes a file in one step.
func replace(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

// Private answers a GET on the admin port with status and body.
func (g *Sidecar) Private(path string) (int, string) {
	g.t.Helper()
	return get(g.t, "http://"+g.Admin+path)
}

// get answers a GET with status and body.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := Do(t, req)
	return got.Status, string(got.Body)
}

// Reply is an answer that was read to its end.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the whole answer.
func Do(t testing.TB, req *http.Request) Reply {
	t.Helper()
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // G704: tests ask what they started
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Reply{resp.StatusCode, resp.Header, body}
}

// Metric returns the value of one series, written as the exposition writes it,
// or "" without it.
func (g *Sidecar) Metric(series string) string {
	g.t.Helper()
	_, text := g.Private("/metrics")
	return valueOf(series, text)
}

// valueOf is the value of a series in an exposition, or "" without it.
func valueOf(series, text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

var builds sync.Mutex

// Build builds ./cmd/NAME of this checkout, once per test process, and returns
// the path of the program.
func Build(t testing.TB, name string) string {
	t.Helper()
	if workshop == "" {
		t.Fatal("TestMain does not call live.Main")
	}
	builds.Lock()
	defer builds.Unlock()
	path := filepath.Join(workshop, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path}
	if name == "sidecar" {
		args = append(args, "-tags", "nethttpomithttp2") // as it is released
	}
	build := exec.CommandContext(t.Context(), "go", append(args, "gatepost.dev/gatepost/cmd/"+name)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, bytes.TrimSpace(out))
	}
	return path
}

// Figure prints one figure for docs/figures.md.
func Figure(name string, value any, unit string) {
	fmt.Printf("figure: %s %v %s\n", name, value, unit)
}
