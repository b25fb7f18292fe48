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

// The commands of these pages are run as they stand, but for the ports, which are
// free ones, and for bin/ and keys/, which are the test's own.
func TestReadmeCommandsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		page  string
		needs []string // a command that must succeed
		want  []string
	}{
		{
			"README.md",
			[]string{"bash", "-c", "command -v python3 curl"},
			[]string{
				`\{"detail":"Not authenticated"`,
				`(?m)200$`,
				`gatepost_requests_total\{.*reason="missing_credential".*\} 1`,
				`gatepost_requests_total\{.*reason="ok".*\} 1`,
			},
		},
		{
			"examples/fastapi/README.md",
			[]string{"/usr/bin/python3", "-c", "import fastapi, uvicorn"},
			[]string{
				`\{"detail":"Not authenticated"\}`,
				`"x-auth-subject":"42"`,
				`"x-auth-roles":"\[\\"teacher\\"\]"`,
				`(?s)event: word\ndata: \{"word": "one"\}\n.*event: done`,
			},
		},
	} {
		t.Run(test.page, func(t *testing.T) {
			t.Parallel()
			needs(t, test.needs)
			out := runCommands(t, commandsOf(t, test.page))
			for _, want := range test.want {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("the page's commands did not print %s:\n%s", want, out)
				}
			}
		})
	}
}

// needs skips the test, loudly, where a command fails; in CI that is a failure.
func needs(t *testing.T, command []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("this page needs %q to succeed: %v: %s", command, err, out)
	default:
		t.Skipf("SKIPPED: this page needs %q to succeed: %v: %s", command, err, out)
	}
}

const runMark = "<!-- run by a test -->\n```sh\n"

func commandsOf(t *testing.T, page string) string {
	t.Helper()
	_, rest, found := strings.Cut(readFile(t, page), runMark)
	if !found {
		t.Fatalf("%s has lost the block that this test runs: it stands after %q", page, runMark)
	}
	commands, _, _ := strings.Cut(rest, "```")
	for _, port := range []string{"8000", "8080", "9901"} {
		commands = strings.ReplaceAll(commands, port, freePort(t))
	}
	// Debian's, which has Debian's FastAPI.
	return strings.ReplaceAll(commands, "python3 ", "/usr/bin/python3 ")
}

func runCommands(t *testing.T, commands string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p)' EXIT\n"+commands)
	shell.Dir = checkoutWithOwnBin(t)
	shell.Env = append(os.Environ(), "CGO_ENABLED=0", "PYTHONDONTWRITEBYTECODE=1")
	shell.WaitDelay = 10 * time.Second
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("the page's commands: %v\n%s", err, out)
	}
	return string(out)
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
