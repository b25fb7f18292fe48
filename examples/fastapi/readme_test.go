// Package fastapi_test runs the commands of the README beside it.
package fastapi_test

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

// The commands are run as they stand, but for the ports, which are free ones, and
// for bin/ and keys/, which are the test's own. The last block is the one without
// a cluster; the other is what the end-to-end tests do.
func TestReadmeWithoutACluster(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import fastapi, uvicorn").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this path needs Debian's python3-fastapi and uvicorn: %v: %s", err, out)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of commands, want 2", len(blocks))
	}
	commands := strings.ReplaceAll(string(blocks[1][1]), "python3 ", "/usr/bin/python3 ")
	for _, port := range []string{"8000", "8080", "9901"} {
		commands = strings.ReplaceAll(commands, port, freePort(t))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p)' EXIT\n"+commands)
	shell.Dir = checkout(t)
	shell.Env = append(os.Environ(), "CGO_ENABLED=0", "PYTHONDONTWRITEBYTECODE=1")
	shell.WaitDelay = 10 * time.Second
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("the README's commands: %v\n%s", err, out)
	}
	for _, want := range []string{
		`\{"detail":"Not authenticated"\}`,
		`"x-auth-subject":"42"`,
		`"x-auth-roles":"\[\\"teacher\\"\]"`,
		`(?s)event: word\ndata: \{"word": "one"\}\n.*event: done`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("the README's commands did not print %s:\n%s", want, out)
		}
	}
}

// checkout is a folder that looks like this checkout through links, so that what
// the commands write stays out of it.
func checkout(t *testing.T) string {
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
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v, want TCP", listener.Addr())
	}
	return fmt.Sprint(address.Port)
}
