package archtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The commands of the README are run as they stand, but for the ports, which are
// free ones, and for the build, which goes into a folder of the test.
func TestReadmeSixtySeconds(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "python3", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: the README's path needs %s: %v", tool, err)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "<!-- run by a test: README, sixty seconds -->\n```sh\n")
	if !found {
		t.Fatal("README.md has lost the block that this test runs")
	}
	commands, _, _ := strings.Cut(rest, "```")
	for _, port := range []string{"8000", "8080", "9901"} {
		commands = strings.ReplaceAll(commands, port, freePort(t))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p)' EXIT\n"+commands)
	shell.Dir = checkoutWithOwnBin(t)
	shell.WaitDelay = 10 * time.Second
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("the README's commands: %v\n%s", err, out)
	}
	for _, want := range []string{
		`\{"detail":"Not authenticated"`,
		`(?m)200$`,
		`gatepost_requests_total\{.*reason="missing_credential".*\} 1`,
		`gatepost_requests_total\{.*reason="ok".*\} 1`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("the README's commands did not print %s:\n%s", want, out)
		}
	}
}

// checkoutWithOwnBin is a folder that looks like this checkout through links, so
// that what the commands write stays out of it.
func checkoutWithOwnBin(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, entry := range entries {
		if entry.Name() == "bin" || entry.Name() == "keys" {
			continue
		}
		if err := os.Symlink(filepath.Join(root, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}
